//! The bound on jobs that are accepted and not finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

/// Two counters that only grow (and wrap). `accepted - finished <= limit` always.
pub(crate) struct Budget {
    limit: usize,
    /// Written by the feeder alone.
    accepted: CachePadded<AtomicUsize>,
    /// Added to by lanes, a batch at a time.
    finished: CachePadded<AtomicUsize>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Budget {
        Budget { limit, accepted: CachePadded::default(), finished: CachePadded::default() }
    }

    pub(crate) fn finish(&self, jobs: usize) {
        self.finished.fetch_add(jobs, Ordering::Release);
    }

    /// How many jobs are accepted and not finished.
    pub(crate) fn queued(&self) -> usize {
        // In this order: a job was accepted before it was finished, so the difference is never negative. Jobs that are
        // accepted between the two reads can make it too large.
        let finished = self.finished.load(Ordering::Acquire);
        let accepted = self.accepted.load(Ordering::Relaxed);
        accepted.wrapping_sub(finished).min(self.limit)
    }
}

/// The feeder's side of the budget. It keeps what it last saw of the lanes' counter, so that the shared cache line is
/// read once a full budget and not once a job.
pub(crate) struct Allowance {
    budget: Arc<Budget>,
    accepted: usize,
    finished_seen: usize,
}

impl Allowance {
    /// There must be one allowance a budget: it is the only writer of `accepted`.
    pub(crate) fn new(budget: Arc<Budget>) -> Allowance {
        Allowance { budget, accepted: 0, finished_seen: 0 }
    }

    pub(crate) fn has_room(&mut self) -> bool {
        if self.accepted.wrapping_sub(self.finished_seen) < self.budget.limit {
            return true;
        }
        self.finished_seen = self.budget.finished.load(Ordering::Acquire);
        self.accepted.wrapping_sub(self.finished_seen) < self.budget.limit
    }

    /// Takes the room of one job. There must be some.
    pub(crate) fn accept(&mut self) {
        self.accepted = self.accepted.wrapping_add(1);
        self.budget.accepted.store(self.accepted, Ordering::Relaxed);
    }

    pub(crate) fn room(&self) -> usize {
        let finished = self.budget.finished.load(Ordering::Acquire);
        self.budget.limit - self.accepted.wrapping_sub(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact() {
        let budget = Arc::new(Budget::new(3));
        let mut allowance = Allowance::new(Arc::clone(&budget));
        for queued in 0..3 {
            assert_eq!((allowance.room(), budget.queued()), (3 - queued, queued));
            assert!(allowance.has_room());
            allowance.accept();
        }
        assert!(!allowance.has_room());
        budget.finish(2);
        assert_eq!((allowance.room(), budget.queued()), (2, 1));
        assert!(allowance.has_room());
    }

    #[test]
    fn the_counters_may_wrap() {
        let budget = Arc::new(Budget::new(2));
        budget.finish(usize::MAX);
        budget.accepted.store(usize::MAX, Ordering::Relaxed);
        let mut allowance = Allowance::new(Arc::clone(&budget));
        allowance.accepted = usize::MAX;
        allowance.finished_seen = usize::MAX;
        for _ in 0..2 {
            assert!(allowance.has_room());
            allowance.accept();
        }
        assert!(!allowance.has_room());
        assert_eq!(budget.queued(), 2);
        budget.finish(1);
        assert!(allowance.has_room());
    }
}
