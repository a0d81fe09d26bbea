//! Loom models of the ring and the gate, run by the ordinary `cargo test`.
//!
//! `tree!` includes the very source files of this crate against loom's primitives. Each further tree weakens one
//! ordering of `order.rs` (or breaks one step), and its test passes only if loom then finds a failure: so every
//! ordering is there because a model needs it, and every model can fail.
#![allow(clippy::disallowed_methods, reason = "loom's threads are not real ones")]

/// The crate's files on loom. What is given in braces shadows the constants of `order.rs`.
macro_rules! tree {
    ($name:ident { $($weak:ident: $ordering:ident),* }) => {
        #[allow(dead_code, unused_imports, unreachable_pub, missing_docs, reason = "the models use a part")]
        mod $name {
            pub(crate) mod sync {
                pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
                pub(crate) use loom::cell::UnsafeCell;
                pub(crate) use loom::sync::{Condvar, Mutex};
                pub(crate) use loom::thread::yield_now;
            }
            pub(crate) mod order {
                pub(crate) use crate::order::*;
                $(pub(crate) const $weak: core::sync::atomic::Ordering
                    = core::sync::atomic::Ordering::$ordering;)*
            }
            pub(crate) mod slot { include!("slot.rs"); }
            pub(crate) mod free_list { include!("free_list.rs"); }
            pub(crate) mod room { include!("room.rs"); }
            pub(crate) mod pending { include!("pending.rs"); }
            pub(crate) mod completer { include!("completer.rs"); }
            pub(crate) mod ticket { include!("ticket.rs"); }
            pub(crate) mod gate { include!("gate.rs"); }
            models!();
        }
    };
}

/// The models themselves, over the tree they stand in.
macro_rules! models {
    () => {
        pub(crate) mod models {
            use super::gate::WakeGate;
            use super::pending::{Full, PendingRing, RingConfig, Token};
            use super::sync::{AtomicU32, Condvar, Mutex, Ordering};
            use loom::thread;
            use std::sync::Arc;

            type Ring = Arc<PendingRing<Box<u32>>>;

            fn ring(capacity: u32, window: u32) -> Ring {
                let ring = PendingRing::new(RingConfig { capacity, window });
                // The first chunk is made here, because loom does not see the order that a `OnceLock` gives.
                ring.slot(0);
                ring
            }

            fn answer(ring: &Ring, token: Token, with: u32) -> bool {
                ring.completer().complete(token, Box::new(with)).is_ok()
            }

            /// An answer, a sweep and a disconnect race for one claim: one wins, its result arrives, all get to know.
            pub(crate) fn one_winner() {
                let ring = ring(1, 1);
                let claim = ring.claim(0).unwrap();
                let token = claim.token();
                let ticket = claim.into_ticket();
                let answering = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || u32::from(answer(&ring, token, 1)))
                };
                let sweeping = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || ring.completer().sweep(|| Box::new(2)))
                };
                let result = loom::future::block_on(ticket);
                assert_eq!(answering.join().unwrap() + sweeping.join().unwrap(), 1);
                assert!(*result == 1 || *result == 2);
                assert_eq!(ring.in_flight(), 0);
            }

            /// A task that waits is woken, also when it renews its waker while the answer comes.
            pub(crate) fn no_lost_wake() {
                let ring = ring(1, 1);
                let claim = ring.claim(1).unwrap();
                let token = claim.token();
                let mut ticket = Box::pin(claim.into_ticket());
                let answering = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || assert!(answer(&ring, token, 7)))
                };
                // First poll with a waker that wakes nobody, as a task that moves to another executor does.
                let nobody = std::task::Waker::noop();
                let first = std::future::Future::poll(
                    ticket.as_mut(),
                    &mut std::task::Context::from_waker(nobody),
                );
                let result = match first {
                    std::task::Poll::Ready(result) => result,
                    std::task::Poll::Pending => loom::future::block_on(ticket),
                };
                assert_eq!(*result, 7);
                answering.join().unwrap();
            }

            /// The slot goes from one user to the next with everything settled, through a ring of one slot. Nothing but
            /// the slot itself passes between the threads.
            pub(crate) fn reuse() {
                let ring = ring(1, 1);
                let sweeping = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || {
                        let mut completer = ring.completer();
                        for round in 1..=2 {
                            while completer.sweep(|| Box::new(round)) == 0 {
                                thread::yield_now();
                            }
                            completer.flush();
                        }
                    })
                };
                for round in 1..=2 {
                    let claim = loop {
                        match ring.claim(0) {
                            Ok(claim) => break claim,
                            // The place in the window comes back by the completer's flush.
                            Err(_) => thread::yield_now(),
                        }
                    };
                    assert_eq!(claim.token().epoch, round - 1, "each expiry retires the epoch");
                    assert_eq!(*loom::future::block_on(claim.into_ticket()), round);
                }
                sweeping.join().unwrap();
            }

            /// An answer that nobody asked for now, or that comes again, races with the slot's next claim.
            pub(crate) fn unordered_token() {
                let ring = ring(1, 1);
                let guessing = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || {
                        u32::from(answer(&ring, Token { slot: 0, epoch: 0 }, 1))
                            + u32::from(answer(&ring, Token { slot: 0, epoch: 0 }, 2))
                    })
                };
                let mut taken = 0;
                for _ in 0..2 {
                    if let Ok(claim) = ring.claim(9) {
                        let mut ticket = claim.into_ticket();
                        taken += u32::from(ticket.try_take().is_some());
                    }
                }
                assert!(guessing.join().unwrap() >= taken);
            }

            /// A ticket dropped while the answer comes: the result is dropped once, the slot comes back once.
            pub(crate) fn abandon() {
                let ring = ring(1, 1);
                let claim = ring.claim(1).unwrap();
                let token = claim.token();
                let mut ticket = Box::pin(claim.into_ticket());
                let answering = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || assert!(answer(&ring, token, 7)))
                };
                let nobody = std::task::Waker::noop();
                let _ = std::future::Future::poll(
                    ticket.as_mut(),
                    &mut std::task::Context::from_waker(nobody),
                );
                drop(ticket);
                answering.join().unwrap();
                let again = ring.claim(1).expect("the slot is free again");
                assert_eq!(ring.claim(1).unwrap_err(), Full::Window);
                drop(again);
            }

            /// An abandoned claim is finished on another thread, whose slot a third claim then uses.
            pub(crate) fn abandon_then_reuse() {
                let ring = ring(1, 1);
                let claim = ring.claim(1).unwrap();
                let token = claim.token();
                let ticket = claim.into_ticket();
                let answering = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || {
                        assert!(answer(&ring, token, 7));
                        // Only if the ticket had gone by now is the slot free; then it must work as new.
                        if let Ok(claim) = ring.claim(1) {
                            let token = claim.token();
                            let ticket = claim.into_ticket();
                            assert!(answer(&ring, token, 8));
                            assert_eq!(*loom::future::block_on(ticket), 8);
                        }
                    })
                };
                {
                    let mut ticket = Box::pin(ticket);
                    let nobody = std::task::Waker::noop();
                    let _ = std::future::Future::poll(
                        ticket.as_mut(),
                        &mut std::task::Context::from_waker(nobody),
                    );
                }
                answering.join().unwrap();
            }

            /// Two threads claim and give back at once: never the same slot, none lost.
            pub(crate) fn free_list() {
                let ring = ring(2, 2);
                let cycle = |ring: &Ring| {
                    let claim = ring.claim(1).expect("two slots for two threads");
                    let token = claim.token();
                    let ticket = claim.into_ticket();
                    assert!(answer(ring, token, token.slot), "another thread holds our slot");
                    assert_eq!(*loom::future::block_on(ticket), token.slot);
                };
                let other = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || {
                        cycle(&ring);
                        cycle(&ring);
                    })
                };
                cycle(&ring);
                other.join().unwrap();
                let (first, second) = (ring.claim(1).unwrap(), ring.claim(1).unwrap());
                assert_ne!(first.token().slot, second.token().slot);
            }

            /// A sweep runs into a claim that is answered, taken and claimed anew: the newer one keeps its patience.
            pub(crate) fn sweep_spares_newer_claims() {
                let ring = ring(1, 1);
                let claim = ring.claim(0).unwrap();
                let sweeping = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || ring.completer().sweep(|| Box::new(2)))
                };
                let token = claim.token();
                let ticket = claim.into_ticket();
                let answered = answer(&ring, token, 1);
                let first = *loom::future::block_on(ticket);
                assert_eq!(first, if answered { 1 } else { 2 });
                if let Ok(claim) = ring.claim(5) {
                    let token = claim.token();
                    let ticket = claim.into_ticket();
                    assert!(answer(&ring, token, 3), "the newer claim was swept away");
                    assert_eq!(*loom::future::block_on(ticket), 3);
                }
                sweeping.join().unwrap();
            }

            /// A thread that waits for room is woken by the flush that makes it.
            pub(crate) fn room() {
                let ring = ring(2, 1);
                let claim = ring.claim(1).unwrap();
                let token = claim.token();
                let answering = {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || assert!(answer(&ring, token, 1)))
                };
                let first = claim.into_ticket();
                // In loom a wait never times out, so a missed wake-up is a deadlock that it reports.
                ring.wait_for_room(Full::Window);
                drop(ring.claim(1).expect("room was made before the wake-up"));
                drop(first);
                answering.join().unwrap();
            }

            /// A producer queues while the consumer falls asleep: woken, or seen.
            pub(crate) fn gate() {
                gate_with(|queue| *queue.lock().unwrap() == 0);
            }

            /// The gate used wrongly: asleep without the last look.
            pub(crate) fn gate_without_last_look() {
                gate_with(|_| true);
            }

            fn gate_with(last_look: fn(&Mutex<u32>) -> bool) {
                struct Loop {
                    queue: Mutex<u32>,
                    gate: WakeGate,
                    /// The eventfd.
                    signal: (Mutex<bool>, Condvar),
                }
                let shared = Arc::new(Loop {
                    queue: Mutex::new(0),
                    gate: WakeGate::new(),
                    signal: (Mutex::new(false), Condvar::new()),
                });
                let producer = {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        for _ in 0..2 {
                            *shared.queue.lock().unwrap() += 1;
                            if shared.gate.must_wake() {
                                *shared.signal.0.lock().unwrap() = true;
                                shared.signal.1.notify_one();
                            }
                        }
                    })
                };
                let mut seen = 0;
                while seen < 2 {
                    seen += std::mem::take(&mut *shared.queue.lock().unwrap());
                    if seen == 2 {
                        break;
                    }
                    shared.gate.falls_asleep();
                    if last_look(&shared.queue) {
                        let mut signal = shared.signal.0.lock().unwrap();
                        while !*signal {
                            signal = shared.signal.1.wait(signal).unwrap();
                        }
                        *signal = false;
                    }
                    shared.gate.wakes_up();
                }
                producer.join().unwrap();
            }
        }
    };
}

fn explore(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Passes if loom finds the model failing. A failing model may panic while it unwinds and abort its process, so it runs
/// in one of its own: this very test again, told by the environment to explore.
fn must_fail(test: &str, model: fn()) {
    const EXPLORE: &str = "JETLANE_EXPLORE_MUTANT";
    if std::env::var_os(EXPLORE).is_some() {
        return explore(model);
    }
    let explored = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(EXPLORE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&explored.stderr);
    // A race on a cell, a task that is never woken, or the model's own checks: not, say, a model that grew too large.
    let expected = ["Causality violation", "deadlock", "panicked at crates/ring/src/models.rs"];
    assert!(
        !explored.status.success() && expected.iter().any(|failure| said.contains(failure)),
        "loom did not notice the weakened ordering: {said}"
    );
}

tree!(sound {});

macro_rules! holds {
    ($($model:ident),* $(,)?) => { $(
        #[test]
        fn $model() {
            explore(sound::models::$model);
        }
    )* };
}
holds!(
    one_winner,
    no_lost_wake,
    reuse,
    unordered_token,
    abandon,
    abandon_then_reuse,
    free_list,
    sweep_spares_newer_claims,
    room,
    gate,
);

macro_rules! needed {
    ($($test:ident: $order:ident fails $model:ident),* $(,)?) => { $(
        mod $test {
            tree!(weak { $order: Relaxed });

            #[test]
            fn $test() {
                let name = concat!("models::", stringify!($test), "::", stringify!($test));
                super::must_fail(name, weak::models::$model);
            }
        }
    )* };
}
needed!(
    claim_must_release: CLAIM fails reuse,
    win_must_acquire: WIN fails unordered_token,
    register_must_release: REGISTER fails no_lost_wake,
    inspect_must_acquire: INSPECT fails no_lost_wake,
    finish_must_release: FINISH fails one_winner,
    observe_must_acquire: OBSERVE fails one_winner,
    abandon_must_release: ABANDON fails abandon_then_reuse,
    give_must_release: GIVE fails free_list,
    take_must_acquire: TAKE fails free_list,
    room_must_order: ROOM fails room,
);

#[test]
fn the_last_look_is_needed() {
    let name = "models::the_last_look_is_needed";
    must_fail(name, sound::models::gate_without_last_look);
}
