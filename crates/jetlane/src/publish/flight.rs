//! Publishes that wait for their ack, as the thread of a publisher sees them.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use jetlane_jetstream::{Outcome, Ticket};

use super::shared::Shared;

/// Tickets with what they are for. Each wakes the bell once, so the bell knows how many are done, and nobody has to look
/// further than to the last of those; acks come back mostly in the order of the publishes, so they stand at the front.
pub(super) struct Flight<T, C> {
    flying: VecDeque<(Ticket, C)>,
    bell: Arc<Bell<T>>,
    waker: Waker,
}

/// Counts the outcomes that have come, and wakes the thread for the first of them.
struct Bell<T> {
    rung: AtomicUsize,
    shared: Arc<Shared<T>>,
}

impl<T: Send + 'static, C> Flight<T, C> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let bell = Arc::new(Bell { rung: AtomicUsize::new(0), shared });
        Self { flying: VecDeque::new(), waker: Waker::from(Arc::clone(&bell)), bell }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// Watches a ticket; gives it back with its outcome if that has come already.
    pub(super) fn launch(&mut self, mut ticket: Ticket, cargo: C) -> Option<(C, Outcome)> {
        // Polled once, a ticket wakes the bell once.
        match Pin::new(&mut ticket).poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(outcome) => Some((cargo, outcome)),
            Poll::Pending => {
                self.flying.push_back((ticket, cargo));
                None
            }
        }
    }

    /// Hands over all that have an outcome now.
    pub(super) fn land(&mut self, landed: &mut Vec<(C, Outcome)>) {
        let mut due = self.bell.rung.swap(0, Ordering::AcqRel);
        let mut at = 0;
        while due > 0
            && let Some((ticket, _)) = self.flying.get_mut(at)
        {
            match ticket.try_take() {
                None => at += 1,
                Some(outcome) => {
                    landed.extend(self.flying.remove(at).map(|(_, cargo)| (cargo, outcome)));
                    due -= 1;
                }
            }
        }
    }
}

impl<T: Send> Wake for Bell<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Those behind the first are found with it: the thread takes the count anew before it sleeps.
        if self.rung.fetch_add(1, Ordering::AcqRel) == 0 {
            self.shared.intake.change(|intake| intake.has_rung = true);
        }
    }
}
