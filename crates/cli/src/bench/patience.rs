use std::time::{Duration, Instant};

/// How long nothing may go on, and how long anything may take that is not the work itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a thread that reads a queue waits: it outlives whoever waits for it, who says what is missing.
pub(super) const READER_PATIENCE: Duration = PATIENCE.saturating_mul(2);

/// Sees whether something still goes on, however slowly.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    done: u64,
    since: Instant,
}

impl Patience {
    /// With what may stand still for `limit`, from now on.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, done: 0, since: Instant::now() }
    }

    /// Whether it is at an end: so much is done now, and has been for too long.
    pub(super) fn is_over(&mut self, done: u64, now: Instant) -> bool {
        if done != self.done {
            (self.done, self.since) = (done, now);
        }
        now.saturating_duration_since(self.since) >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_is_waited_for_and_what_stands_still_is_not() {
        let mut patience = Patience::new(PATIENCE);
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for (seconds, done, over) in [
            (29, 0, false),
            (58, 1, false),
            (87, 2, false),
            (116, 2, false),
            (117, 2, true),
            // A count may begin anew.
            (118, 0, false),
            (148, 0, true),
        ] {
            assert_eq!(patience.is_over(done, at(seconds)), over, "after {seconds} s");
        }
    }
}
