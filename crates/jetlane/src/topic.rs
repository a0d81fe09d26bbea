use std::time::Duration;

use jetlane_client::SubjectFilter;
use jetlane_client::proto::SubjectError;
use jetlane_jetstream::{ApiError, Discard, Storage, StreamConfig, StreamInfo};

use crate::EventBus;

/// What `ensure` may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Creates the stream if there is none. One that is there stays as it is, whatever it is set up like; it only
    /// has to store the topic. For production.
    CreateOnly,
    /// Creates the stream, or changes the one that is there to what is declared. For development.
    CreateOrUpdate,
}

/// Why a topic is not ensured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The topic is no subject. The caller's fault.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The server refused, or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The stream is there, and does not store the topic.
    #[error(
        "the stream {stream:?} exists but does not store {topic:?}: choose another stream name, or use CreateOrUpdate"
    )]
    NotStored {
        /// The stream.
        stream: String,
        /// The topic.
        topic: String,
    },
}

/// A topic about to be ensured: events with these subjects are stored, in this way.
#[derive(Debug)]
#[must_use = "nothing happens before ensure is called"]
pub struct Topic<'a> {
    bus: &'a EventBus,
    topic: &'a str,
    config: StreamConfig,
}

impl<'a> Topic<'a> {
    pub(crate) fn new(bus: &'a EventBus, topic: &'a str) -> Self {
        Self { bus, topic, config: StreamConfig::new(stream_name(topic)).subject(topic) }
    }

    /// The name of the stream that stores it. Default: the topic, with what can not be in a name replaced: `order.>`
    /// is stored in `order_ALL`.
    pub fn stream(mut self, name: &str) -> Self {
        self.config.name = name.into();
        self
    }

    /// Where events are kept. Default: on disk.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.config.storage = storage;
        self
    }

    /// How long events are kept. Default: for ever.
    pub fn retain(mut self, age: Duration) -> Self {
        self.config.max_age = age;
        self
    }

    /// Most events kept; the oldest go first. Default: no limit.
    pub fn max_events(mut self, events: u64) -> Self {
        self.config.max_msgs = Some(events);
        self
    }

    /// Most bytes kept; the oldest events go first. Default: no limit.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.config.max_bytes = Some(bytes);
        self
    }

    /// What happens when a limit is reached. Default: the oldest events go.
    pub fn discard(mut self, discard: Discard) -> Self {
        self.config.discard = discard;
        self
    }

    /// How many servers keep a copy. Default 1.
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.config.num_replicas = replicas;
        self
    }

    /// How long an event id is remembered to recognise duplicates. Default: two minutes, the server's.
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.config.duplicate_window = window;
        self
    }

    /// Sees to it that the stream is there, once, at start: nothing on the way of an event ever asks for it.
    ///
    /// # Errors
    /// [`TopicError`] says why not.
    pub fn ensure(self, strategy: Strategy) -> Result<StreamInfo, TopicError> {
        let Self { bus, topic, config } = self;
        let filter = SubjectFilter::new(topic)?;
        let js = bus.jetstream();
        let info = match (js.stream_info(&config.name).wait(), strategy) {
            (Err(ApiError::StreamNotFound { .. }), _) => js.create_stream(&config).wait()?,
            (Err(error), _) => return Err(error.into()),
            (Ok(info), Strategy::CreateOnly) => info,
            (Ok(info), Strategy::CreateOrUpdate) => {
                js.update_stream(&merge(info.config, config)).wait()?
            }
        };
        let stores = |subject: &String| subject == topic || covers(subject, topic);
        if !info.config.subjects.iter().any(stores) {
            let stream = info.config.name;
            return Err(TopicError::NotStored { stream, topic: topic.into() });
        }
        bus.remember_topic(filter, &info.config.name);
        Ok(info)
    }
}

/// What is declared, over what is there: other subjects and unknown fields of it stay.
fn merge(there: StreamConfig, declared: StreamConfig) -> StreamConfig {
    let mut merged = declared;
    for subject in there.subjects {
        if !merged.subjects.contains(&subject) {
            merged.subjects.push(subject);
        }
    }
    merged.other = there.other;
    merged
}

/// True if every subject that `topic` stands for is one that `subject` stands for.
fn covers(subject: &str, topic: &str) -> bool {
    let mut wanted = topic.split('.');
    for token in subject.split('.') {
        match (token, wanted.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other && other != ">" => {}
            _ => return false,
        }
    }
    wanted.next().is_none()
}

fn stream_name(topic: &str) -> String {
    let words = topic.split('.').map(|token| match token {
        "*" => "ANY",
        ">" => "ALL",
        token => token,
    });
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_after_their_topic() {
        for (topic, name) in
            [("order", "order"), ("order.>", "order_ALL"), ("order.*.created", "order_ANY_created")]
        {
            assert_eq!(stream_name(topic), name);
        }
    }

    #[test]
    fn a_wider_subject_covers_a_narrower_one() {
        for (subject, topic, expected) in [
            ("order.>", "order.created", true),
            ("order.>", "order.*", true),
            ("order.>", "order.>", true),
            ("order.>", "order.a.>", true),
            ("order.*", "order.>", false),
            ("order.*", "order.*", true),
            ("order.created", "order.*", false),
            ("order.>", "order", false),
            ("order.>", "payment.created", false),
            (">", "a.b", true),
        ] {
            assert_eq!(covers(subject, topic), expected, "{subject} over {topic}");
        }
    }
}
