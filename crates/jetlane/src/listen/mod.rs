//! Listeners: handlers of events as they are published, stored or not.

mod error;
mod listener;
mod shared;
mod sink;
mod worker;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jetlane_client::proto::check_name;
use jetlane_client::{Client, CloseReason, State, SubjectFilter};
use jetlane_lanes::{Config, Lanes, Pinning};

use crate::subscribe::{Arounds, Handler, Handlers, Next, filters};
use crate::topic::overlap;
use crate::{Envelope, EventBus, IntoVerdict, OrderBy, RawEvent, Verdict};

pub use error::ListenError;
pub(crate) use listener::Listening;
pub use listener::{Listener, ListenerCounts, ListenerHealth};
use shared::{Bounds, Shared};
use sink::{Inlet, ListenSink};
use worker::{OnFailure, Task, Worker};

/// The server has this long to take note of a listener before it is started all the same.
const NOTICE: Duration = Duration::from_secs(5);

/// A listener about to start: give it handlers by topic, then start it.
///
/// It hears events as they are published, *at most once*: those of core topics ([`crate::Topic::core`]), and those of persistent ones, too, for
/// who wants to know at once, and not later. What is published while it is not there, or while its connection is lost, it never hears; what a
/// handler fails on is counted, and told to [`Listen::on_failure`], and not tried again. Handlers that are slower than the events
/// fill the queue, and then newer events are dropped, which is counted, told ([`jetlane_client::Event::SlowConsumer`]) and seen in
/// [`EventBus::health`].
///
/// Events of one aggregate are handled one after the other, in the order in which they came; different aggregates side by side.
#[must_use = "nothing is heard before start is called"]
pub struct Listen {
    bus: EventBus,
    name: String,
    handlers: Vec<(String, Handler)>,
    hearers: Hearers,
    arounds: Arounds,
    on_failure: Option<Box<OnFailure>>,
    order: OrderBy,
    decompress_up_to: usize,
    lanes: Config,
    bounds: Bounds,
}

/// Which of the listeners by one name hear an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearers {
    All,
    One,
}

impl EventBus {
    /// Begins to listen to events as they are published: see [`Listen`].
    ///
    /// ```
    /// use jetlane::{Envelope, Strategy};
    /// # use jetlane::EventBus;
    /// # use std::sync::mpsc;
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # let (seen, all) = mpsc::channel();
    ///
    /// bus.topic("cache.>").core().ensure(Strategy::CreateOnly)?;
    /// let listener = bus
    ///     .listen("cache")
    ///     .on_type("cache.*", "Stale", move |event: &Envelope| {
    ///         println!("forget {}", event.aggregate_id());
    /// #       seen.send(()).unwrap();
    ///     })
    ///     .on_failure(|_, reason| eprintln!("the cache may be stale: {reason}"))
    ///     .start()?;
    /// bus.publish_core("cache.prices", Envelope::new("ACME", "Stale", ""))?;
    /// # all.recv()?;
    /// assert_eq!(listener.counts().dropped, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn listen(&self, name: &str) -> Listen {
        Listen::new(self.clone(), name)
    }
}

impl Listen {
    fn new(bus: EventBus, name: &str) -> Self {
        let limits = bus.client().limits();
        let (events, bytes) = (limits.subscription_messages, limits.subscription_bytes);
        Self {
            bus,
            name: name.into(),
            handlers: Vec::new(),
            hearers: Hearers::All,
            arounds: Arounds::default(),
            on_failure: None,
            order: OrderBy::Aggregate,
            decompress_up_to: Envelope::DECOMPRESS_UP_TO,
            lanes: Config::default()
                .name(format!("lane-{name}").chars().take(11).collect::<String>()),
            bounds: Bounds { events, bytes },
        }
    }

    /// Handles the events of `topic` (wildcards allowed), as [`crate::Subscribe::on`] does; an error or any verdict but
    /// [`Verdict::Done`] means that the handler failed.
    pub fn on<R: IntoVerdict>(
        mut self,
        topic: &str,
        handler: impl Fn(&Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((topic.into(), Handler::envelope(handler)));
        self
    }

    /// As [`Listen::on`], for the events of one type only. Several of them, and one of [`Listen::on`] behind them for the rest, may be for
    /// the same topic.
    pub fn on_type<R: IntoVerdict>(
        mut self,
        topic: &str,
        event_type: &str,
        handler: impl Fn(&Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((topic.into(), Handler::typed(event_type, handler)));
        self
    }

    /// As [`Listen::on`], for a handler that returns a future: see [`crate::Subscribe::on_async`].
    pub fn on_async<R: IntoVerdict, F: Future<Output = R>>(
        self,
        topic: &str,
        handler: impl Fn(Envelope) -> F + Send + Sync + 'static,
    ) -> Self {
        self.on(topic, move |event| jetlane_client::wait(handler(event.clone())))
    }

    /// As [`Listen::on`], for messages as they are: see [`crate::Subscribe::on_raw`].
    pub fn on_raw<R: IntoVerdict>(
        mut self,
        topic: &str,
        handler: impl Fn(&RawEvent<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((topic.into(), Handler::raw(handler)));
        self
    }

    /// Runs something around every call of a handler of envelopes: see [`crate::Subscribe::around`].
    pub fn around(
        mut self,
        around: impl Fn(&Envelope, Next<'_>) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.arounds.add(around);
        self
    }

    /// Is told of every event that a handler failed on, or that could not be read, with the reason; on the lane of the event. A panic in
    /// it is contained, and counted in [`jetlane_client::Stats::callback_panics`]. Default: failures are only counted.
    pub fn on_failure(
        mut self,
        on_failure: impl Fn(&RawEvent<'_>, &str) + Send + Sync + 'static,
    ) -> Self {
        self.on_failure = Some(Box::new(on_failure));
        self
    }

    /// Processes that listen by this name share the events: each event is handled by one of them, as they are a queue group of that
    /// name. The order of an aggregate then holds within each process only. Default: each of them hears all.
    pub fn shared(mut self) -> Self {
        self.hearers = Hearers::One;
        self
    }

    /// Which events are handled in order. Default: those of one aggregate; events without one are spread over all lanes.
    pub fn order_by(mut self, order: OrderBy) -> Self {
        self.order = order;
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

    /// The most bytes that a compressed payload may become: see [`crate::Subscribe::decompress_up_to`].
    pub fn decompress_up_to(mut self, bytes: usize) -> Self {
        self.decompress_up_to = bytes;
        self
    }

    /// How many events may have come and not be handled, those with a handler included; at least 1. Newer ones are dropped then. Default:
    /// [`crate::Limits::subscription_messages`] of the connection (65 536).
    pub fn queue_events(mut self, most: usize) -> Self {
        self.bounds.events = most.max(1);
        self
    }

    /// How many bytes of messages may have come and not be handled. Default: [`crate::Limits::subscription_bytes`] of the connection
    /// (16 MiB).
    pub fn queue_bytes(mut self, most: usize) -> Self {
        self.bounds.bytes = most;
        self
    }

    /// Starts the lanes, and listens: to all that is published once this has returned, if the connection stands. The bus owns what runs:
    /// the handle returned may be dropped.
    ///
    /// # Errors
    /// [`ListenError`] says why not.
    pub fn start(self) -> Result<Listener, ListenError> {
        check_name(&self.name)?;
        if self.handlers.is_empty() {
            return Err(ListenError::NoHandler);
        }
        let topics = filters(&self.handlers);
        let shared = Arc::new(Shared::new(&self.name, self.bounds));
        let handlers =
            Handlers::new(&self.name, self.handlers, self.arounds, self.decompress_up_to)?;
        let Self { bus, name, hearers, order, on_failure, lanes, .. } = self;
        let containment = bus.client().containment();
        let task = Arc::new(Task { handlers, on_failure, containment });
        // What may wait is bounded where it comes in.
        let (lanes, feeder) = Lanes::start(lanes.max_jobs(usize::MAX), |_| Worker {
            shared: Arc::clone(&shared),
            task: Arc::clone(&task),
        })?;
        let inlet = Inlet::new(Arc::clone(&shared), feeder, order);
        let mut sinks = Vec::new();
        for (at, topic) in topics.iter().enumerate() {
            let (group, twins) = match hearers {
                Hearers::All => ("", overlapping(&topics[..at], topic)),
                // A message goes to a group once, whichever of its topics stand for it.
                Hearers::One => (&*name, Vec::new()),
            };
            let sink = ListenSink::new(inlet.clone(), twins, bus.client().slow_reader(topic));
            sinks.push(bus.client().subscription(topic).queue_group(group).sink(sink)?);
        }
        await_notice(bus.client());
        if shared.end_reason() == Some(CloseReason::Denied) {
            return Err(ListenError::Denied);
        }
        let running = Arc::new(Listening::new(name, shared, lanes, sinks));
        bus.listeners().lock().push(Arc::clone(&running));
        Ok(Listener::new(&running, &bus))
    }
}

/// Those of `topics` that stand for some of what `topic` does.
fn overlapping(topics: &[String], topic: &str) -> Vec<SubjectFilter> {
    let twins = topics.iter().filter(|other| overlap(other, topic));
    // All were checked with their handlers.
    twins.filter_map(|twin| SubjectFilter::new(twin).ok()).collect()
}

/// Waits until the server knows of all subscriptions, or there is none to know.
fn await_notice(client: &Client) {
    if client.state() == State::Connected && !client.is_reactor_thread() {
        // (A flush would be told of losses that others ask for.)
        let _ = client.rtt().wait_timeout(NOTICE);
    }
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.handlers.iter().map(|(topic, _)| topic).collect();
        f.debug_struct("Listen").field("name", &self.name).field("topics", &topics).finish()
    }
}
