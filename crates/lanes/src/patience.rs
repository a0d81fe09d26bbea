//! How long to wait.

use std::time::{Duration, Instant};

/// How long somebody waits for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Forever,
    Until(Instant),
}

impl Patience {
    /// Whether it is over. Reads the clock only if there is a time to compare with.
    pub(crate) fn is_over(self) -> bool {
        match self {
            Patience::Forever => false,
            Patience::Until(end) => Instant::now() >= end,
        }
    }
}

/// `after` from `now`, where a time that the clock cannot express becomes one that nobody lives to see.
pub(crate) fn later(now: Instant, after: Duration) -> Instant {
    const THIRTY_YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now + after.min(THIRTY_YEARS)
}
