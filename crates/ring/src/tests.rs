use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

fn ring<T: Send>(capacity: u32, window: u32) -> Arc<PendingRing<T>> {
    PendingRing::new(RingConfig { capacity, window })
}

fn claim<T: Send>(ring: &Arc<PendingRing<T>>) -> (Token, Ticket<T>) {
    let claim = ring.claim(1).unwrap();
    (claim.token(), claim.into_ticket())
}

#[test]
fn the_window_bounds_questions_and_the_capacity_bounds_tickets() {
    let ring = ring::<u8>(3, 2);
    let mut completer = ring.completer();
    let (first, kept) = claim(&ring);
    let _second = claim(&ring);
    assert_eq!(ring.claim(1).unwrap_err(), Full::Window);

    // An answer opens the window with the next flush, while its ticket still holds its slot.
    completer.complete(first, 1).unwrap();
    assert_eq!(ring.claim(1).unwrap_err(), Full::Window);
    completer.flush();
    let (third, _ticket) = claim(&ring);
    completer.complete(third, 3).unwrap();
    completer.flush();
    assert_eq!(ring.claim(1).unwrap_err(), Full::Tickets);

    assert_eq!(kept.wait(), 1);
    assert_eq!(claim(&ring).0.slot, first.slot, "the slot given back last is claimed first");
}

#[test]
fn out_of_range_bounds_are_cut() {
    let ring = ring::<u8>(0, 9);
    let _only = claim(&ring);
    assert_eq!(ring.claim(1).unwrap_err(), Full::Window);
}

#[test]
fn patience_counts_sweeps() {
    for patience in [0, 1, 5] {
        let ring = ring::<u8>(1, 1);
        let mut completer = ring.completer();
        let claim = ring.claim(patience).unwrap();
        let mut ticket = claim.into_ticket();
        for _ in 0..patience {
            assert_eq!(completer.sweep(|| 9), 0);
        }
        assert_eq!(ticket.try_take(), None);
        assert_eq!(completer.sweep(|| 9), 1);
        assert_eq!(ticket.try_take(), Some(9));
        assert_eq!(ticket.try_take(), None, "a result is taken once");
    }
}

#[test]
fn a_late_answer_completes_nothing() {
    let ring = ring::<u8>(1, 1);
    let mut completer = ring.completer();
    let (expired, ticket) = claim(&ring);
    completer.sweep(|| 0);
    completer.sweep(|| 0);
    completer.flush();
    assert_eq!(ticket.wait(), 0);

    let (fresh, ticket) = claim(&ring);
    assert_eq!(fresh.slot, expired.slot);
    assert_eq!(completer.complete(expired, 1), Err(1), "the answer to the expired question");
    completer.complete(fresh, 2).unwrap();
    assert_eq!(completer.complete(fresh, 3), Err(3), "the second answer to one question");
    assert_eq!(ticket.wait(), 2);
}

#[test]
fn made_up_tokens_complete_nothing() {
    let ring = ring::<u8>(4, 4);
    let mut completer = ring.completer();
    let (token, _ticket) = claim(&ring);
    for made_up in [
        Token { slot: token.slot, epoch: token.epoch + 1 },
        Token { slot: 3, epoch: 0 },
        Token { slot: 4, epoch: 0 },
        Token { slot: u32::MAX, epoch: u32::MAX },
    ] {
        assert_eq!(completer.complete(made_up, 1), Err(1), "{made_up:?}");
    }
}

#[test]
fn fail_where_spares_what_it_is_told_to() {
    let ring = ring::<u8>(3, 3);
    let mut completer = ring.completer();
    let (_, doomed) = claim(&ring);
    let (spared, kept) = claim(&ring);
    assert_eq!(completer.fail_where(|token| token != spared, || 7), 1);
    completer.flush();
    assert_eq!(doomed.wait(), 7);
    assert_eq!(ring.in_flight(), 1);
    completer.complete(spared, 1).unwrap();
    assert_eq!(kept.wait(), 1);
}

#[test]
fn a_dropped_claim_leaves_no_trace() {
    let ring = ring::<u8>(1, 1);
    for _ in 0..3 {
        drop(ring.claim(1).unwrap());
    }
    assert_eq!(ring.in_flight(), 0);
    drop(ring.claim(1).unwrap());
}

#[test]
fn wait_timeout_gives_up_and_can_be_taken_up_again() {
    let ring = ring::<u8>(1, 1);
    let (token, mut ticket) = claim(&ring);
    assert_eq!(ticket.wait_timeout(Duration::from_millis(1)), None);
    ring.completer().complete(token, 5).unwrap();
    assert_eq!(ticket.wait_timeout(Duration::from_secs(60)), Some(5));
}

#[test]
fn tickets_are_futures_of_any_executor() {
    let ring = ring::<u8>(1, 1);
    let (token, ticket) = claim(&ring);
    let answering = std::thread::spawn(move || ring.completer().complete(token, 5));
    assert_eq!(pollster::block_on(ticket), 5);
    answering.join().unwrap().unwrap();
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_result_is_dropped_once_whoever_drops_it() {
    let drops = Arc::new(AtomicUsize::new(0));
    let result = || Counted(Arc::clone(&drops));
    let ring = ring::<Counted>(8, 8);
    let mut completer = ring.completer();

    let (taken, ticket) = claim(&ring);
    completer.complete(taken, result()).ok().unwrap();
    drop(ticket.wait());
    assert_eq!(drops.load(Ordering::Relaxed), 1, "taken and dropped");

    let (unread, ticket) = claim(&ring);
    completer.complete(unread, result()).ok().unwrap();
    drop(ticket);
    assert_eq!(drops.load(Ordering::Relaxed), 2, "dropped with its ticket");

    let (abandoned, ticket) = claim(&ring);
    drop(ticket);
    completer.complete(abandoned, result()).ok().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 3, "nobody was left to read it");

    drop(completer.complete(abandoned, result()));
    assert_eq!(drops.load(Ordering::Relaxed), 4, "handed back as not wanted");
}

#[test]
fn four_threads_ask_and_one_answers_across_chunks() {
    const EACH: u64 = 20_000;
    let ring = ring::<u64>(3000, 2500);
    let (questions, inbox) = std::sync::mpsc::channel::<(Token, u64)>();
    let answering = {
        let ring = Arc::clone(&ring);
        std::thread::spawn(move || {
            let mut completer = ring.completer();
            while let Ok((token, question)) = inbox.recv() {
                completer.complete(token, question * 2).unwrap();
                for (token, question) in inbox.try_iter().take(100) {
                    completer.complete(token, question * 2).unwrap();
                }
                completer.flush();
            }
        })
    };
    let asking: Vec<_> = (0..4)
        .map(|asker| {
            let (ring, questions) = (Arc::clone(&ring), questions.clone());
            std::thread::spawn(move || {
                let mut waiting = std::collections::VecDeque::new();
                for question in (asker * EACH)..((asker + 1) * EACH) {
                    let claim = loop {
                        match ring.claim(u32::MAX) {
                            Ok(claim) => break claim,
                            Err(why) => ring.wait_for_room(why),
                        }
                    };
                    questions.send((claim.token(), question)).unwrap();
                    waiting.push_back((question, claim.into_ticket()));
                    if waiting.len() == 400 {
                        let (question, ticket) = waiting.pop_front().unwrap();
                        assert_eq!(ticket.wait(), question * 2);
                    }
                }
                for (question, ticket) in waiting {
                    assert_eq!(ticket.wait(), question * 2);
                }
            })
        })
        .collect();
    drop(questions);
    for asker in asking {
        asker.join().unwrap();
    }
    answering.join().unwrap();
    assert_eq!(ring.in_flight(), 0);
}

#[test]
fn a_second_answer_completes_nothing_once_its_question_was_retired() {
    let ring = ring::<u8>(1, 1);
    let mut completer = ring.completer();
    let (first, ticket) = claim(&ring);
    completer.complete_and_retire(first, 1).unwrap();
    completer.flush();
    assert_eq!(ticket.wait(), 1);
    let (second, ticket) = claim(&ring);
    assert_eq!(second.slot, first.slot);
    assert_eq!(completer.complete_and_retire(first, 9), Err(9));
    completer.complete_and_retire(second, 2).unwrap();
    assert_eq!(ticket.wait(), 2);
}

#[test]
fn waiting_for_tickets_sleeps() {
    let ring = ring::<u8>(1, 1);
    let (token, _kept) = claim(&ring);
    ring.completer().complete(token, 1).unwrap();
    let started = std::time::Instant::now();
    ring.wait_for_room(ring.claim(1).unwrap_err());
    assert!(started.elapsed() >= Duration::from_millis(4), "{:?}", started.elapsed());
}

#[test]
fn a_wait_within_a_wait_leaves_the_outer_one_its_wake_up() {
    use std::future::Future;
    use std::task::Poll;

    // The outer future is woken while an inner wait runs on the same thread, which must not swallow it.
    let ring = ring::<u8>(2, 2);
    let (outer, mut outer_ticket) = claim(&ring);
    let (inner, inner_ticket) = claim(&ring);
    let mut inner_ticket = Some(inner_ticket);
    let answering = std::sync::Mutex::new(Some(ring.completer()));
    let value = wait(std::future::poll_fn(|cx| {
        let poll = std::pin::Pin::new(&mut outer_ticket).poll(cx);
        if let (Poll::Pending, Some(inner_ticket)) = (&poll, inner_ticket.take()) {
            let mut completer = answering.lock().unwrap().take().unwrap();
            let thread = std::thread::spawn(move || {
                completer.complete(outer, 1).unwrap();
                completer.flush();
                completer.complete(inner, 2).unwrap();
                completer.flush();
            });
            assert_eq!(wait(inner_ticket), 2);
            thread.join().unwrap();
        }
        poll
    }));
    assert_eq!(value, 1);
}
