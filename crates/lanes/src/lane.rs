//! One lane, as its thread, the feeder and the one who drains share it.

use std::collections::VecDeque;
use std::time::Instant;

use crate::backlog::{Backlog, Next, Order, Settled};
use crate::intake::Intake;
use crate::patience::Patience;
use crate::sync::Mutex;
use crate::waiting::Item;

/// Lock order: backlog, then intake. The feeder takes only the intake's, which is never held for longer than it takes
/// to move a batch.
pub(crate) struct Lane<J> {
    intake: Intake<Item<J>>,
    backlog: Mutex<Backlog<J>>,
}

impl<J> Lane<J> {
    pub(crate) fn new() -> Lane<J> {
        Lane { intake: Intake::new(), backlog: Mutex::new(Backlog::new()) }
    }

    /// The feeder hands over its batch. It keeps it if the lane takes no more.
    pub(crate) fn give(&self, batch: &mut VecDeque<Item<J>>) {
        self.intake.give(batch);
    }

    /// Ends the intake and gives the lane an order. Never waits for a job.
    pub(crate) fn order(&self, order: Order) {
        // In this sequence, so that a lane that sees the order has all that it will ever get.
        self.intake.close();
        self.backlog.lock().obey(order);
        self.intake.ring();
    }

    /// The lane settles the job that ran and asks for the next one, under one lock.
    pub(crate) fn next(&self, settled: Settled<J>) -> Next<J> {
        let mut backlog = self.backlog.lock();
        backlog.settle(settled);
        backlog.next(|ready| self.intake.take(ready), Instant::now)
    }

    pub(crate) fn settle(&self, settled: Settled<J>) {
        self.backlog.lock().settle(settled);
    }

    pub(crate) fn sleep(&self, patience: Patience) {
        self.intake.sleep(patience);
    }

    /// Takes the jobs that are left, in order key by key. From now on the lane gets rid of what comes back to it.
    pub(crate) fn collect(&self, into: &mut Vec<J>) {
        self.order(Order::Discard);
        self.backlog.lock().take_all(|ready| self.intake.take(ready), into);
    }

    /// The jobs that nobody will collect.
    pub(crate) fn unwanted(&self) -> Vec<J> {
        let mut jobs = Vec::new();
        let mut backlog = self.backlog.lock();
        if backlog.order() == Order::Discard {
            backlog.take_all(|ready| self.intake.take(ready), &mut jobs);
        }
        jobs
    }
}
