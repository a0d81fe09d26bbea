//! Topics: what is stored, where, and for how long; ensured once, at start.

mod core;
mod plan;

use std::time::Duration;

use jetlane_client::SubjectFilter;
use jetlane_client::proto::{SubjectError, check_name};
use jetlane_jetstream::{
    ApiError, ConsumerInfo, Discard, Retention, Storage, StreamConfig, StreamInfo,
};

use crate::EventBus;

pub use core::CoreTopic;
pub(crate) use core::{CoreTopics, overlap};
pub use plan::{Change, Plan, Step};

/// What `ensure` may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Creates the stream if there is none. One that is there stays as it is, whatever it is set up like; it only
    /// has to store the topic. For production.
    CreateOnly,
    /// Creates the stream, or changes the one that is there to what is declared: it stores the topic besides what it stores
    /// already, and what was not said of it stays as it is. What would delete events that are stored is refused, unless
    /// [`Topic::allow_loss`] says that it may. For development.
    CreateOrUpdate,
    /// Changes nothing: the stream must be there, and be as declared. For tests of a set-up, and where others make the streams.
    ValidateOnly,
    /// Asks nothing and changes nothing: the stream is taken to be there, under its name. For the fastest start.
    Skip,
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
    /// A stream stores some of the events of a topic that is to be core.
    #[error(
        "the stream {stream:?} stores events of {topic:?}, and those of a core topic are stored nowhere"
    )]
    Stored {
        /// The stream.
        stream: String,
        /// The topic.
        topic: String,
    },
    /// The topic is to be stored, and some of its events are of a topic that this bus has as core. The caller's fault.
    #[error("events of {topic:?} are core on this bus, and so are stored nowhere")]
    Core {
        /// The topic.
        topic: String,
    },
    /// There is no such stream, and the strategy creates none.
    #[error("the stream {stream:?} does not exist, and ValidateOnly creates none")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// The stream is there and is not as declared, and the strategy changes nothing.
    #[error("the stream is not as declared: {plan}")]
    Differs {
        /// What differs.
        plan: Box<Plan>,
    },
    /// What is declared would delete events that are stored. Nothing was changed.
    #[error("this would delete events: {plan}; if that is wanted, say so with allow_loss")]
    Lossy {
        /// What would be changed.
        plan: Box<Plan>,
    },
}

/// A topic that was ensured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ensured {
    /// What was found, and done about it. With [`Strategy::CreateOnly`] the differences of a stream that is there are told, and left as
    /// they are. `None` with [`Strategy::Skip`], which asks nobody.
    pub plan: Option<Plan>,
    /// The stream as it is now. `None` as above.
    pub info: Option<StreamInfo>,
}

/// A topic about to be ensured: events with these subjects are stored, in this way.
#[derive(Debug)]
#[must_use = "nothing happens before ensure is called"]
pub struct Topic<'a> {
    bus: &'a EventBus,
    topic: &'a str,
    /// What the stream stores besides, if it is created.
    beside: Vec<String>,
    stream: String,
    declared: Declared,
    losses: Losses,
}

/// Whether events may be deleted by a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Losses {
    Refused,
    Allowed,
}

/// What the topics of a bus begin with.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicDefaults {
    /// The stream that stores them; `None` for one each.
    pub(crate) stream: Option<String>,
    pub(crate) declared: Declared,
}

/// What was said of the stream. What was not is left to the server, or as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    pub(crate) storage: Option<Storage>,
    pub(crate) retention: Option<Retention>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_msgs: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) discard: Option<Discard>,
    pub(crate) num_replicas: Option<u32>,
    pub(crate) duplicate_window: Option<Duration>,
    pub(crate) allow_atomic: Option<bool>,
}

impl<'a> Topic<'a> {
    pub(crate) fn new(bus: &'a EventBus, topic: &'a str) -> Self {
        let TopicDefaults { stream, declared } = bus.defaults().topic.clone();
        let stream = stream.unwrap_or_else(|| stream_name(topic));
        Self { bus, topic, beside: Vec::new(), stream, declared, losses: Losses::Refused }
    }

    /// What is declared of its stream.
    #[cfg(feature = "config")]
    pub(crate) fn declare(mut self, declared: Declared) -> Self {
        self.declared = declared;
        self
    }

    /// The stream stores these topics, too, if it is created: so several can share one that is never changed.
    #[cfg(feature = "config")]
    pub(crate) fn beside(mut self, topics: Vec<String>) -> Self {
        self.beside = topics;
        self
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

    /// When events go: at the latest when a limit is reached, or once they are settled, too. Default: when a limit is reached.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.declared.retention = Some(retention);
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

    /// Lets batches of events be stored all or not at all: see [`EventBus::publish_atomic`]. Default: not. Needs nats-server 2.12.
    pub fn atomic(mut self) -> Self {
        self.declared.allow_atomic = Some(true);
        self
    }

    /// Declares it as a *core* topic instead: its events are stored nowhere. They go to whoever listens ([`EventBus::listen`]) when they are
    /// published ([`EventBus::publish_core`]), at most once. For what is of no use later: prices, positions, hints that a cache is stale.
    /// What was said of a stream does not count then, as there is none.
    ///
    /// ```
    /// use jetlane::{Envelope, EventBus, Strategy};
    /// # use std::sync::mpsc;
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # let (seen, ticks) = mpsc::channel();
    ///
    /// bus.topic("tick.>").core().ensure(Strategy::CreateOnly)?;
    /// bus.listen("screen")
    ///     .on("tick.*", move |event: &Envelope| {
    ///         println!("{} is at {:?}", event.aggregate_id(), event.payload());
    /// #       seen.send(()).unwrap();
    ///     })
    ///     .start()?;
    /// bus.publish_core("tick.eu", Envelope::new("ACME", "PriceChanged", "17.03"))?;
    /// # ticks.recv()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn core(self) -> CoreTopic<'a> {
        CoreTopic::new(self.bus, self.topic)
    }

    /// Lets [`Strategy::CreateOrUpdate`] make changes that delete events. Default: they are refused.
    pub fn allow_loss(mut self) -> Self {
        self.losses = Losses::Allowed;
        self
    }

    /// What [`Strategy::CreateOrUpdate`] would do. Changes nothing.
    ///
    /// # Errors
    /// [`TopicError`] says why it can not be known.
    pub fn plan(&self) -> Result<Plan, TopicError> {
        SubjectFilter::new(self.topic)?;
        Ok(self.look()?.plan)
    }

    /// Sees to it that the stream is there, once, at start: nothing on the way of an event ever asks for it.
    ///
    /// # Errors
    /// [`TopicError`] says why not. Nothing was changed then.
    pub fn ensure(self, strategy: Strategy) -> Result<Ensured, TopicError> {
        let filter = SubjectFilter::new(self.topic)?;
        if self.bus.core_topics().overlap(self.topic) {
            return Err(TopicError::Core { topic: self.topic.into() });
        }
        if strategy == Strategy::Skip {
            check_name(&self.stream).map_err(ApiError::from)?;
            self.bus.remember_topic(filter, &self.stream);
            return Ok(Ensured { plan: None, info: None });
        }
        let Found { there, wanted, plan } = self.look()?;
        let js = self.bus.jetstream();
        let info = match (there, strategy) {
            (None, Strategy::ValidateOnly) => {
                return Err(TopicError::NoStream { stream: self.stream });
            }
            (None, _) => js.create_stream(&wanted).wait()?,
            (Some(_), Strategy::ValidateOnly) if plan.step != Step::Keep => {
                return Err(TopicError::Differs { plan: Box::new(plan) });
            }
            (Some(_), Strategy::CreateOrUpdate) if plan.step != Step::Keep => {
                if self.losses == Losses::Refused && plan.losses().next().is_some() {
                    return Err(TopicError::Lossy { plan: Box::new(plan) });
                }
                js.update_stream(&wanted).wait()?
            }
            (Some(there), _) => there,
        };
        if !info.config.subjects.iter().any(|subject| covers(subject, self.topic)) {
            let stream = info.config.name;
            return Err(TopicError::NotStored { stream, topic: self.topic.into() });
        }
        self.bus.remember_topic(filter, &info.config.name);
        Ok(Ensured { plan: Some(plan), info: Some(info) })
    }

    /// Looks at the stream as it is, and at what is declared.
    fn look(&self) -> Result<Found, TopicError> {
        let declared = self.declared.clone();
        match self.bus.jetstream().stream_info(&self.stream).wait() {
            Err(ApiError::StreamNotFound { .. }) => {
                let none = StreamConfig::new(&self.stream);
                let topics = self.beside.iter().map(String::as_str).chain([self.topic]);
                let wanted =
                    declared.over(topics.fold(none, |stream, topic| storing(topic, stream)));
                let plan = Plan::creates(&wanted);
                Ok(Found { there: None, wanted, plan })
            }
            Err(error) => Err(error.into()),
            Ok(there) => {
                let wanted = declared.over(storing(self.topic, there.config.clone()));
                let plan = Plan::of(&there, &wanted, &self.consumers(&wanted)?);
                Ok(Found { there: Some(there), wanted, plan })
            }
        }
    }
}

impl Topic<'_> {
    /// The consumers of the stream, if its limits can delete what they have not handled.
    fn consumers(&self, wanted: &StreamConfig) -> Result<Vec<ConsumerInfo>, TopicError> {
        let has_limits = wanted.max_msgs.or(wanted.max_bytes).is_some();
        let deletes = (has_limits && wanted.discard == Discard::Old) || !wanted.max_age.is_zero();
        match deletes {
            true => Ok(self.bus.jetstream().consumers(&self.stream).collect::<Result<_, _>>()?),
            false => Ok(Vec::new()),
        }
    }
}

/// A stream as it is, and as it is to be.
struct Found {
    there: Option<StreamInfo>,
    wanted: StreamConfig,
    plan: Plan,
}

impl Declared {
    /// What is declared, over what is there.
    fn over(self, there: StreamConfig) -> StreamConfig {
        let mut config = there;
        config.storage = self.storage.unwrap_or(config.storage);
        config.retention = self.retention.unwrap_or(config.retention);
        config.max_age = self.max_age.unwrap_or(config.max_age);
        config.max_msgs = self.max_msgs.or(config.max_msgs);
        config.max_bytes = self.max_bytes.or(config.max_bytes);
        config.discard = self.discard.unwrap_or(config.discard);
        config.num_replicas = self.num_replicas.unwrap_or(config.num_replicas);
        config.allow_atomic = self.allow_atomic.unwrap_or(config.allow_atomic);
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
