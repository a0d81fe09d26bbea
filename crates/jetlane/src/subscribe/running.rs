use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jetlane_jetstream::{Consumption, Receipt, Settle, Settled, Settler};
use jetlane_lanes::{Drained, Lanes};
use parking_lot::Mutex;

use super::worker::Job;
use crate::CloseError;

/// What a subscription has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Events that a handler is done with.
    pub handled: u64,
    /// Times that an event was to be tried again.
    pub retried: u64,
    /// Events that can never be handled.
    pub rejected: u64,
    /// Panics of handlers, contained; the event is tried again.
    pub panics: u64,
}

/// A subscription that runs. It belongs to its bus: dropping this handle changes nothing.
#[derive(Clone)]
pub struct Subscription {
    running: Arc<Running>,
}

impl Subscription {
    pub(super) fn new(running: Arc<Running>) -> Self {
        Self { running }
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        let AtomicCounts { handled, retried, rejected, panics } = &self.running.shared.counts;
        let [handled, retried, rejected, panics] =
            [handled, retried, rejected, panics].map(|count| count.load(Relaxed));
        Counts { handled, retried, rejected, panics }
    }

    /// What went wrong last, in words.
    pub fn last_error(&self) -> Option<String> {
        self.running.shared.last_error.lock().clone()
    }

    /// Ends it: requests no more events, handles and settles those that are here until `timeout`, and gives back the rest.
    /// Its durable consumer stays, and goes on when somebody subscribes by that name again.
    ///
    /// # Errors
    /// [`CloseError`] counts what was not finished in time.
    pub fn stop(&self, timeout: Duration) -> Result<(), CloseError> {
        let now = Instant::now();
        self.running.stop_pulling();
        let undone = self.running.drain(now.checked_add(timeout).unwrap_or(now));
        if undone == CloseError::default() { Ok(()) } else { Err(undone) }
    }
}

/// The parts of a subscription that runs.
pub(crate) struct Running {
    name: String,
    shared: Arc<Shared>,
    /// `None` before it has begun, and once it was drained.
    parts: Mutex<Option<(Lanes<Job>, Consumption)>>,
}

impl Running {
    pub(super) fn new(name: String) -> Self {
        Self { name, shared: Arc::default(), parts: Mutex::new(None) }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) fn begin(&self, lanes: Lanes<Job>, consumption: Consumption) {
        self.shared.begin(consumption.settler());
        *self.parts.lock() = Some((lanes, consumption));
    }

    pub(crate) fn stop_pulling(&self) {
        if let Some((_, consumption)) = &*self.parts.lock() {
            consumption.stop();
        }
    }

    /// Lets the lanes finish what they have until `deadline`, gives back the rest, and ends the consumption.
    pub(crate) fn drain(&self, deadline: Instant) -> CloseError {
        let Some((lanes, consumption)) = self.parts.lock().take() else {
            return CloseError::default();
        };
        let Drained { untouched, stuck, .. } = lanes.drain(deadline);
        let returned = untouched.len();
        let settler = consumption.settler();
        let mut back: Vec<_> = untouched
            .into_iter()
            .map(|job| Settled {
                receipt: job.held.receipt,
                settle: Settle::Nak { delay: Duration::ZERO },
            })
            .collect();
        settler.settle_all(&mut back);
        CloseError { returned, stuck, ..CloseError::default() }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.running.name;
        f.debug_struct("Subscription").field("name", name).field("counts", &self.counts()).finish()
    }
}

/// What the lanes, the reactor and the handle share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    settler: OnceLock<Settler>,
    /// Settled before the settler was known: the first lane can be faster than the start.
    early: Mutex<Vec<Settled>>,
    pub(super) counts: AtomicCounts,
    last_error: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
pub(super) struct AtomicCounts {
    pub(super) handled: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) panics: AtomicU64,
}

impl Shared {
    fn begin(&self, settler: Settler) {
        let mut early = self.early.lock();
        self.settler.get_or_init(|| settler).settle_all(&mut early);
    }

    pub(super) fn settle_all(&self, settled: &mut Vec<Settled>) {
        if let Some(settler) = self.settler.get() {
            return settler.settle_all(settled);
        }
        let mut early = self.early.lock();
        // It may have become known while we waited for the lock.
        match self.settler.get() {
            Some(settler) => settler.settle_all(settled),
            None => early.append(settled),
        }
    }

    pub(super) fn settle(&self, receipt: Receipt, settle: Settle) {
        self.settle_all(&mut vec![Settled { receipt, settle }]);
    }

    pub(super) fn note_error(&self, error: &str) {
        *self.last_error.lock() = Some(error.into());
    }
}
