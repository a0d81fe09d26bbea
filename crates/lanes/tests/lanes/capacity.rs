//! How much is accepted, and when room comes back.

use std::sync::mpsc;
use std::time::Instant;

use jetlane_lanes::{Lanes, Refused, Step};

use crate::common::{Handler, LONG, NEVER, in_time, key, lanes, next, report};

#[track_caller]
fn expect_full(refused: Result<(), Refused<u32>>, job: u32) {
    match refused {
        Err(Refused::Full(back)) => assert_eq!(back, job),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn expect_closed(refused: Result<(), Refused<u32>>, job: u32) {
    match refused {
        Err(Refused::Closed(back)) => assert_eq!(back, job),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_bound_is_exact_over_all_lanes() {
    let (start, may_start) = mpsc::channel::<()>();
    let mut may_start = Some(may_start);
    let (paused, pauses) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1).max_jobs(5), |_| {
        let (may_start, paused) = (may_start.take().unwrap(), paused.clone());
        Handler::new(move |_: &mut u32, _| {
            may_start.recv_timeout(LONG).unwrap();
            Step::Done
        })
        .on_pause(move || paused.send(()).unwrap())
    })
    .unwrap();
    for job in 0..5 {
        assert_eq!((feeder.room(), handle.queued()), (5 - job as usize, job as usize));
        feeder.push(key(u64::from(job)), job).unwrap();
    }
    // Pushed is accepted, flushed or not, running or not.
    for _ in 0..2 {
        expect_full(feeder.push(None, 6), 6);
        assert_eq!((feeder.room(), handle.queued()), (0, 5));
        feeder.flush();
    }
    for _ in 0..5 {
        start.send(()).unwrap();
    }
    // The room is there before `pause` is called, so whoever is woken by it can push.
    next(&pauses);
    assert_eq!((feeder.room(), handle.queued()), (5, 0));
    feeder.push(None, 7).unwrap();
    assert_eq!(feeder.room(), 4);
}

#[test]
fn jobs_that_wait_keep_their_room() {
    let (ran, runs) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(2).max_jobs(3).batch(1), |_| {
        let ran = ran.clone();
        Handler::new(move |_: &mut u32, _| NEVER).on_pause(move || ran.send(()).unwrap())
    })
    .unwrap();
    for job in 0..3 {
        feeder.push(None, job).unwrap();
    }
    feeder.flush();
    (0..3).for_each(|_| next(&runs));
    expect_full(feeder.push(None, 3), 3);
    assert_eq!((feeder.room(), handle.queued()), (0, 3));
    assert_eq!(handle.drain(Instant::now()).untouched.len(), 3);
}

#[test]
fn the_bound_holds_while_lanes_work() {
    let (done, finished) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(3).max_jobs(7), |_| report(&done)).unwrap();
    let mut accepted = 0;
    while accepted < 20_000 {
        let room = feeder.room();
        assert!(room <= 7 && handle.queued() <= 7);
        for _ in 0..room {
            feeder.push(key(u64::from(accepted)), accepted).expect("there was room");
            accepted += 1;
        }
        feeder.flush();
    }
    assert_eq!(handle.drain(in_time()).stuck, 0);
    assert_eq!(finished.try_iter().count(), accepted as usize);
}

#[test]
fn closed_lanes_accept_nothing() {
    let (done, _finished) = mpsc::channel();
    for full in [false, true] {
        for drained in [false, true] {
            let config = lanes(1).max_jobs(1);
            let (handle, mut feeder) = Lanes::start(config, |_| report(&done)).unwrap();
            if full {
                feeder.push(None, 0).unwrap();
            }
            if drained {
                feeder.flush();
                handle.drain(in_time());
            } else {
                drop(handle);
                feeder.flush();
            }
            expect_closed(feeder.push(key(1), 9), 9);
            assert_eq!(feeder.room(), 0);
        }
    }
}

#[test]
fn a_pause_comes_once_a_batch_and_before_sleep() {
    let (log, events) = mpsc::channel();
    let (handle, mut feeder) = Lanes::start(lanes(1).batch(4), |_| {
        let (ran, paused) = (log.clone(), log.clone());
        Handler::new(move |_: &mut u32, _| {
            ran.send('r').unwrap();
            Step::Done
        })
        .on_pause(move || paused.send('p').unwrap())
    })
    .unwrap();
    for (jobs, expected) in [(10, "rrrrprrrrprrp"), (1, "rp"), (4, "rrrrp")] {
        for job in 0..jobs {
            feeder.push(key(u64::from(job)), job).unwrap();
        }
        feeder.flush();
        assert_eq!(expected.chars().map(|_| next(&events)).collect::<String>(), expected);
    }
    // Nothing has run since, so there is nothing to hand on at the end.
    handle.drain(in_time());
    assert_eq!(events.try_recv().ok(), None);
}
