//! Everything at once: writers that commit and roll back, relays and consumers that are killed or paused, servers that are killed. At
//! the end every committed event has one effect, in order, and nothing else has.

mod postgres;
mod sqlite;

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jetlane_testkit::{Server, pause, resume};
use jetlane_tests::eventually;

use crate::service::{On, PATIENCE};

const KEYS: usize = 200;
const WRITERS: u64 = 2;
const RELAYS: usize = 3;
const CONSUMERS: [&str; 2] = ["billing", "shipping"];
/// The stream forgets ids after this; relays are paused for longer.
const WINDOW: Duration = Duration::from_millis(500);
const KILLS_OF_RELAYS: usize = 30;
/// Every so many kills of a relay also a server is killed: 10 times. And twice as often a consumer: 20 times.
const SERVER_EVERY: usize = 3;

/// A process, killed when it is dropped.
pub(crate) struct Victim {
    arguments: Vec<String>,
    child: Child,
}

impl Victim {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = spawn(&arguments);
        Self { arguments, child }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `SIGKILL`, and another one.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.arguments);
    }
}

fn spawn(arguments: &[String]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_victim"))
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a writer has done.
#[derive(Default)]
struct Written {
    committed: Vec<String>,
    rolled_back: Vec<String>,
}

/// What a consumer did: the key, its version, and the event.
type Effect = (String, i64, String);

/// The database of a service, with its orders, its outbox and its consumers' inbox and effects.
trait Shop: Sync {
    /// Where victims find it.
    fn url(&self) -> String;

    /// Writes until it is told to stop, in transactions of which every fifth is rolled back.
    fn write(&self, random: fastrand::Rng, stop: &AtomicBool) -> Written;

    /// How many rows wait.
    fn waiting(&self) -> i64;

    /// How many effects a consumer has had.
    fn count(&self, consumer: &str) -> i64;

    /// What it did, in the order in which it did it.
    fn effects(&self, consumer: &str) -> Vec<Effect>;
}

fn key(random: &mut fastrand::Rng) -> String {
    format!("order-{}", random.usize(..KEYS))
}

impl Written {
    /// Takes note of how a transaction ended.
    fn note(&mut self, is_committed: bool, mut ids: Vec<String>) {
        match is_committed {
            true => self.committed.append(&mut ids),
            false => self.rolled_back.append(&mut ids),
        }
        // Not faster than it is carried away.
        std::thread::park_timeout(Duration::from_millis(8));
    }
}

/// Does all that can be done to them, a step at a time.
fn torment(
    server: &mut Server,
    shop: &dyn Shop,
    relays: &mut [Victim],
    consumers: &mut [Victim],
) -> Counts {
    let mut random = fastrand::Rng::with_seed(7);
    let mut counts = Counts::default();
    for step in 0..KILLS_OF_RELAYS {
        let wanted = shop.count(CONSUMERS[0]) + random.i64(1..100);
        eventually("it goes on", || (shop.count(CONSUMERS[0]) >= wanted).then_some(()));
        relays[step % RELAYS].kill();
        counts.relays += 1;
        if step % SERVER_EVERY == 0 {
            server.kill();
            server.restart().unwrap();
            counts.servers += 1;
        } else {
            consumers[step % 2].kill();
            counts.consumers += 1;
        }
        if step % 10 == 5 {
            let relay = &relays[random.usize(..RELAYS)].child;
            pause(relay);
            std::thread::park_timeout(3 * WINDOW);
            resume(relay);
            counts.pauses += 1;
        }
    }
    counts
}

#[derive(Debug, Default)]
struct Counts {
    relays: usize,
    servers: usize,
    consumers: usize,
    pauses: usize,
}

fn check(consumer: &str, committed: &HashSet<String>, effects: &[Effect]) {
    let ids: HashSet<_> = effects.iter().map(|(_, _, id)| id.clone()).collect();
    let lost = committed.difference(&ids).count();
    let never_committed = ids.difference(committed).count();
    let twice = effects.len() - ids.len();
    let mut last = HashMap::new();
    let mut inversions = 0;
    for (key, version, _) in effects {
        let before = last.insert(key, *version).unwrap_or(0);
        inversions += usize::from(*version != before + 1);
    }
    println!(
        "{consumer}: {} effects, {lost} lost, {twice} twice, {never_committed} of what was never committed, \
         {inversions} inversions",
        effects.len()
    );
    assert_eq!((lost, twice, never_committed, inversions), (0, 0, 0, 0), "{consumer}");
}

fn run(shop: &dyn Shop) {
    let mut service = On::Sqlite.with_stream(|topic| topic.duplicate_window(WINDOW));
    let (url, database) = (service.server.url(), shop.url());
    let relay = || Victim::start(&["relay", &url, &database]);
    let consumer = |name| Victim::start(&["consumer", &url, &database, name]);
    let mut relays: Vec<_> = (0..RELAYS).map(|_| relay()).collect();
    let mut consumers = CONSUMERS.map(consumer);

    let stop = AtomicBool::new(false);
    let (written, counts) = std::thread::scope(|scope| {
        let write = |seed| shop.write(fastrand::Rng::with_seed(seed), &stop);
        let writers: Vec<_> = (0..WRITERS).map(|seed| scope.spawn(move || write(seed))).collect();
        let counts = torment(&mut service.server, shop, &mut relays, &mut consumers);
        stop.store(true, Ordering::Relaxed);
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        (written, counts)
    });
    let committed: HashSet<_> = written.iter().flat_map(|of| &of.committed).cloned().collect();
    let rolled_back: usize = written.iter().map(|of| of.rolled_back.len()).sum();
    eventually("all is carried away", || (shop.waiting() == 0).then_some(()));
    let all = i64::try_from(committed.len()).unwrap();
    for consumer in CONSUMERS {
        let deadline = Instant::now() + 2 * PATIENCE;
        while shop.count(consumer) < all {
            assert!(Instant::now() < deadline, "{consumer} has not handled all {all}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    let stored = service.stored();
    let ids: HashSet<_> = stored.iter().map(|(_, id)| id).collect();
    println!(
        "{counts:?}; {all} committed, {rolled_back} rolled back, {} in the stream, {} of them twice",
        stored.len(),
        stored.len() - ids.len()
    );
    for consumer in CONSUMERS {
        check(consumer, &committed, &shop.effects(consumer));
    }
    assert_eq!(stored.len(), ids.len(), "not even the stream has one twice");
}

#[test]
fn on_sqlite_every_committed_event_has_one_effect_in_order_whoever_is_killed() {
    run(&sqlite::SqliteShop::new());
}

#[test]
fn on_postgres_every_committed_event_has_one_effect_in_order_whoever_is_killed() {
    run(&postgres::PostgresShop::new());
}
