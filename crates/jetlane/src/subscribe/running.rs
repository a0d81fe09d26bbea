use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jetlane_client::{SinkHandle, State};
use jetlane_jetstream::{Consumption, JetStream, Receipt, Settle, Settled};
use jetlane_lanes::{Drained, Lanes};
use parking_lot::Mutex;

use super::policy::Job;
use super::shared::{AtomicCounts, Shared};
use crate::CloseError;
use crate::bus::{EventBus, WeakBus};

/// How long a drain waits for the server to confirm that nothing more is on its way.
const BARRIER: Duration = Duration::from_secs(1);

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
    /// Events given up, whose dead letters are stored: see [`crate::DeadLetters`].
    pub dead_lettered: u64,
    /// Events that wait elsewhere, since they or an earlier one of their aggregate failed: see [`crate::Parking`].
    pub parked: u64,
    /// Events that are done without a handler: redriven for another subscription, or of a type that no handler here is for.
    pub passed_over: u64,
    /// Panics of handlers, contained; the event is tried again.
    pub panics: u64,
}

/// A subscription that runs. It belongs to its bus: dropping this handle changes nothing, and keeping it does not keep the
/// bus open.
#[derive(Clone)]
pub struct Subscription {
    name: String,
    stream: String,
    shared: Arc<Shared>,
    bus: WeakBus,
    running: Weak<Running>,
}

impl Subscription {
    pub(super) fn new(running: &Arc<Running>, bus: &EventBus) -> Self {
        let (name, stream) = (running.name.clone(), running.stream.clone());
        let (shared, bus, running) = (running.shared(), bus.downgrade(), Arc::downgrade(running));
        Self { name, stream, shared, bus, running }
    }

    /// Its name, which is that of its consumer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream that it reads.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn bus(&self) -> Option<EventBus> {
        self.bus.upgrade()
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        let AtomicCounts { handled, retried, rejected, dead_lettered, parked, passed_over, panics } =
            &self.shared.counts;
        Counts {
            handled: handled.get(),
            retried: retried.get(),
            rejected: rejected.get(),
            dead_lettered: dead_lettered.get(),
            parked: parked.get(),
            passed_over: passed_over.get(),
            panics: panics.get(),
        }
    }

    /// What went wrong last, in words.
    pub fn last_error(&self) -> Option<String> {
        self.shared.last_error()
    }

    /// Ends it: requests no more events, handles and settles those that are here until `timeout`, and gives back the rest.
    /// Its durable consumer stays, and goes on when somebody subscribes by that name again. What has ended already, with
    /// its bus or before it, is fine.
    ///
    /// A handler that does not return in time is left to itself, and **may still be running**; its event is given back as
    /// well, before those behind it, so that whoever gets them next sees them in order.
    ///
    /// # Errors
    /// [`CloseError`] counts what was not finished in time.
    pub fn stop(&self, timeout: Duration) -> Result<(), CloseError> {
        let (Some(bus), Some(running)) = (self.bus.upgrade(), self.running.upgrade()) else {
            return Ok(());
        };
        let now = Instant::now();
        running.stop_pulling();
        let deadline = now.checked_add(timeout).unwrap_or(now);
        let undone = running.drain(bus.jetstream(), deadline);
        bus.subscriptions().lock().retain(|other| !Arc::ptr_eq(other, &running));
        if undone == CloseError::default() { Ok(()) } else { Err(undone) }
    }
}

/// The parts of a subscription that runs.
pub(crate) struct Running {
    name: String,
    stream: String,
    shared: Arc<Shared>,
    /// `None` before it has begun, and once it was drained.
    parts: Mutex<Option<Parts>>,
}

struct Parts {
    lanes: Lanes<Job>,
    consumption: Consumption,
    /// Listens for events that the server gives up.
    _lost: Option<SinkHandle>,
}

impl Running {
    pub(super) fn new(name: String, stream: &str, shared: Shared) -> Self {
        let (stream, shared) = (stream.into(), Arc::new(shared));
        Self { name, stream, shared, parts: Mutex::new(None) }
    }

    /// A handle of it.
    pub(crate) fn handle(running: &Arc<Self>, bus: &EventBus) -> Subscription {
        Subscription::new(running, bus)
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) fn begin(
        &self,
        lanes: Lanes<Job>,
        consumption: Consumption,
        lost: Option<SinkHandle>,
    ) {
        self.shared.begin(consumption.settler());
        *self.parts.lock() = Some(Parts { lanes, consumption, _lost: lost });
    }

    pub(crate) fn stop_pulling(&self) {
        if let Some(Parts { consumption, .. }) = &*self.parts.lock() {
            consumption.stop();
        }
    }

    /// Lets the lanes finish what they have until `deadline`, gives back the rest, and ends the consumption.
    pub(crate) fn drain(&self, js: &JetStream, deadline: Instant) -> CloseError {
        let Some(Parts { lanes, consumption, .. }) = self.parts.lock().take() else {
            return CloseError::default();
        };
        // Without a connection nothing is on its way.
        if js.client().state() == State::Connected {
            self.await_last_delivery(js, deadline);
        }
        let Drained { untouched, stuck, .. } = lanes.drain(deadline);
        let mut receipts: Vec<_> = untouched.iter().flat_map(Job::receipts).collect();
        let untouched = receipts.len();
        self.shared.take_refused(&mut receipts);
        let returned = receipts.len();
        // What a stuck handler has goes back as well: else it would come only after the ack wait, behind all the others.
        self.shared.receipts_at_work(&mut receipts);
        // The server delivers them again in the order in which they come back. What waits for a retry is there twice.
        receipts.sort_unstable_by_key(Receipt::stream_sequence);
        receipts.dedup();
        self.shared.meters.ended(untouched + receipts.len().saturating_sub(returned));
        let back = |receipt| Settled { receipt, settle: Settle::Nak { delay: Duration::ZERO } };
        self.shared.stalled.clear();
        consumption.settler().settle_all(&mut receipts.into_iter().map(back).collect());
        CloseError { returned, stuck, ..CloseError::default() }
    }

    /// Waits until what was on its way when pulling stopped is on its lane, and the server has forgotten our pulls.
    fn await_last_delivery(&self, js: &JetStream, deadline: Instant) {
        let left = || deadline.saturating_duration_since(Instant::now()).min(BARRIER);
        let _ = js.client().flush().wait_timeout(left());
        // The server (2.15.1) notices pulls that nobody listens for any more only when it tries to serve them: the first
        // event given back would be taken for one of them, and end behind the others. Asking for the consumer's
        // state makes it look first.
        let _ = js.consumer_info(&self.stream, &self.name).wait_timeout(left());
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, .. } = self;
        f.debug_struct("Subscription").field("name", name).field("counts", &self.counts()).finish()
    }
}
