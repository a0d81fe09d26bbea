use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::{Arc, Weak};

use jetlane_client::{AsSubject, Client, ConnectError, ConnectOptions, SubjectFilter};
use jetlane_jetstream::{JetStream, Ticket};
use parking_lot::Mutex;

use crate::listen::Listening;
use crate::publish::{Befores, Checked, Finish, PublisherDefaults, publish_all};
use crate::subscribe::{Running, SubscribeDefaults};
use crate::topic::{CoreTopics, TopicDefaults, covers, overlap};
use crate::{BatchError, Envelope, Form, PublishError, Subscribe, Topic};

/// The event bus: one connection, publishing and subscribing. Cloning is cheap, and all clones are the same bus.
///
/// [`EventBus::close`] ends it well. Dropping the last clone ends it at once: what is queued is written in the background,
/// handlers that run are left to themselves, and what they have not settled is delivered again after the ack wait.
/// (A handler that holds a clone keeps the bus open until it is closed.)
#[derive(Clone)]
pub struct EventBus {
    inner: Arc<Inner>,
    pub(crate) befores: Befores,
}

/// A bus that may be gone.
#[derive(Clone, Debug)]
pub(crate) struct WeakBus {
    inner: Weak<Inner>,
}

impl WeakBus {
    pub(crate) fn upgrade(&self) -> Option<EventBus> {
        Some(EventBus::of(self.inner.upgrade()?))
    }
}

/// What topics, subscriptions and publishers of a bus begin with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) topic: TopicDefaults,
    pub(crate) subscribe: SubscribeDefaults,
    pub(crate) publisher: PublisherDefaults,
}

struct Inner {
    js: JetStream,
    defaults: Defaults,
    /// The streams that store what, of all topics that were ensured.
    topics: Mutex<Vec<(SubjectFilter, String)>>,
    /// Of whose events none is stored.
    core: Arc<CoreTopics>,
    /// Those that were neither stopped nor closed.
    subscriptions: Mutex<Vec<Arc<Running>>>,
    /// Likewise.
    listeners: Mutex<Vec<Arc<Listening>>>,
    /// Those that may have something to publish, and some that have ended.
    publishers: Mutex<Vec<Weak<dyn Finish>>>,
    /// The server, if it is the bus's own. Behind everything that uses it, so that it goes last.
    #[cfg(feature = "memory")]
    server: Option<jetlane_memory::MemoryServer>,
}

impl EventBus {
    /// Connects with the defaults.
    ///
    /// # Errors
    /// [`ConnectError`] says why not.
    pub fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, ConnectOptions::new())
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`] says why not.
    pub fn connect_with(url: &str, options: ConnectOptions) -> Result<Self, ConnectError> {
        Ok(Self::on(connect(url, options)?))
    }

    /// A bus for a unit test: on a server in this process, of its own and empty ([`memory`](crate::memory)). It lives as long as
    /// the last clone of the bus, and what was published goes with it.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use jetlane::{Envelope, EventBus, Strategy, SubscribeError, Subscription};
    ///
    /// // What is to be tested.
    /// fn count_orders(bus: &EventBus, seen: mpsc::Sender<String>) -> Result<Subscription, SubscribeError> {
    ///     bus.subscribe("counter")
    ///         .on("order.created", move |event: &Envelope| seen.send(event.aggregate_id().to_string()))
    ///         .start()
    /// }
    ///
    /// // The test.
    /// let bus = EventBus::in_memory()?;
    /// bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    /// let (seen, orders) = mpsc::channel();
    /// count_orders(&bus, seen)?;
    /// bus.publish("order.created", Envelope::new("order-42", "OrderCreated", "{}"))?.wait()?;
    /// assert_eq!(orders.recv_timeout(Duration::from_secs(10))?, "order-42");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// For several buses on one server, as services have it, start a [`MemoryServer`](crate::memory::MemoryServer) and connect
    /// to its url.
    ///
    /// # Errors
    /// [`ConnectError::Reactor`] if the system has no port or thread left for the server.
    #[cfg(feature = "memory")]
    pub fn in_memory() -> Result<Self, ConnectError> {
        let server = jetlane_memory::MemoryServer::start().map_err(ConnectError::Reactor)?;
        let js = connect(&server.url(), ConnectOptions::new())?;
        Ok(Self::of(Arc::new(Inner { server: Some(server), ..Inner::on(js) })))
    }

    /// A bus on a connection that is there already.
    pub fn on(js: JetStream) -> Self {
        Self::of(Arc::new(Inner::on(js)))
    }

    fn of(inner: Arc<Inner>) -> Self {
        Self { inner, befores: Befores::default() }
    }

    /// A bus on a connection that is there already, whose topics, subscriptions and publishers begin with `defaults`.
    #[cfg(feature = "config")]
    pub(crate) fn with_defaults(js: JetStream, defaults: Defaults) -> Self {
        Self::of(Arc::new(Inner { defaults, ..Inner::on(js) }))
    }

    pub(crate) fn defaults(&self) -> &Defaults {
        &self.inner.defaults
    }

    /// Begins to declare a topic: a subject, wildcards allowed.
    pub fn topic<'a>(&'a self, topic: &'a str) -> Topic<'a> {
        Topic::new(self, topic)
    }

    /// Queues an event, and returns at once; the ticket tells what became of it. Waits only while as many publishes wait
    /// for their ack as `Limits::pending_acks` allows, or the write queue is full.
    ///
    /// Events of one thread are stored in the order of its calls.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    pub fn publish(
        &self,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
    ) -> Result<Ticket, PublishError> {
        self.publish_as(Form::Header, topic, event)
    }

    /// Queues events of one topic, in this order, each with a ticket of its own.
    ///
    /// # Errors
    /// [`BatchError`] has the tickets of those before the first that could not be queued; nothing behind it was.
    pub fn publish_batch<E: Borrow<Envelope>>(
        &self,
        topic: impl AsSubject,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Ticket>, BatchError> {
        publish_all(events, |event| self.publish(&topic, event))
    }

    /// As [`EventBus::publish`], in a form of choice, so that systems which read another one can share the stream. Whoever
    /// subscribes by jetlane recognises all forms. Forms other than [`Form::Header`] allocate.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then. [`crate::EnvelopeError::PayloadNotJson`] if the form can hold only JSON.
    #[inline]
    pub fn publish_as(
        &self,
        form: Form,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
    ) -> Result<Ticket, PublishError> {
        let topic = Checked::of(&topic)?;
        let event = self.pass(topic, event.borrow())?;
        self.send(form, topic, &event)
    }

    /// What every event that is to be stored passes: its topic is one for it, and all that runs before is done.
    #[inline]
    pub(crate) fn pass<'a>(
        &self,
        topic: Checked<'_>,
        event: &'a Envelope,
    ) -> Result<Cow<'a, Envelope>, PublishError> {
        self.inner.core.refuse(topic)?;
        self.befores.run(topic, event)
    }

    /// As [`EventBus::publish_as`], of what has passed.
    #[inline]
    pub(crate) fn send(
        &self,
        form: Form,
        topic: Checked<'_>,
        event: &Envelope,
    ) -> Result<Ticket, PublishError> {
        let message = event.encode(form, topic.as_str())?;
        Ok(self.inner.js.publish_with(topic, &message, message.body())?)
    }

    /// Queues bytes that are no envelope. Handlers of [`Subscribe::on_raw`] see them.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    pub fn publish_raw(
        &self,
        topic: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<Ticket, PublishError> {
        let topic = Checked::of(&topic)?;
        self.inner.core.refuse(topic)?;
        Ok(self.inner.js.publish(topic, payload)?)
    }

    /// Begins a subscription under this name: who comes back by the same name goes on where the last one stopped.
    ///
    /// Strict order is for one process at a time a name. Processes that are there at once share the events, and then the
    /// events of one aggregate are in order within each process only: say so with [`Subscribe::shared`].
    pub fn subscribe(&self, name: &str) -> Subscribe {
        Subscribe::new(self.clone(), name)
    }

    /// The layer below.
    pub fn jetstream(&self) -> &JetStream {
        &self.inner.js
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        self.inner.js.client()
    }

    pub(crate) fn remember_topic(&self, filter: SubjectFilter, stream: &str) {
        let mut topics = self.inner.topics.lock();
        topics.retain(|(known, _)| *known != filter);
        topics.push((filter, stream.into()));
    }

    /// The stream that an ensured topic is stored in.
    pub(crate) fn stream_of(&self, topic: &str) -> Option<String> {
        let topics = self.inner.topics.lock();
        // Streams have no subject in common: who stores all of a topic is the only one that stores any of it.
        let known = topics.iter().find(|(filter, _)| covers(filter.as_str(), topic));
        known.map(|(_, stream)| stream.clone())
    }

    /// The stream that stores some of the events of `topic`, if its own topic was ensured here.
    pub(crate) fn stream_storing(&self, topic: &str) -> Option<String> {
        let topics = self.inner.topics.lock();
        let known = topics.iter().find(|(filter, _)| overlap(filter.as_str(), topic));
        known.map(|(_, stream)| stream.clone())
    }

    pub(crate) fn core_topics(&self) -> &Arc<CoreTopics> {
        &self.inner.core
    }

    pub(crate) fn downgrade(&self) -> WeakBus {
        WeakBus { inner: Arc::downgrade(&self.inner) }
    }

    pub(crate) fn remember_publisher(&self, publisher: &Arc<dyn Finish>) {
        let mut publishers = self.inner.publishers.lock();
        publishers.retain(|known| known.strong_count() > 0);
        publishers.push(Arc::downgrade(publisher));
    }

    pub(crate) fn publishers(&self) -> Vec<Arc<dyn Finish>> {
        self.inner.publishers.lock().iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn subscriptions(&self) -> &Mutex<Vec<Arc<Running>>> {
        &self.inner.subscriptions
    }

    pub(crate) fn listeners(&self) -> &Mutex<Vec<Arc<Listening>>> {
        &self.inner.listeners
    }
}

impl Inner {
    fn on(js: JetStream) -> Self {
        Self {
            js,
            defaults: Defaults::default(),
            topics: Mutex::default(),
            core: Arc::default(),
            subscriptions: Mutex::default(),
            listeners: Mutex::default(),
            publishers: Mutex::default(),
            #[cfg(feature = "memory")]
            server: None,
        }
    }
}

fn connect(url: &str, options: ConnectOptions) -> Result<JetStream, ConnectError> {
    let client = options.connect(url)?;
    JetStream::new(client).map_err(|error| {
        // A connection that was open a moment ago was lost for good.
        ConnectError::Reactor(std::io::Error::other(error))
    })
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut inner = f.debug_struct("Inner");
        inner.field("js", &self.js);
        #[cfg(feature = "memory")]
        inner.field("server", &self.server);
        inner.finish_non_exhaustive()
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus").field("client", self.client()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jetlane_testkit::Server;

    use super::*;
    use crate::Strategy;

    #[test]
    fn a_subscription_that_was_stopped_is_forgotten() {
        let server = Server::start().unwrap();
        let bus = EventBus::connect(&server.url()).unwrap();
        bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
        let subscribe = |name| bus.subscribe(name).on("order.x", |_: &Envelope| {}).start();
        let (first, second) = (subscribe("first").unwrap(), subscribe("second").unwrap());
        assert_eq!(bus.subscriptions().lock().len(), 2);
        first.stop(Duration::from_secs(10)).unwrap();
        first.stop(Duration::from_secs(10)).unwrap();
        assert_eq!(bus.subscriptions().lock().len(), 1);
        bus.close(Duration::from_secs(10)).unwrap();
        assert_eq!(bus.subscriptions().lock().len(), 0);
        second.stop(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_topic_is_looked_up_as_what_it_stands_for() {
        let server = Server::start().unwrap();
        let bus = EventBus::connect(&server.url()).unwrap();
        bus.remember_topic(SubjectFilter::new("a.*").unwrap(), "A");
        bus.remember_topic(SubjectFilter::new("b.c.>").unwrap(), "B");
        for (topic, stream) in [
            ("a.x", Some("A")),
            ("a.*", Some("A")),
            // As literals these two would match.
            ("a.>", None),
            ("b.>", None),
            ("b.c.*", Some("B")),
            ("b.c.>", Some("B")),
            ("c", None),
        ] {
            assert_eq!(bus.stream_of(topic).as_deref(), stream, "{topic}");
        }
    }
}
