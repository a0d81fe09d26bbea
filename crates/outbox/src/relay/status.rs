use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::bell::Bell;

/// What a relay does, and what it has done since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStatus {
    /// The partitions that it owns now, out of 64.
    pub partitions: usize,
    /// Rows in its memory: those on their way, and those behind them.
    pub held: usize,
    /// Loads (an event, or a unit of them) on their way to a stream now.
    pub on_their_way: usize,
    /// Events that were stored by their stream, and whose rows were taken out.
    pub published: u64,
    /// Of those, events that another relay, or an attempt whose ack was lost, had stored already: they were found and not stored twice.
    pub found: u64,
    /// How often a load had to be tried again, for whatever reason.
    pub retried: u64,
    /// Keys that this relay has stopped, because an event was refused.
    pub stopped: u64,
    /// What it has spent its time with.
    pub busy: Busy,
    /// What holds it up now; empty if nothing does.
    pub troubles: Vec<Trouble>,
}

/// What a relay has spent its time with, waiting for the database included. What is left was spent waiting for something to do, or for acks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Busy {
    /// Telling that it lives, taking partitions and giving them back.
    pub leases: Duration,
    /// Looking up whether what waits in partitions that it took is stored already.
    pub recovering: Duration,
    /// Reading rows.
    pub reading: Duration,
    /// Handing them to the connection, and taking what came of them.
    pub publishing: Duration,
    /// Taking the rows out of what is stored.
    pub taking_out: Duration,
    /// Looking up what may be stored.
    pub looking_up: Duration,
}

/// What holds a relay up. It goes on by itself as soon as that is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The database does not do what it is asked for.
    #[error("the database: {0}")]
    Database(String),
    /// A stream does not take events now, or does not say whether it has: of so many loads, and the last reason.
    #[error("{waiting} loads wait, as the last one was not stored: {reason}")]
    Stream {
        /// How many loads wait for another attempt.
        waiting: usize,
        /// Why the last of them was not stored.
        reason: String,
    },
    /// The connection to NATS was closed by its owner: nothing can be published any more.
    #[error("the connection to NATS is closed")]
    Closed,
}

/// What a relay and its thread have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bell: Arc<Bell>,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    status: RelayStatus,
    is_stopping: bool,
    has_ended: bool,
    /// By kind: one of each.
    troubles: BTreeMap<u8, Trouble>,
}

impl Shared {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, state: Mutex::default(), ended: Condvar::new() }
    }

    pub(crate) fn status(&self) -> RelayStatus {
        let state = self.state.lock();
        let troubles = state.troubles.values().cloned().collect();
        RelayStatus { troubles, ..state.status.clone() }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut RelayStatus)) {
        change(&mut self.state.lock().status);
    }

    /// There is this trouble, or none of its kind any more.
    pub(crate) fn trouble(&self, kind: Kind, trouble: Option<Trouble>) {
        let mut state = self.state.lock();
        match trouble {
            Some(trouble) => drop(state.troubles.insert(kind as u8, trouble)),
            None => drop(state.troubles.remove(&(kind as u8))),
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().is_stopping = true;
        self.bell.ring();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().is_stopping
    }

    pub(crate) fn end(&self) {
        self.state.lock().has_ended = true;
        self.ended.notify_all();
    }

    /// Whether it ended by `deadline`.
    pub(crate) fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.has_ended {
            if self.ended.wait_until(&mut state, deadline).timed_out() {
                return state.has_ended;
            }
        }
        true
    }
}

/// The kinds of [`Trouble`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Database,
    Stream,
    Closed,
}
