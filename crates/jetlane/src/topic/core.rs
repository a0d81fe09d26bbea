//! Core topics: their events are stored nowhere.

use std::sync::OnceLock;

use jetlane_client::SubjectFilter;
use jetlane_jetstream::ApiError;

use super::{Strategy, TopicError};
use crate::EventBus;

/// A core topic about to be ensured: see [`crate::Topic::core`].
#[derive(Debug)]
#[must_use = "nothing happens before ensure is called"]
pub struct CoreTopic<'a> {
    bus: &'a EventBus,
    topic: &'a str,
}

impl<'a> CoreTopic<'a> {
    pub(super) fn new(bus: &'a EventBus, topic: &'a str) -> Self {
        Self { bus, topic }
    }

    /// Sees to it that no stream stores any of it, once, at start; with [`Strategy::Skip`] nobody is asked. From then on, and for as long as
    /// it lives, this bus publishes its events by [`EventBus::publish_core`] only.
    ///
    /// A stream that somebody makes later is not noticed, and stores them.
    ///
    /// # Errors
    /// [`TopicError`] says why not; [`TopicError::Stored`] if it is persistent.
    pub fn ensure(self, strategy: Strategy) -> Result<(), TopicError> {
        let filter = SubjectFilter::new(self.topic)?;
        let known = self.bus.stream_storing(self.topic);
        let stream = match strategy {
            _ if known.is_some() => known,
            Strategy::Skip => None,
            _ => self.stream()?,
        };
        if let Some(stream) = stream {
            return Err(TopicError::Stored { stream, topic: self.topic.into() });
        }
        self.bus.core_topics().add(filter);
        Ok(())
    }

    /// A stream that stores some of it.
    fn stream(&self) -> Result<Option<String>, TopicError> {
        match self.bus.jetstream().stream_names(self.topic).wait() {
            Ok(names) => Ok(names.streams.unwrap_or_default().into_iter().next()),
            // Nothing is stored where there is no JetStream.
            Err(ApiError::NotAvailable) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The core topics of a bus. They only become more, so that publishers look at them without a lock.
#[derive(Debug, Default)]
pub(crate) struct CoreTopics {
    first: OnceLock<Box<Known>>,
}

#[derive(Debug)]
struct Known {
    filter: SubjectFilter,
    others: CoreTopics,
}

impl CoreTopics {
    /// Whether events of this subject are stored nowhere. Of a bus without core topics it is one look at a pointer.
    #[inline]
    pub(crate) fn have(&self, subject: &str) -> bool {
        self.first.get().is_some_and(|_| self.find(|filter| filter.matches(subject.as_bytes())))
    }

    /// Whether some subject that `topic` stands for is of one of them.
    pub(super) fn overlap(&self, topic: &str) -> bool {
        self.find(|filter| overlap(filter.as_str(), topic))
    }

    fn add(&self, filter: SubjectFilter) {
        let mut known = Box::new(Known { filter, others: Self::default() });
        let mut here = self;
        // Where somebody was faster, it goes behind that one.
        while let Err(refused) = here.first.set(known) {
            let Some(there) = here.first.get() else { return };
            if there.filter == refused.filter {
                return;
            }
            (known, here) = (refused, &there.others);
        }
    }

    fn find(&self, is_it: impl Fn(&SubjectFilter) -> bool) -> bool {
        let mut here = self;
        while let Some(known) = here.first.get() {
            if is_it(&known.filter) {
                return true;
            }
            here = &known.others;
        }
        false
    }
}

/// Whether a subject exists that both stand for.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(one), Some(other)) if one == other || one == "*" || other == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_topic_is_found_by_its_subjects_and_there_once() {
        let topics = CoreTopics::default();
        assert!(!topics.have("tick.eu") && !topics.overlap(">"));
        for topic in ["tick.>", "pulse.*", "tick.>", "beat", "pulse.*"] {
            topics.add(SubjectFilter::new(topic).unwrap());
        }
        for (subject, expected) in [
            ("tick.eu", true),
            ("tick.eu.x", true),
            ("tick", false),
            ("pulse.a", true),
            ("pulse.a.b", false),
            ("beat", true),
            ("beats", false),
        ] {
            assert_eq!(topics.have(subject), expected, "{subject}");
        }
        let count = std::iter::successors(topics.first.get(), |known| known.others.first.get());
        assert_eq!(count.count(), 3);
    }

    #[test]
    fn two_topics_overlap_where_one_subject_is_of_both() {
        for (a, b, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a.*", "*.b", true),
            ("a.*", "a", false),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            (">", "a.*", true),
            ("a.*.c", "a.b.*", true),
            ("a.*.c", "a.b.d", false),
            ("a.>", "*.*", true),
            ("a.b", "a.b.>", false),
        ] {
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{a} and {b}");
        }
    }

    #[test]
    fn topics_of_many_threads_are_all_there() {
        let topics = CoreTopics::default();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let topics = &topics;
                scope.spawn(move || {
                    for m in 0..50 {
                        topics.add(SubjectFilter::new(&format!("t{n}.{m}")).unwrap());
                    }
                });
            }
        });
        assert!((0..8).all(|n| (0..50).all(|m| topics.have(&format!("t{n}.{m}")))));
    }
}
