//! Subscriptions of the bus: one durable consumer, handlers by topic, and lanes between.

mod around;
mod batch;
mod breaker;
mod consumer;
mod dead;
mod handler;
mod health;
mod leave;
mod letter;
mod lost;
mod order;
mod park;
mod policy;
mod running;
mod shared;
mod stalled;
mod start;
mod taker;
mod worker;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jetlane_client::proto::{NameError, SubjectError, check_name};
use jetlane_jetstream::{ApiError, ConsumeError, ConsumerInfo, Settlement};
use jetlane_lanes::{Config, Lanes, Pinning, StartError};

use crate::{Envelope, EventBus, IntoVerdict, Verdict};

pub(crate) use around::Arounds;
pub use around::Next;
use breaker::Breaker;
pub use breaker::{BreakerState, CircuitBreaker};
pub use dead::DeadLetters;
use dead::stream_of_letters;
pub use handler::RawEvent;
pub(crate) use handler::{Handled, Handler, Handlers, WrongTopic, filters};
pub use health::{Backlog, SubscriptionHealth};
use letter::Writer;
pub use order::OrderBy;
use park::ParkedKeys;
pub use park::Parking;
use policy::{Pace, Policy};
pub(crate) use running::Running;
pub use running::{Counts, Subscription};
use shared::Shared;
pub use stalled::StalledEvent;
pub use start::StartAt;
use taker::LaneTaker;
use worker::{ParkingPlace, Task, Worker};

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
    /// One acknowledgement would cover what other processes have not done. The caller's fault.
    #[error("a shared subscription can not settle by watermark: use Settlement::Each")]
    SharedWatermark,
    /// A process does not know what others have parked. The caller's fault.
    #[error("a shared subscription can not park: use dead letters, or one process at a time")]
    SharedParking,
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

impl From<WrongTopic> for SubscribeError {
    fn from(WrongTopic { topic, source }: WrongTopic) -> Self {
        Self::Topic { topic, source }
    }
}

/// A subscription about to start: give it handlers by topic, then start it.
///
/// All its topics are read by one durable consumer, so events of one aggregate are handled in the order they were
/// stored, whatever their topic.
///
/// This strict order is for one process at a time a name. It holds over retries, lost connections and the death of the
/// process: before anything new is handled, whoever comes next waits until all that was delivered and not settled has come
/// again, for the ack wait at most. Where several processes are to share a name, see [`Subscribe::shared`].
#[must_use = "nothing is consumed before start is called"]
pub struct Subscribe {
    bus: EventBus,
    name: String,
    handlers: Vec<(String, Handler)>,
    settlement: Settlement,
    lanes: Config,
    start_at: StartAt,
    ack_wait: Duration,
    most_held: Option<usize>,
    least_held: Option<usize>,
    max_ack_pending: Option<usize>,
    max_waiting: Option<u32>,
    owners: Owners,
    order: OrderBy,
    decompress_up_to: usize,
    arounds: Arounds,
    pace: Pace,
    dead: Option<DeadLetters>,
    parking: Option<Parking>,
    breaker: Option<CircuitBreaker>,
}

/// What the subscriptions of a bus begin with; `None` for what they begin with otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubscribeDefaults {
    /// What their names begin with.
    pub(crate) prefix: Option<String>,
    pub(crate) ack_wait: Option<Duration>,
    pub(crate) most_held: Option<usize>,
    pub(crate) least_held: Option<usize>,
    pub(crate) max_ack_pending: Option<usize>,
    pub(crate) max_waiting: Option<u32>,
}

/// How many processes a subscription's name is for at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owners {
    One,
    Several,
}

impl Subscribe {
    pub(crate) fn new(bus: EventBus, name: &str) -> Self {
        let SubscribeDefaults {
            prefix,
            ack_wait,
            most_held,
            least_held,
            max_ack_pending,
            max_waiting,
        } = bus.defaults().subscribe.clone();
        Self {
            bus,
            name: prefix.map_or_else(|| name.into(), |prefix| format!("{prefix}-{name}")),
            handlers: Vec::new(),
            settlement: Settlement::Each,
            lanes: Config::default()
                .name(format!("lane-{name}").chars().take(11).collect::<String>()),
            start_at: StartAt::All,
            ack_wait: ack_wait.unwrap_or(Duration::from_secs(10)),
            most_held,
            least_held,
            max_ack_pending,
            max_waiting,
            owners: Owners::One,
            order: OrderBy::Aggregate,
            decompress_up_to: Envelope::DECOMPRESS_UP_TO,
            arounds: Arounds::default(),
            pace: Pace::default(),
            dead: None,
            parking: None,
            breaker: None,
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
        self.handlers.push((topic.into(), Handler::envelope(handler)));
        self
    }

    /// As [`Subscribe::on`], for the events of one type only. Several of them, and one of [`Subscribe::on`] behind them for
    /// the rest, may be for the same topic. Events of a topic whose type is nobody's here are for others: they are done, and counted
    /// ([`Counts::passed_over`]).
    pub fn on_type<R: IntoVerdict>(
        mut self,
        topic: &str,
        event_type: &str,
        handler: impl Fn(&Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((topic.into(), Handler::typed(event_type, handler)));
        self
    }

    /// As [`Subscribe::on`], for several events of one aggregate at once, in their order: those that have come together, up to `most`.
    /// (Events without an aggregate come together whatever they are.) A verdict is one on all of them. If they fail for good, or
    /// are rejected, they are handled one by one, so that only the one that is wrong is given up.
    ///
    /// ```
    /// # use std::num::NonZeroUsize;
    /// # use jetlane::{Envelope, EventBus, Strategy};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    /// let most = NonZeroUsize::new(100).unwrap();
    /// bus.subscribe("statistics")
    ///     .on_batch("order.*", most, |events: &[Envelope]| {
    ///         println!("{} events of {}", events.len(), events[0].aggregate_id());
    ///     })
    ///     .start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_batch<R: IntoVerdict>(
        mut self,
        topic: &str,
        most: NonZeroUsize,
        handler: impl Fn(&[Envelope]) -> R + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((topic.into(), Handler::batch(most, handler)));
        self
    }

    /// As [`Subscribe::on_batch`], for messages as they are.
    pub fn on_raw_batch<R: IntoVerdict>(
        mut self,
        topic: &str,
        most: NonZeroUsize,
        handler: impl Fn(&[RawEvent<'_>]) -> R + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((topic.into(), Handler::raw_batch(most, handler)));
        self
    }

    /// As [`Subscribe::on`], for a handler that returns a future. The lane drives it, and waits for it as for any handler: no
    /// executor is needed and none is started. A future that needs the executor it comes from (its timers, its sockets) finds it if the handler
    /// enters it, as with tokio's `Handle::enter`.
    pub fn on_async<R: IntoVerdict, F: Future<Output = R>>(
        self,
        topic: &str,
        handler: impl Fn(Envelope) -> F + Send + Sync + 'static,
    ) -> Self {
        self.on(topic, move |event| jetlane_client::wait(handler(event.clone())))
    }

    /// As [`Subscribe::on`], for messages as they are. Those without an aggregate id are in no order, unless
    /// [`Subscribe::order_by`] gives them one.
    pub fn on_raw<R: IntoVerdict>(
        mut self,
        topic: &str,
        handler: impl Fn(&RawEvent<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((topic.into(), Handler::raw(handler)));
        self
    }

    /// How events are acknowledged. Default [`Settlement::Each`]. [`Settlement::Watermark`] is faster, for one process at a
    /// time, and stops where an event is never done. With [`Settlement::Nothing`] the server counts an event as done once it
    /// has delivered it: events that are given back, by a stop or by [`crate::Verdict::Retry`] when it ends, or that a lost
    /// connection or a dead process had, are gone.
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
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start_at = start;
        self
    }

    /// Which events are handled in order. Default: those of one aggregate; events without one are spread over all lanes.
    pub fn order_by(mut self, order: OrderBy) -> Self {
        self.order = order;
        self
    }

    /// The most bytes that a compressed payload may become; an event whose payload becomes more is rejected. It bounds what one event can take
    /// of memory, times the number of lanes. Default [`Envelope::DECOMPRESS_UP_TO`]. Handlers of [`Subscribe::on_raw`] see
    /// payloads as they are on the wire.
    pub fn decompress_up_to(mut self, bytes: usize) -> Self {
        self.decompress_up_to = bytes;
        self
    }

    /// Runs something around every call of a handler of envelopes: it sees the event, has it handled by [`Next::run`] (or not), and
    /// tells what became of it. The first one given is the outermost. Handlers of [`Subscribe::on_raw`] have nothing around them.
    ///
    /// ```
    /// # use std::time::Instant;
    /// # use jetlane::{Envelope, EventBus, Strategy};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    /// bus.subscribe("billing")
    ///     .around(|event, next| {
    ///         let begun = Instant::now();
    ///         let verdict = next.run();
    ///         println!("{} took {:?}: {verdict:?}", event.event_type(), begun.elapsed());
    ///         verdict
    ///     })
    ///     .on("order.created", |_: &Envelope| {})
    ///     .start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn around(
        mut self,
        around: impl Fn(&Envelope, Next<'_>) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.arounds.add(around);
        self
    }

    /// How long the server waits for a sign of life before it delivers an event again. Default 10 s. Events that take longer
    /// are kept alive, so this bounds only how long those of a dead process wait, or those lost with a connection.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// How many events this process has requested or held at once. Within these bounds their number adapts: no more are requested than
    /// the handlers, as fast as they are, settle in a quarter of the ack wait. It begins with the least, which is for
    /// handlers that are slower still; what they hold is kept alive. Default: from 100 to `Limits::consumer_messages` of the connection
    /// (1024), and at most [`Subscribe::max_ack_pending`].
    pub fn window(mut self, events: RangeInclusive<usize>) -> Self {
        let (least, most) = events.into_inner();
        (self.least_held, self.most_held) = (Some(least), Some(most.max(1)));
        self
    }

    /// How many events may be delivered and not settled, over all processes that share the subscription; at least 1. The server
    /// delivers no more then. Default: as many as one process holds at most.
    pub fn max_ack_pending(mut self, events: usize) -> Self {
        self.max_ack_pending = Some(events.max(1));
        self
    }

    /// Several processes share the events, each event handled by one of them. The order of an aggregate then holds within
    /// each process only: two of its events may be handled by two processes at once, or in the other order. Not with
    /// [`Settlement::Watermark`]. Default: one process at a time, and strict order.
    pub fn shared(mut self) -> Self {
        self.owners = Owners::Several;
        self
    }

    /// The pace of retries: from `first`, doubling up to `most`. Default from 100 ms to 30 s.
    pub fn retry(mut self, first: Duration, most: Duration) -> Self {
        self.pace = Pace { first, most };
        self
    }

    /// Gives events up that can not be handled, and keeps them as dead letters: the event is settled once its letter is stored, and then
    /// the later events of its aggregate go on. Default: an event is tried for ever, and those behind it wait; one that is rejected
    /// is not delivered again, and leaves nothing but the server's advisory.
    pub fn dead_letters(mut self, letters: DeadLetters) -> Self {
        self.dead = Some(letters);
        self
    }

    /// Parks an aggregate whose event can not be handled: that event and every later one of the aggregate wait elsewhere, in order,
    /// until they are redriven, also over a restart; other aggregates go on. Default: an event is tried for ever, and those behind
    /// it wait where they are. With [`Subscribe::dead_letters`] as well, what is rejected or no envelope goes there, and does not
    /// park its aggregate. Not with [`Subscribe::shared`], as a process does not know what others have parked.
    pub fn parking(mut self, parking: Parking) -> Self {
        self.parking = Some(parking);
        self
    }

    /// Pauses while nothing succeeds: after so many failures in a row no handler is called any more, and the consumer is paused for all
    /// processes that share it (server 2.11). When the time is over one event is tried; if it succeeds, all go on. Events that
    /// wait meanwhile keep their attempts, and stay in order. Default: none.
    pub fn circuit_breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Creates or updates the durable consumer, starts the lanes, and consumes. The bus owns what runs: the handle returned may be
    /// dropped.
    ///
    /// # Errors
    /// [`SubscribeError`] says why not.
    pub fn start(self) -> Result<Subscription, SubscribeError> {
        if let Some(dead) = &self.dead {
            stream_of_letters(&self.bus, &dead.subject)?;
        }
        let place = self.parking_place()?;
        let consumer = self.make_consumer()?;
        let parked = match &place {
            Some(place) => ParkedKeys::load(self.bus.jetstream(), &place.stream, &place.prefix)?,
            None => ParkedKeys::default(),
        };
        // The consumption bounds what is on the lanes. A bound of their own would only refuse what is held already, as the
        // room of what they have finished comes back late.
        let lanes = self.lanes.clone().max_jobs(usize::MAX);
        let breaker = self.breaker.map(Breaker::new);
        let shared = Shared::new(&self.name, lanes.lanes.get(), parked, breaker);
        let running = Arc::new(Running::new(self.name.clone(), &consumer.stream_name, shared));
        let (window, in_order) = (self.held_at_most(), self.is_in_order());
        let least = self.least_held;
        let bus = self.bus.clone();
        let task = Arc::new(self.into_task(&consumer, place)?);
        let (lanes, feeder) =
            Lanes::start(lanes, |lane| Worker::new(lane, running.shared(), Arc::clone(&task)))?;
        let taker = LaneTaker::new(feeder, Arc::clone(&task), running.shared());
        let consume = bus.jetstream().consume(&consumer).window(window);
        let consume = match least {
            Some(least) => consume.least_window(least),
            None => consume,
        };
        let consume = if in_order { consume.in_order() } else { consume };
        let lost = match &task.policy.dead {
            Some(dead) => Some(lost::listen(&bus, &task, &running.shared(), dead)?),
            None => None,
        };
        let consumption = consume.taker(taker)?;
        running.begin(lanes, consumption, lost);
        bus.subscriptions().lock().push(Arc::clone(&running));
        Ok(Subscription::new(&running, &bus))
    }

    /// What the lanes are to do.
    fn into_task(
        self,
        consumer: &ConsumerInfo,
        parking: Option<ParkingPlace>,
    ) -> Result<Task, SubscribeError> {
        let window = self.held_at_most();
        let stream = consumer.stream_name.clone();
        let writer = Writer::new(&self.name, &stream, &self.bus);
        Ok(Task {
            writer,
            stream,
            parking,
            handlers: Handlers::new(
                &self.name,
                self.handlers,
                self.arounds,
                self.decompress_up_to,
            )?,
            order: self.order,
            policy: Policy {
                pace: self.pace,
                dead: self.dead,
                parking: self.parking,
                settlement: self.settlement,
                window,
            },
            name: self.name,
        })
    }

    /// Where its events are parked.
    fn parking_place(&self) -> Result<Option<ParkingPlace>, SubscribeError> {
        let Some(Parking { subject, .. }) = &self.parking else { return Ok(None) };
        if self.owners == Owners::Several {
            return Err(SubscribeError::SharedParking);
        }
        check_name(&self.name)?;
        let stream = stream_of_letters(&self.bus, subject)?;
        Ok(Some(ParkingPlace { stream, prefix: format!("{subject}.{}", self.name) }))
    }

    /// Most events requested or held at once.
    fn held_at_most(&self) -> usize {
        let most = self.most_held.unwrap_or_else(|| self.bus.client().limits().consumer_messages);
        most.min(self.max_ack_pending.unwrap_or(usize::MAX))
    }

    /// Whether what is new waits for what was lost. Without acknowledgements nothing comes again to wait for.
    fn is_in_order(&self) -> bool {
        self.owners == Owners::One && self.settlement != Settlement::Nothing
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.handlers.iter().map(|(topic, _)| topic).collect();
        f.debug_struct("Subscribe").field("name", &self.name).field("topics", &topics).finish()
    }
}
