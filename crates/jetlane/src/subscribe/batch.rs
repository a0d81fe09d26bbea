//! Events of one key that came together, for handlers that take several at once.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;

use jetlane_jetstream::Held;
use jetlane_lanes::Key;

use super::policy::Job;

/// What has come in this turn of the reactor, by key.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Where the open group of a key is.
    open: HashMap<Option<Key>, usize>,
}

#[derive(Debug)]
struct Group {
    key: Option<Key>,
    handler: usize,
    /// Empty once they were handed on.
    events: VecDeque<Held>,
}

/// What is ready for its lane.
pub(super) type Ready = (Option<Key>, Job);

impl Groups {
    /// Takes an event for a handler of at most so many. Gives back the events before it that it can not join.
    pub(super) fn add(
        &mut self,
        key: Option<Key>,
        handler: usize,
        most: NonZeroUsize,
        held: Held,
    ) -> Option<Ready> {
        if let Some(&at) = self.open.get(&key) {
            let group = &mut self.groups[at];
            if group.handler == handler && group.events.len() < most.get() {
                group.events.push_back(held);
                return None;
            }
        }
        let before = self.close(key);
        self.open.insert(key, self.groups.len());
        self.groups.push(Group { key, handler, events: VecDeque::from([held]) });
        before
    }

    /// The events of a key that are to go before another one.
    pub(super) fn close(&mut self, key: Option<Key>) -> Option<Ready> {
        let at = self.open.remove(&key)?;
        self.groups[at].ready()
    }

    /// All, in the order in which they began.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Ready> {
        self.open.clear();
        self.groups.drain(..).filter_map(|mut group| group.ready())
    }
}

impl Group {
    fn ready(&mut self) -> Option<Ready> {
        let mut events = std::mem::take(&mut self.events);
        let first = events.pop_front()?;
        Some((self.key, Job::batch(first, events)))
    }
}
