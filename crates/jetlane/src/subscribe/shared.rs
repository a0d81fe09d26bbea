//! What the lanes, the reactor and the handle of a subscription share.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use jetlane_jetstream::{Receipt, Settle, Settled, Settler};
use parking_lot::Mutex;

use super::breaker::Breaker;
use super::park::ParkedKeys;
use super::policy::Job;
use super::stalled::Stalled;
use crate::seeing::{Count, Meters, Outcome};

#[derive(Debug)]
pub(super) struct Shared {
    settler: OnceLock<Settler>,
    /// Settled before the settler was known: the first lane can be faster than the start.
    early: Mutex<Vec<Settled>>,
    /// Events that the lanes did not take any more.
    refused: Mutex<Vec<Receipt>>,
    /// By lane.
    at_work: Vec<AtWork>,
    pub(super) counts: AtomicCounts,
    pub(super) meters: Meters,
    pub(super) parked: ParkedKeys,
    pub(super) stalled: Stalled,
    pub(super) breaker: Option<Breaker>,
    last_error: Mutex<Option<String>>,
}

/// The event that a lane has begun and not settled. It stays over a retry: should the lane be stopped just then, it is
/// known nowhere else. Each has a cache line of its own, as it is written twice an event.
#[derive(Debug, Default)]
#[repr(align(128))]
struct AtWork {
    receipts: Mutex<Receipts>,
    /// The first of them is settled: told without the lock, and so maybe seen a little late. Whoever then gives it back all the same
    /// changes nothing, as of two settlements the first one counts.
    first_is_settled: AtomicBool,
}

/// Of one event, or of all of a batch.
#[derive(Debug, Default)]
struct Receipts {
    first: Option<Receipt>,
    more: Vec<Receipt>,
}

#[derive(Debug)]
pub(super) struct AtomicCounts {
    pub(super) handled: Count,
    pub(super) retried: Count,
    pub(super) rejected: Count,
    pub(super) dead_lettered: Count,
    pub(super) parked: Count,
    pub(super) passed_over: Count,
    pub(super) panics: Count,
}

impl AtomicCounts {
    fn new(subscription: &str) -> Self {
        let count = |outcome| Count::new(outcome, subscription);
        Self {
            handled: count(Outcome::Handled),
            retried: count(Outcome::Retried),
            rejected: count(Outcome::Rejected),
            dead_lettered: count(Outcome::DeadLettered),
            parked: count(Outcome::Parked),
            passed_over: count(Outcome::PassedOver),
            panics: count(Outcome::Panicked),
        }
    }
}

impl Shared {
    pub(super) fn new(
        subscription: &str,
        lanes: usize,
        parked: ParkedKeys,
        breaker: Option<Breaker>,
    ) -> Self {
        Self {
            settler: OnceLock::new(),
            early: Mutex::default(),
            refused: Mutex::default(),
            at_work: (0..lanes).map(|_| AtWork::default()).collect(),
            counts: AtomicCounts::new(subscription),
            meters: Meters::new(subscription),
            parked,
            stalled: Stalled::default(),
            breaker,
            last_error: Mutex::default(),
        }
    }

    pub(super) fn begin(&self, settler: Settler) {
        let mut early = self.early.lock();
        self.settler.get_or_init(|| settler).settle_all(&mut early);
    }

    /// `lane` has begun to handle an event, or a batch.
    #[inline]
    pub(super) fn begin_work(&self, lane: usize, job: &Job) {
        let at_work = &self.at_work[lane];
        let mut receipts = at_work.receipts.lock();
        at_work.first_is_settled.store(false, Relaxed);
        receipts.first = Some(job.held.receipt);
        receipts.more.clear();
        if !job.is_alone() {
            receipts.more.extend(job.receipts().skip(1));
        }
    }

    /// `lane` is done with the first event that it had begun. It is handed to the reactor at once, as the next handler may take
    /// its time; under load acks gather there by themselves.
    #[inline]
    pub(super) fn end_work(&self, lane: usize, receipt: Receipt, settle: Settle) {
        self.settle(receipt, settle);
        self.meters.settled();
        // Not before it is handed over: whoever sees it as settled lets it be.
        self.at_work[lane].first_is_settled.store(true, Release);
    }

    /// `lane` is done with all events of the batch that it had begun.
    pub(super) fn end_batch(&self, lane: usize, job: &Job, settle: &Settle) {
        for receipt in job.receipts() {
            self.settle(receipt, settle.clone());
            self.meters.settled();
        }
        *self.at_work[lane].receipts.lock() = Receipts::default();
    }

    fn settle(&self, receipt: Receipt, settle: Settle) {
        if let Some(settler) = self.settler.get() {
            return settler.settle(receipt, settle);
        }
        let mut early = self.early.lock();
        // It may have become known while we waited for the lock.
        match self.settler.get() {
            Some(settler) => settler.settle(receipt, settle),
            None => early.push(Settled { receipt, settle }),
        }
    }

    /// How many events that are done can not be acknowledged before this one.
    pub(super) fn holds_up(&self, receipt: Receipt) -> usize {
        self.settler.get().map_or(0, |settler| settler.holds_up(receipt))
    }

    /// Appends what the lanes have begun and not settled.
    pub(super) fn receipts_at_work(&self, receipts: &mut Vec<Receipt>) {
        for at_work in &self.at_work {
            let begun = at_work.receipts.lock();
            receipts.extend(begun.first.filter(|_| !at_work.first_is_settled.load(Acquire)));
            receipts.extend(&begun.more);
        }
    }

    /// The lanes did not take it any more: it goes back with what they have not begun.
    pub(super) fn refuse(&self, receipt: Receipt) {
        self.refused.lock().push(receipt);
    }

    pub(super) fn take_refused(&self, receipts: &mut Vec<Receipt>) {
        receipts.append(&mut self.refused.lock());
    }

    pub(super) fn note_error(&self, error: &str) {
        *self.last_error.lock() = Some(error.into());
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }
}
