//! One key, one order; and nobody waits for another key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use jetlane_lanes::{Lanes, Step};

use crate::common::{Handler, NEVER, feed, in_time, key, lanes, next, report};

#[test]
fn many_keys_on_four_lanes_without_an_inversion() {
    const KEYS: u64 = 1_000;
    const JOBS: u64 = 200;
    let finished = Arc::new(AtomicUsize::new(0));
    let inversions = Arc::new(AtomicUsize::new(0));
    let (handle, mut feeder) = Lanes::start(lanes(4).max_jobs(4_096), |_| {
        let (finished, inversions) = (Arc::clone(&finished), Arc::clone(&inversions));
        let mut expected = HashMap::new();
        Handler::new(move |&mut (key, number): &mut (u64, u64), attempt| {
            // Now and then a job has to be tried again.
            if attempt == 1 && (key + number) % 97 == 0 {
                return Step::Again { after: Duration::from_micros(number) };
            }
            let expected = expected.entry(key).or_insert(0);
            inversions.fetch_add(usize::from(number != *expected), Relaxed);
            *expected = number + 1;
            finished.fetch_add(1, Relaxed);
            Step::Done
        })
    })
    .unwrap();
    for number in 0..JOBS {
        for of_key in 0..KEYS {
            feed(&mut feeder, key(of_key), (of_key, number));
        }
    }
    drop(feeder);
    let drained = handle.drain(in_time());
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    assert_eq!((finished.load(Relaxed), inversions.load(Relaxed)), (200_000, 0));
}

#[test]
fn a_key_that_waits_stops_nobody_else() {
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1), |_| {
        let done = done.clone();
        Handler::new(move |job: &mut u32, _| match *job {
            0 => NEVER,
            job => {
                done.send(job).unwrap();
                Step::Done
            }
        })
    })
    .unwrap();
    feeder.push(key(0), 0).unwrap();
    for job in 1..=1_000 {
        feeder.push(key(u64::from(job % 10)), job).unwrap();
    }
    feeder.flush();
    let others = (1..=1_000).filter(|job| job % 10 != 0);
    for expected in others {
        assert_eq!(next(&finished), expected);
    }
    // Nothing of the key that waits has run, and all of it is still there.
    let drained = handle.drain(Instant::now());
    assert_eq!(finished.try_recv().ok(), None);
    assert_eq!(drained.untouched, (0..=1_000).step_by(10).collect::<Vec<_>>());
    assert_eq!(drained.stuck, 0);
}

#[test]
fn a_job_that_comes_at_once_again_and_again_stops_nobody_else() {
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1), |_| {
        let done = done.clone();
        Handler::new(move |job: &mut u32, _| match *job {
            0 => Step::Again { after: Duration::ZERO },
            job => {
                done.send(job).unwrap();
                Step::Done
            }
        })
    })
    .unwrap();
    for job in 0..100 {
        feeder.push(key(u64::from(job)), job).unwrap();
        feeder.flush();
    }
    assert_eq!((1..100).map(|_| next(&finished)).collect::<Vec<_>>(), (1..100).collect::<Vec<_>>());
    assert_eq!(handle.drain(Instant::now()).untouched, [0]);
}

#[test]
fn a_retry_wakes_a_lane_that_sleeps() {
    let (done, finished) = mpsc::channel();
    let (_handle, mut feeder) = Lanes::start(lanes(1), |_| {
        let done = done.clone();
        Handler::new(move |job: &mut u32, attempt| {
            done.send((*job, attempt, Instant::now())).unwrap();
            if attempt < 3 { Step::Again { after: Duration::from_millis(20) } } else { Step::Done }
        })
    })
    .unwrap();
    feeder.push(key(1), 5).unwrap();
    feeder.flush();
    let mut last = None;
    for attempt in 1..=3 {
        let (job, seen, at) = next(&finished);
        assert_eq!((job, seen), (5, attempt));
        if let Some(last) = last.replace(at) {
            assert!(at - last >= Duration::from_millis(20), "too early: {:?}", at - last);
        }
    }
}

#[test]
fn jobs_without_a_key_go_round_the_lanes() {
    // All four must be in their handlers at once.
    let meeting = Arc::new(Barrier::new(4));
    let (handle, mut feeder) = Lanes::start(lanes(4), |_| {
        let meeting = Arc::clone(&meeting);
        Handler::new(move |(): &mut (), _| {
            meeting.wait();
            Step::Done
        })
    })
    .unwrap();
    for _ in 0..4 {
        feeder.push(None, ()).unwrap();
    }
    feeder.flush();
    assert_eq!(handle.drain(in_time()).stuck, 0);
}

#[test]
fn a_key_keeps_its_lane() {
    let (done, finished) = mpsc::channel();
    let (_handle, mut feeder) = Lanes::start(lanes(4), |lane| {
        let done = done.clone();
        Handler::new(move |job: &mut u64, _| {
            done.send((*job, lane)).unwrap();
            Step::Done
        })
    })
    .unwrap();
    let mut lane_of = HashMap::new();
    for round in 0..3 {
        for job in 0..100 {
            feeder.push(key(job), job).unwrap();
        }
        feeder.flush();
        for _ in 0..100 {
            let (job, lane) = next(&finished);
            assert_eq!(*lane_of.entry(job).or_insert(lane), lane, "round {round}");
        }
    }
    let mut used: Vec<usize> = lane_of.into_values().collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used, [0, 1, 2, 3]);
}

#[test]
fn each_flush_reaches_a_lane_that_sleeps() {
    let (done, finished) = mpsc::channel();
    let (_handle, mut feeder) = Lanes::start(lanes(2), |_| report(&done)).unwrap();
    for job in 0..2_000 {
        feeder.push(key(u64::from(job)), job).unwrap();
        feeder.flush();
        assert_eq!(next(&finished), job);
    }
}
