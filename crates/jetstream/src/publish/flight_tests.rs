use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::task::{Context, Poll};

use jetlane_ring::{Claim, PendingRing, RingConfig, Ticket};

use super::{Flight, TryTake};

impl TryTake for Ticket<u32> {
    fn try_take(&mut self) -> Option<u32> {
        Ticket::try_take(self)
    }
}

const RING: RingConfig = RingConfig { capacity: 8, window: 8 };

fn flight() -> (Flight<Ticket<u32>, u32>, Receiver<()>) {
    let (bell, rung) = mpsc::channel();
    (Flight::new(move || bell.send(()).expect("the test listens")), rung)
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

/// A ticket of the ring, or one whose outcome comes at the moment in which it is polled again: its waker was taken back for that.
enum Either {
    Ring(Ticket<u32>),
    Untimely { is_polled: bool },
}

impl Future for Either {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        match self.get_mut() {
            Self::Ring(ticket) => Pin::new(ticket).poll(cx),
            Self::Untimely { is_polled: true } => Poll::Ready(0),
            Self::Untimely { is_polled } => {
                *is_polled = true;
                Poll::Pending
            }
        }
    }
}

impl TryTake for Either {
    fn try_take(&mut self) -> Option<u32> {
        match self {
            Self::Ring(ticket) => ticket.try_take(),
            Self::Untimely { .. } => None,
        }
    }
}

#[test]
fn who_is_looked_at_on_the_way_takes_nobodys_turn() {
    let ring = PendingRing::new(RING);
    let claim = claim(&ring);
    let token = claim.token();
    let mut flight = Flight::new(|| ());
    flight.launch(Either::Untimely { is_polled: false }, 1);
    flight.launch(Either::Ring(claim.into_ticket()), 2);
    ring.completer().complete(token, 20).expect("it waits");
    let mut landed = Vec::new();
    flight.land(&mut landed);
    assert_eq!(landed, [(2, 20)]);
}
