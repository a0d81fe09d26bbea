//! What a recorder of metrics sees of a subscription besides its counts.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use metrics::{Gauge, Histogram};

use super::metrics::{EVENT_AGE_SECONDS, EVENTS_HELD, HANDLER_SECONDS};

#[derive(Debug)]
pub(crate) struct Meters {
    /// A handler that did not return in time may still end, and is not counted twice.
    has_ended: AtomicBool,
    held: Gauge,
    handling: Histogram,
    age: Histogram,
}

/// The time of a handler that runs. Ends when it is dropped, so a panic has its time as well.
pub(crate) struct Handling<'a> {
    meters: &'a Meters,
    begun: Instant,
}

impl Meters {
    pub(crate) fn new(subscription: &str) -> Self {
        let name = || subscription.to_string();
        Self {
            has_ended: AtomicBool::new(false),
            held: metrics::gauge!(EVENTS_HELD, "subscription" => name()),
            handling: metrics::histogram!(HANDLER_SECONDS, "subscription" => name()),
            age: metrics::histogram!(EVENT_AGE_SECONDS, "subscription" => name()),
        }
    }

    /// The handler of an event is called. If it was stored, that was at `stored_ns`, in nanoseconds since 1970.
    pub(crate) fn begin(&self, stored_ns: Option<u64>) -> Handling<'_> {
        if let Some(stored_ns) = stored_ns {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let stored = std::time::Duration::from_nanos(stored_ns);
            self.age.record(now.saturating_sub(stored));
        }
        Handling { meters: self, begun: Instant::now() }
    }

    /// An event is on a lane.
    pub(crate) fn took(&self) {
        self.held.increment(1.0);
    }

    /// An event has left its lane.
    pub(crate) fn settled(&self) {
        if !self.has_ended.load(Relaxed) {
            self.held.decrement(1.0);
        }
    }

    /// The lanes are no more, and so many events were on them.
    #[expect(clippy::cast_precision_loss, reason = "no more than a window")]
    pub(crate) fn ended(&self, left: usize) {
        self.has_ended.store(true, Relaxed);
        self.held.decrement(left as f64);
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        self.meters.handling.record(self.begun.elapsed());
    }
}
