use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::WallTime;

/// The message ids of the last time, to know a message that comes again.
#[derive(Debug, Default)]
pub(super) struct Recent {
    sequences: HashMap<String, u64>,
    /// The same ids, oldest first.
    order: VecDeque<(WallTime, String)>,
    last: String,
}

impl Recent {
    /// Where the message with this id was stored, if that was within the window.
    pub(super) fn find(&mut self, id: &str, window: Duration, now: WallTime) -> Option<u64> {
        while let Some((time, oldest)) = self.order.front()
            && *time < now.before(window)
        {
            self.sequences.remove(oldest);
            self.order.pop_front();
        }
        self.sequences.get(id).copied()
    }

    pub(super) fn add(&mut self, id: &str, sequence: u64, now: WallTime) {
        self.last = id.into();
        if self.sequences.insert(id.into(), sequence).is_none() {
            self.order.push_back((now, id.into()));
        }
    }

    /// The id of the last message that had one; empty if none had.
    pub(super) fn last(&self) -> &str {
        &self.last
    }
}
