//! What a recorder of metrics sees of the publishes of a connection.

use metrics::{Counter, Gauge};

use super::{NotStored, Outcome};

/// Registered once a connection.
#[derive(Clone, Debug)]
pub(super) struct Meters {
    published: Counter,
    pending: Gauge,
    stored: Counter,
    duplicate: Counter,
    rejected: Counter,
    unknown: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        let outcome =
            |outcome| metrics::counter!("jetlane_publish_outcomes_total", "outcome" => outcome);
        Self {
            published: metrics::counter!("jetlane_published_total"),
            pending: metrics::gauge!("jetlane_publishes_pending"),
            stored: outcome("stored"),
            duplicate: outcome("duplicate"),
            rejected: outcome("rejected"),
            unknown: outcome("unknown"),
        }
    }

    /// A publish waits for its ack.
    #[inline]
    pub(super) fn published(&self) {
        self.published.increment(1);
        self.pending.increment(1.0);
    }

    /// Which one counts such an outcome.
    #[inline]
    pub(super) fn of(&self, outcome: &Outcome) -> Ended<'_> {
        let counter = match outcome {
            Ok(stored) if stored.duplicate => &self.duplicate,
            Ok(_) => &self.stored,
            Err(NotStored::Rejected(_)) => &self.rejected,
            Err(NotStored::Unknown(_)) => &self.unknown,
        };
        Ended { counter, pending: &self.pending }
    }

    /// So many were never known to be stored.
    pub(super) fn unknown(&self, publishes: u32) {
        self.unknown.increment(publishes.into());
        self.pending.decrement(f64::from(publishes));
    }
}

/// A publish that has perhaps ended.
pub(super) struct Ended<'a> {
    counter: &'a Counter,
    pending: &'a Gauge,
}

impl Ended<'_> {
    /// It has.
    #[inline]
    pub(super) fn count(self) {
        self.counter.increment(1);
        self.pending.decrement(1.0);
    }
}
