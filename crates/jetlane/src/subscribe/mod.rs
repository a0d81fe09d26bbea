//! Subscriptions of the bus: one durable consumer, handlers by topic, and lanes between.

mod handler;
mod running;
mod taker;
mod worker;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jetlane_client::proto::{NameError, SubjectError, check_name};
use jetlane_client::{Limits, SubjectFilter};
use jetlane_jetstream::{
    AckPolicy, ApiError, ConsumeError, ConsumerConfig, ConsumerInfo, DeliverPolicy, Settlement,
};
use jetlane_lanes::{Config, Lanes, Pinning, StartError};

use crate::{Envelope, EventBus, IntoVerdict};

pub use handler::RawEvent;
use handler::{Handler, Handlers};
pub(crate) use running::Running;
pub use running::{Counts, Subscription};
use taker::LaneTaker;
use worker::{Pace, Worker};

/// Why a subscription did not start. Nothing is consumed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The subscription's name can not be one. The caller's fault.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A topic is no subject. The caller's fault.
    #[error("the topic {topic:?}: {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        source: SubjectError,
    },
    /// No handler was given. The caller's fault.
    #[error("the subscription has no handler: add one with `on` or `on_raw`")]
    NoHandler,
    /// No stream stores the topic.
    #[error("no stream stores the topic {topic:?}: ensure the topic first")]
    NoStream {
        /// The topic.
        topic: String,
    },
    /// One consumer reads one stream.
    #[error(
        "the topics are stored in different streams ({first:?} and {second:?}): subscribe to each by itself"
    )]
    SeveralStreams {
        /// A stream.
        first: String,
        /// Another.
        second: String,
    },
    /// The server refused the consumer, or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Consuming could not begin.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// The lanes could not be started.
    #[error(transparent)]
    Lanes(#[from] StartError),
}

/// A subscription about to start: give it handlers by topic, then start it.
///
/// All its topics are read by one durable consumer, so events of one aggregate are handled in the order they were
/// stored, whatever their topic.
#[must_use = "nothing is consumed before start is called"]
pub struct Subscribe {
    bus: EventBus,
    name: String,
    handlers: Vec<(String, Handler)>,
    settlement: Settlement,
    lanes: Config,
    deliver: DeliverPolicy,
    ack_wait: Duration,
    pace: Pace,
}

impl Subscribe {
    pub(crate) fn new(bus: EventBus, name: &str) -> Self {
        Self {
            bus,
            name: name.into(),
            handlers: Vec::new(),
            settlement: Settlement::Each,
            lanes: Config::default()
                .name(format!("lane-{name}").chars().take(11).collect::<String>()),
            deliver: DeliverPolicy::All,
            ack_wait: Duration::from_secs(30),
            pace: Pace::default(),
        }
    }

    /// Handles the events of `topic` (wildcards allowed). The handler runs on a lane: events of one aggregate one after the other,
    /// different aggregates side by side. It returns nothing, a `Result` or a [`crate::Verdict`].
    ///
    /// A message of an event goes to the first handler whose topic matches. A message that is no envelope is rejected.
    pub fn on<R: IntoVerdict>(
        mut self,
        topic: &str,
        handler: impl Fn(&Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Envelope(Box::new(move |event| handler(event).into_verdict()));
        self.handlers.push((topic.into(), handler));
        self
    }

    /// As [`Subscribe::on`], for messages as they are. They are in order by their aggregate id if they have one, else by
    /// their subject.
    pub fn on_raw<R: IntoVerdict>(
        mut self,
        topic: &str,
        handler: impl Fn(&RawEvent<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Raw(Box::new(move |event| handler(event).into_verdict()));
        self.handlers.push((topic.into(), handler));
        self
    }

    /// How events are acknowledged. Default [`Settlement::Each`]. [`Settlement::Watermark`] is faster, for one process at a
    /// time, and stops where an event is never done.
    pub fn settlement(mut self, settlement: Settlement) -> Self {
        self.settlement = settlement;
        self
    }

    /// How many lanes handle events. Default: as many as there are cores.
    pub fn lanes(mut self, lanes: NonZeroUsize) -> Self {
        self.lanes = self.lanes.lanes(lanes);
        self
    }

    /// Whether lanes are bound to cores. Default: no.
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.lanes = self.lanes.pinning(pinning);
        self
    }

    /// Where a new subscription begins. Default: with the oldest event. One that is there goes on where it is.
    pub fn deliver(mut self, policy: DeliverPolicy) -> Self {
        self.deliver = policy;
        self
    }

    /// How long the server waits for a sign of life before it delivers an event again. Default 30 s. Events that take longer
    /// are kept alive, so this bounds only how long those of a dead process wait.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// The pace of retries: from `first`, doubling up to `most`. Default from 100 ms to 30 s.
    pub fn retry(mut self, first: Duration, most: Duration) -> Self {
        self.pace = Pace { first, most };
        self
    }

    /// Creates or updates the durable consumer, starts the lanes, and consumes. The bus owns what runs: the handle returned may be
    /// dropped.
    ///
    /// # Errors
    /// [`SubscribeError`] says why not.
    pub fn start(self) -> Result<Subscription, SubscribeError> {
        let consumer = self.make_consumer()?;
        let Self { bus, name, handlers, lanes, pace, .. } = self;
        let handlers: Arc<Handlers> = Arc::new(Handlers::new(handlers)?);
        let window = window(bus.client().limits());
        // Messages of pulls that were taken for lost may come on top of the window.
        let lanes = lanes.max_jobs(window.saturating_mul(4));
        let running = Arc::new(Running::new(name));
        let (lanes, feeder) =
            Lanes::start(lanes, |_| Worker::new(Arc::clone(&handlers), running.shared(), pace))?;
        let taker = LaneTaker::new(feeder, running.shared());
        let consumption = bus.jetstream().consume(&consumer).window(window).taker(taker)?;
        running.begin(lanes, consumption, consumer.stream_name);
        bus.subscriptions().lock().push(Arc::clone(&running));
        Ok(Subscription::new(running, bus.jetstream().clone()))
    }

    fn make_consumer(&self) -> Result<ConsumerInfo, SubscribeError> {
        check_name(&self.name)?;
        let stream = self.stream()?;
        let policy = match self.settlement {
            Settlement::Watermark => AckPolicy::All,
            Settlement::Nothing => AckPolicy::None,
            _ => AckPolicy::Explicit,
        };
        let config = ConsumerConfig::durable(&self.name)
            .ack(policy)
            .ack_wait(self.ack_wait)
            .deliver(self.deliver)
            .max_ack_pending(window(self.bus.client().limits()));
        let config = self.handlers.iter().fold(config, |config, (topic, _)| config.filter(topic));
        Ok(self.bus.jetstream().create_or_update_consumer(&stream, &config).wait()?)
    }

    /// The one stream that stores all topics.
    fn stream(&self) -> Result<String, SubscribeError> {
        let mut stream: Option<String> = None;
        for (topic, _) in &self.handlers {
            SubjectFilter::new(topic)
                .map_err(|source| SubscribeError::Topic { topic: topic.clone(), source })?;
            let found = self.find_stream(topic)?;
            match &stream {
                None => stream = Some(found),
                Some(first) if *first == found => {}
                Some(first) => {
                    let (first, second) = (first.clone(), found);
                    return Err(SubscribeError::SeveralStreams { first, second });
                }
            }
        }
        stream.ok_or(SubscribeError::NoHandler)
    }

    fn find_stream(&self, topic: &str) -> Result<String, SubscribeError> {
        if let Some(known) = self.bus.stream_of(topic) {
            return Ok(known);
        }
        let names = self.bus.jetstream().stream_names(topic).wait()?;
        let first = names.streams.and_then(|names| names.into_iter().next());
        first.ok_or_else(|| SubscribeError::NoStream { topic: topic.into() })
    }
}

/// Most events requested or held at once.
fn window(limits: &Limits) -> usize {
    limits.consumer_messages
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.handlers.iter().map(|(topic, _)| topic).collect();
        f.debug_struct("Subscribe").field("name", &self.name).field("topics", &topics).finish()
    }
}
