//! A relay that can do nothing burns no core.

use std::fs;
use std::time::{Duration, Instant};

use crate::failures::until;
use crate::histories::Victim;
use crate::service::{On, Service};

/// What keeps a relay from its work.
#[derive(Clone, Copy, Debug)]
enum Obstacle {
    Nothing,
    NoDatabase,
    ServerGone,
    ServerSilent,
}

#[test]
fn a_relay_that_can_do_nothing_burns_no_core() {
    for obstacle in
        [Obstacle::Nothing, Obstacle::NoDatabase, Obstacle::ServerGone, Obstacle::ServerSilent]
    {
        let mut service = On::Sqlite.start();
        let path = match obstacle {
            Obstacle::NoDatabase => service.path().join("not a folder"),
            _ => service.path(),
        };
        let relay = Victim::start(&["relay", &service.server.url(), path.to_str().unwrap()]);
        if !matches!(obstacle, Obstacle::NoDatabase) {
            service.add(&["a"]);
            until("it works", || service.waiting() == 0);
        }
        obstacle.begin(&mut service);
        let (begun, before) = (Instant::now(), cpu(relay.pid()));
        // Waiting is what is looked at.
        std::thread::park_timeout(Duration::from_secs(2));
        let spent = cpu(relay.pid()) - before;
        let share = spent.as_secs_f64() / begun.elapsed().as_secs_f64();
        println!("{obstacle:?}: {:.1} % of a core", 100.0 * share);
        assert!(share < 0.2, "{obstacle:?}: {spent:?}");
    }
}

impl Obstacle {
    fn begin(self, service: &mut Service) {
        match self {
            Self::Nothing | Self::NoDatabase => return,
            Self::ServerGone => service.server.kill(),
            Self::ServerSilent => service.server.pause(),
        }
        // More than it holds in memory.
        let keys: Vec<_> = (0..5000).map(|n| format!("order-{n}")).collect();
        service.add(&keys.iter().map(|key| &**key).collect::<Vec<_>>());
    }
}

/// What a process has spent, of a hundredth of a second each.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let ticks = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
