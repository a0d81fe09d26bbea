use std::collections::{HashMap, VecDeque};

use bytestring::ByteString;

/// What happens to the later events of an aggregate when the publish of one fails: see [`crate::PublisherBuilder::order`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyOrder {
    /// Nothing: events go out as they come, many of one aggregate at a time, and one that fails may be overtaken by those behind it.
    /// The fastest, and the order of [`crate::EventBus::publish`]: as long as nothing fails, the order is kept.
    #[default]
    Free,
    /// They wait. One event of an aggregate is on its way at a time, and many aggregates side by side. An event whose ack does not come,
    /// or that is refused temporarily ([`jetlane_jetstream::Rejection::is_temporary`], or as
    /// [`crate::PublisherBuilder::retry_if`] says), is published again under the same event id, backing off, until it is stored: the stream's
    /// duplicate window, which has to be longer than the publisher's patience, recognises what it has already.
    ///
    /// What is refused for good, or for longer than the publisher is patient, fails; and as nothing may overtake it silently, those
    /// behind it fail with [`crate::NotPublished::Behind`], as under [`KeyOrder::Fail`].
    Wait,
    /// They fail with it. One event of an aggregate is on its way at a time, and many aggregates side by side. When one fails, for
    /// whatever reason, all later ones of its aggregate that were accepted before the failure was told fail with
    /// [`crate::NotPublished::Behind`], and were not sent. Those that are accepted after all these outcomes were taken go out again.
    Fail,
}

/// What becomes of an event that comes to its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<E> {
    /// It is the only one, and may go out.
    Go(E),
    /// It stands behind others.
    Waits,
    /// It must not go out, as this event failed before it and nobody has been told.
    Behind(E, ByteString),
}

/// The order of each key: who may go out, who waits, and who is behind a failure. Knows neither time nor network.
#[derive(Debug)]
pub(super) struct Keys<E> {
    /// Of each key that has an event on its way: those behind it.
    lines: HashMap<String, VecDeque<E>>,
    /// Of keys with a failure that was not told, so far as is known here.
    broken: HashMap<String, Broken>,
}

#[derive(Debug)]
struct Broken {
    /// The number of the last outcome that tells of it. What was accepted before so many were taken is behind the failure.
    until: u64,
    event_id: ByteString,
}

impl<E> Default for Keys<E> {
    fn default() -> Self {
        Self { lines: HashMap::new(), broken: HashMap::new() }
    }
}

impl<E> Keys<E> {
    /// An event comes, which was accepted when `taken` outcomes had been taken.
    pub(super) fn enter(&mut self, key: &str, event: E, taken: u64) -> Entry<E> {
        if let Some(broken) = self.broken.get(key) {
            if taken < broken.until {
                return Entry::Behind(event, broken.event_id.clone());
            }
            self.broken.remove(key);
        }
        if let Some(behind) = self.lines.get_mut(key) {
            behind.push_back(event);
            return Entry::Waits;
        }
        self.lines.insert(key.into(), VecDeque::new());
        Entry::Go(event)
    }

    /// The event of this key that was on its way is stored: the next one.
    pub(super) fn next(&mut self, key: &str) -> Option<E> {
        let next = self.lines.get_mut(key).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.lines.remove(key);
        }
        next
    }

    /// The event of this key that was on its way failed: those behind it.
    pub(super) fn fail(&mut self, key: &str) -> VecDeque<E> {
        self.lines.remove(key).unwrap_or_default()
    }

    /// Lets nothing pass on this key that is accepted before `until` outcomes were taken.
    pub(super) fn hold(&mut self, key: String, until: u64, event_id: ByteString) {
        self.broken.insert(key, Broken { until, event_id });
    }

    /// Nothing comes any more that was accepted before so many outcomes were taken.
    pub(super) fn heal(&mut self, taken: u64) {
        self.broken.retain(|_, broken| taken < broken.until);
    }

    /// All that wait. Those on their way are not among them.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = E> {
        self.lines.values_mut().flat_map(|behind| behind.drain(..))
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.broken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_key_goes_at_a_time_and_keys_go_side_by_side() {
        let mut keys = Keys::default();
        assert_eq!(keys.enter("a", 1, 0), Entry::Go(1));
        assert_eq!(keys.enter("a", 2, 0), Entry::Waits);
        assert_eq!(keys.enter("b", 3, 0), Entry::Go(3));
        assert_eq!(keys.enter("a", 4, 0), Entry::Waits);
        assert_eq!(keys.next("a"), Some(2));
        assert_eq!(keys.next("b"), None);
        assert_eq!(keys.enter("b", 5, 0), Entry::Go(5));
        assert_eq!(keys.next("a"), Some(4));
        assert_eq!((keys.next("a"), keys.next("b")), (None, None));
        assert!(keys.is_empty(), "nothing is kept of keys that are done");
    }

    #[test]
    fn nothing_passes_a_failure_before_it_and_those_behind_it_were_told() {
        let mut keys = Keys::default();
        let id = ByteString::from_static("id");
        for n in 1..=3 {
            keys.enter("a", n, 0);
        }
        assert_eq!(keys.fail("a"), [2, 3]);
        // Three outcomes tell of it: the failure, and two behind it.
        keys.hold("a".into(), 3, id.clone());
        for taken in 0..3 {
            keys.heal(taken);
            assert_eq!(keys.enter("a", 4, taken), Entry::Behind(4, id.clone()), "{taken} taken");
            assert_eq!(keys.enter("b", 5, taken), Entry::Go(5), "another key goes on");
            keys.next("b");
        }
        assert_eq!(keys.enter("a", 4, 3), Entry::Go(4));
        assert_eq!(keys.next("a"), None);
        assert!(keys.is_empty());
        keys.hold("a".into(), 7, id);
        keys.heal(7);
        assert!(keys.is_empty(), "nothing is kept of failures that were told");
    }
}
