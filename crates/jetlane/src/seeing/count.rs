use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What became of an event of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Handled,
    Retried,
    Rejected,
    DeadLettered,
    Parked,
    PassedOver,
    /// Of a listener.
    Failed,
    /// Of a listener.
    Dropped,
    Panicked,
}

/// A number that only grows, and that a recorder of metrics sees as well.
#[derive(Debug)]
pub(crate) struct Count {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    counter: metrics::Counter,
}

impl Count {
    #[cfg(not(feature = "metrics"))]
    pub(crate) fn new(_: Outcome, _: &str) -> Self {
        Self { value: AtomicU64::new(0) }
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn new(outcome: Outcome, subscription: &str) -> Self {
        use super::metrics::{EVENTS, HANDLER_PANICS};
        let subscription = subscription.to_string();
        let label = match outcome {
            Outcome::Handled => "handled",
            Outcome::Retried => "retried",
            Outcome::Rejected => "rejected",
            Outcome::DeadLettered => "dead_lettered",
            Outcome::Parked => "parked",
            Outcome::PassedOver => "passed_over",
            Outcome::Failed => "failed",
            Outcome::Dropped => "dropped",
            Outcome::Panicked => "",
        };
        let counter = match outcome {
            Outcome::Panicked => metrics::counter!(HANDLER_PANICS, "subscription" => subscription),
            _ => metrics::counter!(EVENTS, "subscription" => subscription, "outcome" => label),
        };
        Self { value: AtomicU64::new(0), counter }
    }

    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: u64) {
        self.value.fetch_add(more, Relaxed);
        #[cfg(feature = "metrics")]
        self.counter.increment(more);
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }
}
