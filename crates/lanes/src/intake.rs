//! The hand-over from the feeder to one lane.
//!
//! One lock, taken once a batch on either side. The lane sleeps only after it has seen, under the lock, that there is
//! nothing to take and that nobody has rung; whoever changes either does so under the same lock and then wakes the
//! lane if it sleeps. `model.rs` checks this file with loom.

use std::collections::VecDeque;
use std::mem;

use super::sync::{Condvar, Mutex};
use crate::patience::Patience;

pub(crate) struct Intake<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    /// No item is accepted any more.
    closed: bool,
    /// There is news for the lane other than items. Stays until the lane has been awake to see it.
    rung: bool,
    /// The lane waits on `wake` and nobody has notified it yet.
    sleeping: bool,
}

impl<T> Intake<T> {
    pub(crate) fn new() -> Intake<T> {
        let state = State { items: VecDeque::new(), closed: false, rung: false, sleeping: false };
        Intake { state: Mutex::new(state), wake: Condvar::new() }
    }

    /// Hands over all of `batch`, or nothing if the intake is closed. Called by the feeder alone.
    pub(crate) fn give(&self, batch: &mut VecDeque<T>) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if state.items.is_empty() {
            // The usual case, and one that moves no item: the buffers go round between feeder, intake and lane.
            mem::swap(&mut state.items, batch);
        } else {
            state.items.append(batch);
        }
        let sleeping = mem::take(&mut state.sleeping);
        // Without the lock, so that the lane does not wake only to wait for it.
        drop(state);
        if sleeping {
            self.wake.notify_one();
        }
    }

    /// Takes everything, if `into` is empty (else nothing). Called by the lane, and by whoever collects after it.
    pub(crate) fn take(&self, into: &mut VecDeque<T>) {
        if into.is_empty() {
            mem::swap(&mut self.state.lock().items, into);
        }
    }

    /// Refuses items from now on.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Makes the current or the next `sleep` return.
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock();
        state.rung = true;
        let sleeping = mem::take(&mut state.sleeping);
        drop(state);
        if sleeping {
            self.wake.notify_one();
        }
    }

    /// Returns when there are items, when somebody has rung, or when the patience is over. Called by the lane alone.
    pub(crate) fn sleep(&self, patience: Patience) {
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.rung && !patience.is_over() {
            state.sleeping = true;
            state = self.wake.wait(state, patience);
            // It may have been the clock, or nothing, that ended the wait.
            state.sleeping = false;
        }
        state.rung = false;
    }
}
