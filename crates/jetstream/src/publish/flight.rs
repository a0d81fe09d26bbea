use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Many tickets ([`crate::Ticket`], [`crate::AtomicTicket`]) with what each is for, for a thread that takes their outcomes in bursts: a bell
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

impl<F: Future + Unpin, C> Flight<F, C> {
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

    /// Watches a ticket, which is for `cargo`.
    pub fn launch(&mut self, mut ticket: F, cargo: C) {
        // Polled once, a ticket wakes its waker once.
        match Pin::new(&mut ticket).poll(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => self.flying.push_back((ticket, cargo)),
            Poll::Ready(outcome) => {
                self.landed.push((cargo, outcome));
                self.bell.note();
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
            match Pin::new(ticket).poll(&mut Context::from_waker(&self.waker)) {
                Poll::Pending => at += 1,
                Poll::Ready(outcome) => {
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
