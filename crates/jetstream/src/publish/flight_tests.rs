use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use jetlane_ring::{Claim, PendingRing, RingConfig, Ticket};

use super::{Flight, TryTake};

const DEADLINE: Duration = Duration::from_secs(10);

impl<T> TryTake for Ticket<T> {
    fn try_take(&mut self) -> Option<T> {
        Ticket::try_take(self)
    }
}

const RING: RingConfig = RingConfig { capacity: 64, window: 64 };

fn flight() -> (Flight<Ticket<u32>, u32>, Receiver<()>) {
    let (bell, rung) = mpsc::channel();
    // Whoever lands may have all before the last ring is through.
    let flight = Flight::new(move || {
        let _ = bell.send(());
    });
    (flight, rung)
}

fn claim(ring: &Arc<PendingRing<u32>>) -> Claim<u32> {
    ring.claim(u32::MAX).expect("there is room")
}

#[test]
fn the_bell_rings_once_until_somebody_lands() {
    let ring = PendingRing::new(RING);
    let (mut flight, rung) = flight();
    let mut completer = ring.completer();
    let mut landed = Vec::new();
    let mut tokens = Vec::new();
    for cargo in 0..4 {
        let claim = claim(&ring);
        tokens.push(claim.token());
        flight.launch(claim.into_ticket(), cargo);
    }
    // In what order answers come, and what is landed then.
    for (answers, expected) in
        [(vec![3, 1], vec![(1, 1), (3, 3)]), (vec![0, 2], vec![(0, 0), (2, 2)])]
    {
        for answer in answers {
            completer.complete(tokens[answer as usize], answer).expect("it waits");
            completer.flush();
        }
        assert_eq!(rung.try_iter().count(), 1);
        flight.land(&mut landed);
        assert_eq!(mem::take(&mut landed), expected);
    }
    assert!(flight.is_empty());
}

#[test]
fn what_is_known_at_the_launch_is_landed_or_comes_back_at_once() {
    let ring = PendingRing::new(RING);
    let (mut flight, rung) = flight();
    let known = |outcome| {
        let claim = claim(&ring);
        ring.completer().complete(claim.token(), outcome).expect("it waits");
        claim.into_ticket()
    };
    assert_eq!(flight.launch_or_take(known(10), 1), Some((1, 10)));
    assert!(flight.is_empty());
    assert_eq!(rung.try_iter().count(), 0);

    let mut landed = Vec::new();
    flight.launch(known(20), 2);
    assert_eq!((flight.len(), rung.try_iter().count()), (1, 1));
    flight.land(&mut landed);
    assert_eq!(landed, [(2, 20)]);
    assert!(flight.is_empty());

    // What is not known is watched, as by a launch.
    let later = claim(&ring);
    let token = later.token();
    assert_eq!(flight.launch_or_take(later.into_ticket(), 3), None);
    ring.completer().complete(token, 30).expect("it waits");
    assert_eq!(rung.try_iter().count(), 1);
    flight.land(&mut landed);
    assert_eq!(landed, [(2, 20), (3, 30)]);
}

/// Outcomes come from behind, so that each look passes over tickets whose outcome may come at that moment.
#[test]
fn an_outcome_that_comes_while_its_ticket_is_looked_at_is_not_lost() {
    let ring = PendingRing::new(RING);
    let (ask, asked) = mpsc::channel::<Vec<_>>();
    let mut completer = ring.completer();
    let server = thread::spawn(move || {
        for token in asked.into_iter().flat_map(|tokens| tokens.into_iter().rev()) {
            completer.complete(token, 0).expect("it waits");
            completer.flush();
        }
    });
    for round in 0..5_000 {
        let (mut flight, rung) = flight();
        let claims: Vec<_> = (0..8).map(|_| claim(&ring)).collect();
        let tokens = claims.iter().map(Claim::token).collect();
        for (claim, cargo) in claims.into_iter().zip(0..) {
            flight.launch(claim.into_ticket(), cargo);
        }
        ask.send(tokens).expect("the server listens");
        let mut landed = Vec::new();
        while !flight.is_empty() {
            let rings = rung.recv_timeout(DEADLINE);
            rings.unwrap_or_else(|_| panic!("round {round}: {flight:?} has only {landed:?}"));
            flight.land(&mut landed);
        }
    }
    drop(ask);
    server.join().expect("it has answered all");
}
