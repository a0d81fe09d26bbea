//! Loom models of the hand-over and of the end: every order in which the threads can take their locks is tried.
//!
//! `intake.rs` and `gate.rs` are compiled here a second time, against the locks of `sound`, and a third time against
//! those of `torn`, which shows that the models can fail.

mod sound;
mod torn;

use std::collections::VecDeque;
// Not loom's, whose drop aborts the process when a model has failed.
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use crate::patience::Patience;

/// The models, over the modules that are to be checked.
macro_rules! models {
    ($parts:ident) => {
        use $parts::gate::{Flushed, Gate};
        use $parts::intake::Intake;

        /// What `lane.rs` shares, with the order where the backlog is there.
        struct Lane {
            intake: Intake<u32>,
            order_to_end: Mutex<bool>,
        }

        impl Lane {
            fn new() -> Arc<Lane> {
                Arc::new(Lane { intake: Intake::new(), order_to_end: Mutex::new(false) })
            }

            fn order_to_end(&self) {
                self.intake.close();
                *self.order_to_end.lock().unwrap() = true;
                self.intake.ring();
            }

            /// Takes until it is told to end, and returns what it has taken.
            fn run(&self) -> Vec<u32> {
                let mut taken = Vec::new();
                loop {
                    let mut ready = VecDeque::new();
                    let order_to_end = self.order_to_end.lock().unwrap();
                    self.intake.take(&mut ready);
                    let ends = ready.is_empty() && *order_to_end;
                    drop(order_to_end);
                    if ends {
                        return taken;
                    }
                    if ready.is_empty() {
                        self.intake.sleep(Patience::Forever);
                    }
                    taken.extend(ready);
                }
            }
        }

        /// A lane that is never told to end takes what it is given, however often it sleeps in between.
        pub(super) fn batches_arrive() {
            let lane = Lane::new();
            let feeder = {
                let lane = Arc::clone(&lane);
                thread::spawn(move || {
                    lane.intake.give(&mut VecDeque::from([1, 2]));
                    lane.intake.give(&mut VecDeque::from([3]));
                })
            };
            let mut taken = Vec::new();
            while taken.len() < 3 {
                let mut ready = VecDeque::new();
                lane.intake.sleep(Patience::Forever);
                lane.intake.take(&mut ready);
                assert!(!ready.is_empty(), "woken for nothing");
                taken.extend(ready);
            }
            assert_eq!(taken, [1, 2, 3]);
            feeder.join().unwrap();
        }

        /// The lanes are dropped while a batch is handed over: each job is at one end or at the other.
        pub(super) fn a_batch_meets_the_end() {
            let lane = Lane::new();
            let feeder = {
                let lane = Arc::clone(&lane);
                thread::spawn(move || {
                    let mut batch = VecDeque::from([1]);
                    lane.intake.give(&mut batch);
                    batch.push_back(2);
                    lane.intake.give(&mut batch);
                    batch
                })
            };
            let runner = {
                let lane = Arc::clone(&lane);
                thread::spawn(move || lane.run())
            };
            lane.order_to_end();
            let mut jobs = runner.join().unwrap();
            jobs.extend(feeder.join().unwrap());
            assert_eq!(jobs, [1, 2]);
        }

        /// Draining meets a feeder: what was accepted has run when the drain returns, and the drain does return.
        pub(super) fn a_drain_meets_a_feeder() {
            let lane = Lane::new();
            let gate = Arc::new(Gate::new(1));
            let feeder = {
                let (lane, gate) = (Arc::clone(&lane), Arc::clone(&gate));
                thread::spawn(move || {
                    if gate.open_batch().is_err() {
                        return 0;
                    }
                    let mut batch = VecDeque::from([1, 2]);
                    lane.intake.give(&mut batch);
                    assert!(batch.is_empty(), "an accepted job was refused later");
                    gate.end_batch();
                    2
                })
            };
            let runner = {
                let (lane, gate) = (Arc::clone(&lane), Arc::clone(&gate));
                thread::spawn(move || {
                    let taken = lane.run();
                    gate.lane_ended();
                    taken.len()
                })
            };
            gate.close();
            assert_eq!(gate.await_batch(Patience::Forever), Flushed::All);
            lane.order_to_end();
            assert_eq!(gate.await_lanes(Patience::Forever), 0);
            assert!(gate.is_closed());
            assert_eq!(feeder.join().unwrap(), runner.join().unwrap());
        }
    };
}

mod sound_models {
    use super::*;
    models!(sound);
}

mod torn_models {
    use super::*;
    models!(torn);
}

/// Tries all orders in which a thread is interrupted, rather than having to wait, at most three times.
fn check(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn batches_arrive() {
    check(sound_models::batches_arrive);
}

#[test]
fn a_batch_meets_the_end() {
    check(sound_models::a_batch_meets_the_end);
}

#[test]
fn a_drain_meets_a_feeder() {
    check(sound_models::a_drain_meets_a_feeder);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_torn_wait_loses_a_batch() {
    check(torn_models::batches_arrive);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_torn_wait_loses_the_end() {
    check(torn_models::a_batch_meets_the_end);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_torn_wait_loses_the_drain() {
    check(torn_models::a_drain_meets_a_feeder);
}
