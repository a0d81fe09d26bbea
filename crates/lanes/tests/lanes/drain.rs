//! The end: all is done, or it is known what is not.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use jetlane_lanes::{Feeder, Lanes, Step};

use crate::common::{Handler, LONG, NEVER, in_time, key, lanes, next, report, until};

#[test]
fn a_drain_runs_everything_and_retries_too() {
    let (log, events) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(2), |_| {
        let (ran, paused, ended) = (log.clone(), log.clone(), log.clone());
        Handler::new(move |_: &mut u32, attempt| {
            if attempt < 3 {
                return Step::Again { after: Duration::from_millis(3) };
            }
            ran.send("ran").unwrap();
            Step::Done
        })
        .on_pause(move || paused.send("paused").unwrap())
        .on_end(move || ended.send("ended").unwrap())
    })
    .unwrap();
    for job in 0..100 {
        feeder.push(key(1), job).unwrap();
    }
    feeder.flush();
    let drained = handle.drain(in_time());
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    let events: Vec<_> = events.try_iter().collect();
    assert_eq!(events.iter().filter(|event| **event == "ran").count(), 100);
    // Of the lane that had jobs; the other one may end at any time.
    let busy: Vec<_> = events.into_iter().filter(|event| *event != "ended").collect();
    assert_eq!(busy.last(), Some(&"paused"));
}

#[test]
fn idle_lanes_are_drained_at_once() {
    let (done, _finished) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let (handle, _feeder) = Lanes::start(lanes(3), |_| {
        let ended = ended.clone();
        report(&done).on_end(move || ended.send(()).unwrap())
    })
    .unwrap();
    let drained = handle.drain(in_time());
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    assert_eq!(ends.try_iter().count(), 3, "a drained lane has dropped its worker");
}

#[test]
fn at_the_deadline_the_rest_comes_back_in_order() {
    const KEYS: u64 = 20;
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(2), |_| {
        let done = done.clone();
        Handler::new(move |job: &mut u64, _| {
            // The keys 0 to 9 never get beyond their first job.
            if *job < KEYS / 2 {
                return NEVER;
            }
            done.send(*job).unwrap();
            Step::Done
        })
    })
    .unwrap();
    for job in 0..1_000 {
        feeder.push(key(job % KEYS), job).unwrap();
    }
    feeder.flush();
    for _ in 0..500 {
        assert!(next(&finished) % KEYS >= KEYS / 2);
    }
    let deadline = Instant::now() + Duration::from_millis(30);
    let drained = handle.drain(deadline);
    assert!(Instant::now() >= deadline);
    assert_eq!(drained.stuck, 0);
    assert_eq!(drained.untouched.len(), 500);
    for of_key in 0..KEYS / 2 {
        let jobs: Vec<u64> =
            drained.untouched.iter().copied().filter(|job| job % KEYS == of_key).collect();
        assert_eq!(jobs, (0..50).map(|round| round * KEYS + of_key).collect::<Vec<_>>());
    }
}

/// A lane whose first job runs until it is told what to return.
struct Stuck {
    answer: Sender<Step>,
    events: Receiver<&'static str>,
    handle: Lanes<Tracked>,
    feeder: Feeder<Tracked>,
}

/// A job that tells when it is dropped.
#[derive(Debug)]
struct Tracked {
    number: u64,
    dropped: Sender<u64>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.dropped.send(self.number);
    }
}

fn stuck(dropped: &Sender<u64>, jobs: u64) -> Stuck {
    let (answer, answers) = mpsc::channel::<Step>();
    let mut answers = Some(answers);
    let (log, events) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1), |_| {
        let answers = answers.take().unwrap();
        let (ran, paused, ended) = (log.clone(), log.clone(), log.clone());
        Handler::new(move |_: &mut Tracked, _| {
            ran.send("ran").unwrap();
            answers.recv_timeout(LONG).unwrap()
        })
        .on_pause(move || paused.send("paused").unwrap())
        .on_end(move || ended.send("ended").unwrap())
    })
    .unwrap();
    for number in 0..jobs {
        let job = Tracked { number, dropped: dropped.clone() };
        feeder.push(key(number % 3), job).unwrap();
        // The lane takes some of the jobs before it gets stuck, and some arrive later.
        if number == jobs / 2 {
            feeder.flush();
            assert_eq!(next(&events), "ran");
        }
    }
    feeder.flush();
    Stuck { answer, events, handle, feeder }
}

#[test]
fn a_stuck_handler_is_counted_and_keeps_only_its_job() {
    for late in [Step::Done, NEVER] {
        let (dropped, drops) = mpsc::channel();
        let Stuck { answer, events, handle, feeder: _feeder } = stuck(&dropped, 100);
        let drained = handle.drain(Instant::now());
        assert_eq!(drained.stuck, 1);
        let numbers: Vec<u64> = drained.untouched.iter().map(|job| job.number).collect();
        assert_eq!(numbers, (1..100).collect::<Vec<_>>());
        assert_eq!(drops.try_recv().ok(), None);

        // Whatever the handler says when it returns at last, the lane ends as all lanes do.
        answer.send(late).unwrap();
        assert_eq!(["paused", "ended"], [next(&events), next(&events)]);
        assert_eq!(next(&drops), 0);
        assert_eq!(drops.try_recv().ok(), None);
    }
}

#[test]
fn a_drain_waits_for_a_handler_that_takes_its_time() {
    let (dropped, _drops) = mpsc::channel();
    let Stuck { answer, events, handle, mut feeder } = stuck(&dropped, 10);
    let draining = thread::spawn(move || handle.drain(in_time()));
    until(|| feeder.room() == 0);
    for _ in 0..9 {
        answer.send(Step::Done).unwrap();
    }
    answer.send(Step::Again { after: Duration::from_millis(1) }).unwrap();
    answer.send(Step::Done).unwrap();
    feeder.flush();
    let drained = draining.join().unwrap();
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    assert_eq!(events.try_iter().filter(|event| *event == "ran").count(), 10);
}

#[test]
fn a_drop_does_not_wait_for_the_handler() {
    let (dropped, drops) = mpsc::channel();
    let Stuck { answer, events, handle, feeder } = stuck(&dropped, 100);
    drop(handle);
    // The handler has not got its answer, so if the drop waited for it we would not be here.
    assert_eq!(drops.try_recv().ok(), None);
    answer.send(Step::Done).unwrap();
    // No other job has run, and all are dropped before the worker is.
    assert_eq!(["paused", "ended"], [next(&events), next(&events)]);
    assert_eq!(drops.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    assert!(feeder.reclaim().is_empty());
}

#[test]
fn a_drop_wakes_lanes_that_sleep() {
    let (ended, ends) = mpsc::channel();
    let (handle, feeder) = Lanes::start(lanes(3), |_| {
        let ended = ended.clone();
        Handler::new(|(): &mut (), _| NEVER).on_end(move || ended.send(()).unwrap())
    })
    .unwrap();
    drop(handle);
    (0..3).for_each(|_| next(&ends));
    drop(feeder);
}

#[test]
fn a_drain_waits_for_the_flush_of_what_was_accepted() {
    for by_drop in [false, true] {
        let (done, finished) = mpsc::channel();
        let (handle, mut feeder) = Lanes::start(lanes(2), |_| report(&done)).unwrap();
        for job in 0..10 {
            feeder.push(key(u64::from(job)), job).unwrap();
        }
        let draining = thread::spawn(move || handle.drain(in_time()));
        until(|| feeder.room() == 0);
        if by_drop {
            drop(feeder)
        } else {
            feeder.flush()
        }
        let drained = draining.join().unwrap();
        assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
        assert_eq!(finished.try_iter().count(), 10);
    }
}

#[test]
fn what_is_never_flushed_stays_with_the_feeder() {
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1), |_| report(&done)).unwrap();
    for job in 0..10 {
        feeder.push(key(u64::from(job % 2)), job).unwrap();
    }
    let drained = handle.drain(Instant::now());
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    feeder.flush();
    assert_eq!(feeder.reclaim(), (0..10).collect::<Vec<_>>());
    assert_eq!(finished.try_recv().ok(), None);
}

#[test]
fn lanes_outlive_their_feeder() {
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1), |_| report(&done)).unwrap();
    feeder.push(None, 5).unwrap();
    assert!(feeder.reclaim().is_empty());
    assert_eq!(next(&finished), 5);
    assert_eq!(handle.drain(in_time()).stuck, 0);
}
