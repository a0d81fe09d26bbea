use std::thread;
use std::time::{Duration, Instant};

/// So long before its time an operation is no longer slept for, as a sleep would end too late; others may run all the same.
const SPIN: Duration = Duration::from_micros(60);

/// When operations are due that come at a fixed rate, whatever becomes of those before them: who is late is late for all
/// that were due meanwhile, and latencies that count from here do not leave that out.
#[derive(Debug)]
pub struct Schedule {
    start: Instant,
    per_second: u64,
}

impl Schedule {
    /// The first operation is due now. `per_second` is at least 1.
    pub fn new(per_second: u64) -> Self {
        Self { start: Instant::now(), per_second: per_second.max(1) }
    }

    /// When operation `n` is due, counted from 0.
    pub fn due(&self, n: u64) -> Instant {
        let nanos = u128::from(n) * 1_000_000_000 / u128::from(self.per_second);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Waits until operation `n` is due, and says when that was; at once if that has passed.
    pub fn wait_for(&self, n: u64) -> Instant {
        let due = self.due(n);
        loop {
            match due.checked_duration_since(Instant::now()) {
                Some(left) if left > SPIN => thread::park_timeout(left - SPIN),
                Some(left) if !left.is_zero() => thread::yield_now(),
                _ => return due,
            }
        }
    }
}

/// When the operations of one of several workers begin, who share one schedule, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace<'a> {
    pub(super) schedule: Option<&'a Schedule>,
    pub(super) worker: u64,
    pub(super) workers: u64,
}

impl Pace<'_> {
    /// Waits until the worker's operation `n` is due, if that is said, and says since when its latency counts.
    pub(super) fn begin(&self, n: u64) -> Instant {
        match self.schedule {
            Some(schedule) => schedule.wait_for(n * self.workers + self.worker),
            None => Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_due_at_the_rate_and_not_begun_before() {
        let schedule = Schedule::new(10_000);
        assert_eq!(schedule.due(10_000) - schedule.due(0), Duration::from_secs(1));
        for n in 0..100 {
            let due = schedule.wait_for(n);
            assert_eq!(due, schedule.due(n));
            assert!(Instant::now() >= due);
        }
    }

    #[test]
    fn workers_share_a_schedule() {
        let schedule = Schedule::new(1_000_000);
        let mut begun: Vec<_> = (0..3)
            .flat_map(|worker| {
                let pace = Pace { schedule: Some(&schedule), worker, workers: 3 };
                (0..10).map(move |n| pace.begin(n)).collect::<Vec<_>>()
            })
            .collect();
        begun.sort();
        assert_eq!(begun, (0..30).map(|n| schedule.due(n)).collect::<Vec<_>>());
    }
}
