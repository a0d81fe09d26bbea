//! What the feeder, the lanes and the one who drains tell each other about the end.
//!
//! A batch is open from the first push to the flush. Draining closes the gate, waits for the open batch, and only then
//! tells the lanes to finish: so every job that was accepted before the end gets to its lane. The feeder comes here
//! twice a batch, not once a job. `model.rs` checks this file with loom.

use super::sync::{Condvar, Mutex};
use crate::patience::Patience;

pub(crate) struct Gate {
    state: Mutex<State>,
    /// Only the one who drains waits here.
    changed: Condvar,
}

struct State {
    /// No new batch may be opened.
    closed: bool,
    /// The feeder holds jobs that it has accepted and not handed over.
    batch_open: bool,
    /// How many lanes have not ended.
    lanes: usize,
}

/// The gate is closed.
#[derive(Debug)]
pub(crate) struct Closed;

impl Gate {
    pub(crate) fn new(lanes: usize) -> Gate {
        let state = State { closed: false, batch_open: false, lanes };
        Gate { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The feeder opens a batch, which it must end with `end_batch`.
    pub(crate) fn open_batch(&self) -> Result<(), Closed> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Closed);
        }
        state.batch_open = true;
        Ok(())
    }

    /// The feeder has handed over its batch.
    pub(crate) fn end_batch(&self) {
        let mut state = self.state.lock();
        state.batch_open = false;
        let awaited = state.closed;
        drop(state);
        if awaited {
            self.changed.notify_one();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Waits for the end of the batch that is open; the gate must be closed. Says if there is none any more.
    pub(crate) fn await_batch(&self, patience: Patience) -> Flushed {
        let mut state = self.state.lock();
        while state.batch_open && !patience.is_over() {
            state = self.changed.wait(state, patience);
        }
        if state.batch_open { Flushed::Not } else { Flushed::All }
    }

    /// A lane has ended. Each lane says so once.
    pub(crate) fn lane_ended(&self) {
        self.state.lock().lanes -= 1;
        self.changed.notify_one();
    }

    /// Waits for the lanes to end, and returns how many have not.
    pub(crate) fn await_lanes(&self, patience: Patience) -> usize {
        let mut state = self.state.lock();
        while state.lanes > 0 && !patience.is_over() {
            state = self.changed.wait(state, patience);
        }
        state.lanes
    }
}

/// Whether the feeder has handed over all that it accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    Not,
}
