use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::{AtomicTicket, Ticket};
use crate::ApiCall;

/// What a [`Flight`] takes: a ticket, or what stands for one, whose outcome can be asked for without a poll.
///
/// A poll takes back the waker of the poll before, and if the outcome comes at that moment, it wakes nobody. So a flight polls each
/// once, and then only asks.
pub trait TryTake: Future + Unpin {
    /// The outcome, if it is known and was not taken yet. It leaves the waker where it is.
    fn try_take(&mut self) -> Option<Self::Output>;
}

impl TryTake for Ticket {
    fn try_take(&mut self) -> Option<Self::Output> {
        Ticket::try_take(self)
    }
}

impl TryTake for AtomicTicket {
    fn try_take(&mut self) -> Option<Self::Output> {
        AtomicTicket::try_take(self)
    }
}

impl<T> TryTake for ApiCall<T> {
    fn try_take(&mut self) -> Option<Self::Output> {
        ApiCall::try_take(self)
    }
}

/// Many tickets ([`crate::Ticket`], [`crate::AtomicTicket`], [`crate::ApiCall`]) with what each is for, for a thread that takes their outcomes in bursts: a bell
/// rings when the first outcome has come, and not again before [`Flight::land`] was called. Nobody polls.
///
/// ```
/// use std::sync::mpsc;
/// use jetlane_jetstream::Flight;
/// # use jetlane_client::Client;
/// # use jetlane_jetstream::{JetStream, StreamConfig};
/// # let server = jetlane_testkit::Server::start()?;
/// # let js = JetStream::new(Client::connect(&server.url())?)?;
/// # js.create_stream(&StreamConfig::new("ORDERS").subject("order.>")).wait()?;
///
/// let (bell, rung) = mpsc::channel();
/// let mut flight = Flight::new(move || { let _ = bell.send(()); });
/// for row in 0..10 {
///     flight.launch(js.publish("order.created", "{}")?, row);
/// }
/// let mut landed = Vec::new();
/// while landed.len() < 10 {
///     rung.recv()?;
///     flight.land(&mut landed);
/// }
/// assert!(landed.iter().all(|(_, outcome)| outcome.is_ok()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Flight<F: Future, C> {
    flying: VecDeque<(F, C)>,
    /// Those that had an outcome when they were launched.
    landed: Vec<(C, F::Output)>,
    bell: Arc<dyn Count>,
    waker: Waker,
}

/// Counts the outcomes that have come, and rings for the first of them.
struct Bell<R> {
    rung: AtomicUsize,
    ring: R,
}

trait Count: Send + Sync {
    fn count(&self) -> &AtomicUsize;
    fn note(&self);
}

impl<F: TryTake, C> Flight<F, C> {
    /// Calls `ring` when an outcome has come: on the reactor thread, so it has to be quick.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        let bell = Arc::new(Bell { rung: AtomicUsize::new(0), ring });
        let waker = Waker::from(Arc::clone(&bell));
        Self { flying: VecDeque::new(), landed: Vec::new(), bell, waker }
    }

    /// How many have no outcome, or one that was not taken.
    pub fn len(&self) -> usize {
        self.flying.len() + self.landed.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Watches a ticket that nobody has polled or waited for yet, and which is for `cargo`. If its outcome is known, the bell rings, too.
    pub fn launch(&mut self, ticket: F, cargo: C) {
        if let Some(landed) = self.launch_or_take(ticket, cargo) {
            self.landed.push(landed);
            self.bell.note();
        }
    }

    /// As [`Flight::launch`], but a ticket whose outcome is known is not watched, and rings no bell: its cargo and its outcome come back at
    /// once. For a thread that launches and lands, and has no need to be woken by itself.
    #[must_use = "the outcome is handed over here, and not by land"]
    pub fn launch_or_take(&mut self, mut ticket: F, cargo: C) -> Option<(C, F::Output)> {
        // Polled once, a ticket wakes its waker once.
        match Pin::new(&mut ticket).poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(outcome) => Some((cargo, outcome)),
            Poll::Pending => {
                self.flying.push_back((ticket, cargo));
                None
            }
        }
    }

    /// Appends all that have an outcome now.
    pub fn land(&mut self, landed: &mut Vec<(C, F::Output)>) {
        // The count is as many as are done, so nobody looks further than to the last of those; acks come back mostly in the order of
        // the publishes, so they stand at the front.
        let mut due = self.bell.count().swap(0, Ordering::AcqRel).saturating_sub(self.landed.len());
        landed.append(&mut self.landed);
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

impl<R: Fn() + Send + Sync> Count for Bell<R> {
    fn count(&self) -> &AtomicUsize {
        &self.rung
    }

    fn note(&self) {
        // Those behind the first are found with it: whoever lands takes the count anew.
        if self.rung.fetch_add(1, Ordering::AcqRel) == 0 {
            (self.ring)();
        }
    }
}

impl<R: Fn() + Send + Sync> Wake for Bell<R> {
    fn wake(self: Arc<Self>) {
        self.note();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.note();
    }
}

impl<F: Future, C> fmt::Debug for Flight<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("flying", &self.flying.len()).finish_non_exhaustive()
    }
}
