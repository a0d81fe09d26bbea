//! Whatever of a user's panics, the lane goes on and no other job is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use jetlane_lanes::{Lanes, Step};

use crate::common::{Handler, NEVER, in_time, key, lanes, next, report};

#[test]
fn a_panic_in_run_is_decided_by_panicked() {
    for (step, attempts) in [(Step::Done, 1), (Step::Again { after: Duration::ZERO }, 2)] {
        let (log, events) = mpsc::channel();
        let (handle, mut feeder) = Lanes::start(lanes(1), |_| {
            let (ran, panicked) = (log.clone(), log.clone());
            Handler::new(move |job: &mut u32, attempt| {
                assert!(*job != 1 || attempt == 2, "job {job} is bad");
                ran.send(format!("done {job} {attempt}")).unwrap();
                Step::Done
            })
            .on_panic(move |job, attempt, message| {
                panicked.send(format!("panicked {job} {attempt} {message}")).unwrap();
                step
            })
        })
        .unwrap();
        for job in 1..=2 {
            feeder.push(key(7), job).unwrap();
        }
        feeder.flush();
        assert_eq!(handle.drain(in_time()).stuck, 0);
        let expected = ["panicked 1 1 job 1 is bad", "done 1 2", "done 2 1"];
        let expected: Vec<_> =
            expected.into_iter().filter(|event| attempts == 2 || *event != "done 1 2").collect();
        assert_eq!(events.try_iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_panic_in_panicked_gives_nothing_up() {
    let (log, events) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1), |_| {
        let log = log.clone();
        Handler::new(move |job: &mut u32, attempt| {
            log.send((*job, attempt, Instant::now())).unwrap();
            assert!(*job != 1 || attempt == 2, "bad");
            Step::Done
        })
        .on_panic(|_, _, _| panic!("worse"))
    })
    .unwrap();
    for (of_key, job) in [(1, 1), (1, 2), (2, 3)] {
        feeder.push(key(of_key), job).unwrap();
    }
    feeder.flush();
    let drained = handle.drain(in_time());
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    let runs: Vec<_> = events.try_iter().collect();
    let order: Vec<_> = runs.iter().map(|&(job, attempt, _)| (job, attempt)).collect();
    assert_eq!(order, [(1, 1), (3, 1), (1, 2), (2, 1)]);
    assert!(runs[2].2 - runs[0].2 >= Duration::from_secs(1));
}

#[test]
fn a_panic_in_pause_changes_nothing() {
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1).batch(2).max_jobs(5), |_| {
        report(&done).on_pause(|| panic!("cannot hand on"))
    })
    .unwrap();
    for round in 0..3 {
        for job in 0..5 {
            feeder.push(key(u64::from(job)), job).unwrap();
        }
        feeder.flush();
        assert_eq!((0..5).map(|_| next(&finished)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        crate::common::until(|| feeder.room() == 5);
        assert_eq!(handle.queued(), 0, "round {round}");
    }
    assert_eq!(handle.drain(in_time()).stuck, 0);
}

/// Tells of its drop, and panics in it.
struct Bomb(u32, Sender<u32>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.1.send(self.0).unwrap();
        panic!("dropped {}", self.0);
    }
}

#[test]
fn a_panic_in_the_drop_of_a_finished_job_changes_nothing() {
    let (dropped, drops) = mpsc::channel();
    let config = lanes(1).max_jobs(4);
    let (handle, mut feeder) =
        Lanes::start(config, |_| Handler::new(|_: &mut Bomb, _| Step::Done)).unwrap();
    for number in 0..4 {
        feeder.push(key(1), Bomb(number, dropped.clone())).unwrap();
    }
    feeder.flush();
    crate::common::until(|| feeder.room() == 4);
    let drained = handle.drain(in_time());
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    assert_eq!(drops.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_panic_in_the_drop_of_a_discarded_job_spares_the_others() {
    let (dropped, drops) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1), |_| {
        let ended = ended.clone();
        Handler::new(|_: &mut Bomb, _| NEVER).on_end(move || ended.send(()).unwrap())
    })
    .unwrap();
    for number in 0..4 {
        feeder.push(key(1), Bomb(number, dropped.clone())).unwrap();
    }
    feeder.flush();
    drop(handle);
    next(&ends);
    assert_eq!(drops.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_panic_in_the_drop_of_a_job_spares_the_feeder() {
    let (dropped, drops) = mpsc::channel();
    let (handle, mut feeder) =
        Lanes::start(lanes(1), |_| Handler::new(|_: &mut Bomb, _| Step::Done)).unwrap();
    for number in 0..4 {
        feeder.push(key(1), Bomb(number, dropped.clone())).unwrap();
    }
    drop(handle);
    drop(feeder);
    assert_eq!(drops.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_panic_in_the_drop_of_a_worker_comes_after_everything() {
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) =
        Lanes::start(lanes(1), |_| report(&done).on_end(|| panic!("not like this"))).unwrap();
    feeder.push(None, 1).unwrap();
    feeder.flush();
    assert_eq!(handle.drain(in_time()).stuck, 0);
    assert_eq!(finished.try_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_panic_in_make_is_the_callers() {
    let (done, finished) = mpsc::channel();
    let started = catch_unwind(AssertUnwindSafe(|| {
        Lanes::start(lanes(3), |lane| {
            assert!(lane < 2, "no third worker");
            report(&done)
        })
    }));
    assert!(started.is_err());
    drop(done);
    // The workers that were made are gone, and with them their senders.
    assert_eq!(finished.recv(), Err(mpsc::RecvError));
}
