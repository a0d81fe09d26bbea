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
    /// Creates the stream, or changes the one that is there to what is declared: it stores the topic besides what it stores
    /// already, and what was not said of it stays as it is. For development.
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
    stream: String,
    declared: Declared,
}

/// What was said of the stream. What was not is left to the server, or as it is.
#[derive(Debug, Default)]
struct Declared {
    storage: Option<Storage>,
    max_age: Option<Duration>,
    max_msgs: Option<u64>,
    max_bytes: Option<u64>,
    discard: Option<Discard>,
    num_replicas: Option<u32>,
    duplicate_window: Option<Duration>,
}

impl<'a> Topic<'a> {
    pub(crate) fn new(bus: &'a EventBus, topic: &'a str) -> Self {
        Self { bus, topic, stream: stream_name(topic), declared: Declared::default() }
    }

    /// The name of the stream that stores it. Default: the topic, with what can be in a subject and not in a name replaced
    /// (dots, slashes and backslashes by `_`, the wildcards by words): `order.>` is stored in `order_ALL`.
    pub fn stream(mut self, name: &str) -> Self {
        self.stream = name.into();
        self
    }

    /// Where events are kept. Default: on disk.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.declared.storage = Some(storage);
        self
    }

    /// How long events are kept. Default: for ever.
    pub fn retain(mut self, age: Duration) -> Self {
        self.declared.max_age = Some(age);
        self
    }

    /// Most events kept; the oldest go first. Default: no limit.
    pub fn max_events(mut self, events: u64) -> Self {
        self.declared.max_msgs = Some(events);
        self
    }

    /// Most bytes kept; the oldest events go first. Default: no limit.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.declared.max_bytes = Some(bytes);
        self
    }

    /// What happens when a limit is reached. Default: the oldest events go.
    pub fn discard(mut self, discard: Discard) -> Self {
        self.declared.discard = Some(discard);
        self
    }

    /// How many servers keep a copy. Default 1.
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.declared.num_replicas = Some(replicas);
        self
    }

    /// How long an event id is remembered to recognise duplicates. Default: two minutes, the server's, but no longer than
    /// events are kept.
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.declared.duplicate_window = Some(window);
        self
    }

    /// Sees to it that the stream is there, once, at start: nothing on the way of an event ever asks for it.
    ///
    /// # Errors
    /// [`TopicError`] says why not.
    pub fn ensure(self, strategy: Strategy) -> Result<StreamInfo, TopicError> {
        let Self { bus, topic, stream, declared } = self;
        let filter = SubjectFilter::new(topic)?;
        let js = bus.jetstream();
        let info = match (js.stream_info(&stream).wait(), strategy) {
            (Err(ApiError::StreamNotFound { .. }), _) => {
                let config = declared.over(StreamConfig::new(stream).subject(topic));
                js.create_stream(&config).wait()?
            }
            (Err(error), _) => return Err(error.into()),
            (Ok(info), Strategy::CreateOnly) => info,
            (Ok(info), Strategy::CreateOrUpdate) => {
                js.update_stream(&declared.over(storing(topic, info.config))).wait()?
            }
        };
        let stores = |subject: &String| covers(subject, topic);
        if !info.config.subjects.iter().any(stores) {
            let stream = info.config.name;
            return Err(TopicError::NotStored { stream, topic: topic.into() });
        }
        bus.remember_topic(filter, &info.config.name);
        Ok(info)
    }
}

impl Declared {
    /// What is declared, over what is there.
    fn over(self, there: StreamConfig) -> StreamConfig {
        let mut config = there;
        config.storage = self.storage.unwrap_or(config.storage);
        config.max_age = self.max_age.unwrap_or(config.max_age);
        config.max_msgs = self.max_msgs.or(config.max_msgs);
        config.max_bytes = self.max_bytes.or(config.max_bytes);
        config.discard = self.discard.unwrap_or(config.discard);
        config.num_replicas = self.num_replicas.unwrap_or(config.num_replicas);
        config.duplicate_window = self.duplicate_window.unwrap_or_else(|| {
            // The server refuses to remember ids for longer than it keeps their events.
            let longest = config.max_age;
            let there = config.duplicate_window;
            if longest.is_zero() { there } else { there.min(longest) }
        });
        config
    }
}

/// The same stream, with the topic among its subjects, which must not overlap.
fn storing(topic: &str, mut config: StreamConfig) -> StreamConfig {
    if !config.subjects.iter().any(|subject| covers(subject, topic)) {
        config.subjects.retain(|subject| !covers(topic, subject));
        config.subjects.push(topic.into());
    }
    config
}

/// True if every subject that `topic` stands for is one that `subject` stands for.
pub(crate) fn covers(subject: &str, topic: &str) -> bool {
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
        "*" => "ANY".into(),
        ">" => "ALL".into(),
        // As parts of a token all of these are plain letters of a subject.
        token => token.replace(['/', '\\', '*', '>'], "_"),
    });
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_after_their_topic() {
        for (topic, name) in [
            ("order", "order"),
            ("order.>", "order_ALL"),
            ("order.*.created", "order_ANY_created"),
            ("eu/order\\v1.*", "eu_order_v1_ANY"),
            ("a>b.c*", "a_b_c_"),
        ] {
            assert_eq!(stream_name(topic), name);
            assert!(jetlane_client::proto::check_name(&stream_name(topic)).is_ok(), "{topic}");
        }
    }

    #[test]
    fn the_topic_joins_the_subjects_of_its_stream() {
        for (subjects, topic, expected) in [
            (&["order.>"][..], "payment.*", &["order.>", "payment.*"][..]),
            (&["order.>"], "order.created", &["order.>"]),
            (&["order.created", "audit"], "order.*", &["audit", "order.*"]),
            (&[], "order.*", &["order.*"]),
        ] {
            let mut config = StreamConfig::new("S");
            config.subjects = subjects.iter().map(ToString::to_string).collect();
            assert_eq!(storing(topic, config).subjects, expected, "{topic} in {subjects:?}");
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
