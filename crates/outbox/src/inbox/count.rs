use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows, and that a recorder of metrics sees as well.
pub(crate) struct Count {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    counter: metrics::Counter,
}

impl Count {
    #[cfg(not(feature = "metrics"))]
    pub(crate) fn new(_: &str, _: &'static str) -> Self {
        Self { value: AtomicU64::new(0) }
    }

    /// Of the events of a subscription those that ended so.
    #[cfg(feature = "metrics")]
    pub(crate) fn new(subscription: &str, outcome: &'static str) -> Self {
        let subscription = subscription.to_owned();
        let name = crate::metrics::INBOX_EVENTS;
        let counter = metrics::counter!(name, "subscription" => subscription, "outcome" => outcome);
        Self { value: AtomicU64::new(0), counter }
    }

    pub(crate) fn add(&self, count: u64) {
        self.value.fetch_add(count, Relaxed);
        #[cfg(feature = "metrics")]
        self.counter.increment(count);
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }
}
