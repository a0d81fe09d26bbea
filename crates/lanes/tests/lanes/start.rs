//! What a configuration must be, and where the lanes run.

use std::sync::mpsc;
use std::thread;

use jetlane_lanes::{Config, Lanes, Pinning, StartError, Step};

use crate::common::{Handler, lanes, next, report};

#[track_caller]
fn expect_error(config: Config, expected: &str) {
    let (done, _finished) = mpsc::channel();
    let error: StartError = match Lanes::start(config, |_| report(&done)) {
        Ok(_) => panic!("started, and should not: {expected}"),
        Err(error) => error,
    };
    let seen = format!("{error:?}");
    assert!(seen.starts_with(expected), "{seen}, not {expected}");
}

#[test]
fn impossible_configurations_are_refused() {
    expect_error(lanes(1).max_jobs(0), "NoJobs");
    expect_error(lanes(1).batch(0), "NoBatch");
    expect_error(lanes(1).name("a\0b"), "Name");
}

#[test]
fn threads_are_named_after_their_lane() {
    let (seen, names) = mpsc::channel();
    let (_handle, mut feeder) = Lanes::start(lanes(2).name("bill"), |_| {
        let seen = seen.clone();
        Handler::new(move |(): &mut (), _| {
            seen.send(thread::current().name().map(str::to_string)).unwrap();
            Step::Done
        })
    })
    .unwrap();
    for _ in 0..2 {
        feeder.push(None, ()).unwrap();
    }
    feeder.flush();
    let mut names = [next(&names), next(&names)];
    names.sort();
    assert_eq!(names, [Some("bill-0".to_string()), Some("bill-1".to_string())]);
}

#[cfg(not(feature = "pin"))]
#[test]
fn without_the_feature_pinning_is_an_error() {
    expect_error(lanes(1).pinning(Pinning::Cores), "PinningUnavailable");
    expect_error(lanes(1).pinning(Pinning::Chosen(vec![0])), "PinningUnavailable");
}

#[cfg(feature = "pin")]
#[test]
fn cores_must_exist() {
    expect_error(lanes(1).pinning(Pinning::Chosen(vec![])), "NoCores");
    expect_error(lanes(1).pinning(Pinning::Chosen(vec![77_777])), "NoSuchCore { core: 77777 }");
}

#[cfg(all(feature = "pin", target_os = "linux"))]
mod pinned {
    use super::*;
    use crate::common::in_time;

    /// The cores on which the calling thread may run, as Linux writes them.
    fn own_cores() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_string()
    }

    /// On which cores the lanes run, lane by lane.
    fn cores_of_lanes(pinning: Pinning, count: usize) -> Vec<String> {
        let (seen, cores) = mpsc::channel();
        let (handle, mut feeder) = Lanes::start(lanes(count).pinning(pinning), |lane| {
            let seen = seen.clone();
            Handler::new(move |(): &mut (), _| {
                seen.send((lane, own_cores())).unwrap();
                Step::Done
            })
        })
        .unwrap();
        for _ in 0..count {
            feeder.push(None, ()).unwrap();
        }
        feeder.flush();
        assert_eq!(handle.drain(in_time()).stuck, 0);
        let mut cores: Vec<_> = cores.try_iter().collect();
        cores.sort();
        cores.into_iter().map(|(_, cores)| cores).collect()
    }

    #[test]
    fn lanes_run_where_they_are_pinned() {
        let open: Vec<usize> =
            core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect();
        let cycled: Vec<String> =
            open.iter().cycle().take(open.len() + 1).map(usize::to_string).collect();
        assert_eq!(cores_of_lanes(Pinning::Cores, open.len() + 1), cycled);

        let last = *open.last().unwrap();
        assert_eq!(
            cores_of_lanes(Pinning::Chosen(vec![last]), 2),
            [last.to_string(), last.to_string()]
        );
        assert_eq!(cores_of_lanes(Pinning::None, 1), [own_cores()]);
    }
}
