//! Pull consumption: overlapping pulls, what is held, and how it is settled.

mod gate;
#[cfg(test)]
mod gate_tests;
mod held;
#[cfg(test)]
mod held_tests;
mod inbox;
mod inline;
mod messages;
mod reply;
mod settle;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use jetlane_client::proto::jetstream::{Delivery, PullConfig, PullEvent};
use jetlane_client::{Client, CloseReason, Message, MessageRef, SinkHandle, SubscribeError};

pub use messages::{EndReason, JsMessage, Messages};
pub use settle::{Receipt, Settle, Settled, Settler};

use crate::{AckPolicy, ConsumerInfo};
use gate::Guard;
use held::HeldTable;
use inbox::{Home, PullInbox};
use inline::InlineTaker;
use messages::QueueTaker;
use settle::SettleQueue;
use sink::PullSink;

/// The server's default for `ack_wait`, should it ever not report one.
const DEFAULT_ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages asked for at first, and at the least, if nothing else is said.
const LEAST_WINDOW: usize = 100;

/// How verdicts become acknowledgements. It follows from the consumer's [`AckPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// An acknowledgement for every message; many in one write. For [`AckPolicy::Explicit`].
    Each,
    /// One acknowledgement for all messages up to the lowest that is not yet done, as Kafka commits an offset. For
    /// [`AckPolicy::All`]; by one process at a time. A message that is never done stops it.
    Watermark,
    /// None at all. For [`AckPolicy::None`].
    Nothing,
}

/// Takes the messages of a consumer on the reactor thread, to spread them over threads. It must not block.
pub trait Taker: Send + 'static {
    /// A message has just come. What is settled here and now is not copied and not held, and costs no more than its ack (but
    /// what is given back under a watermark, which waits for it):
    /// `Some` says what becomes of it. `None`, the default, has it handed to [`Taker::take`]; as is, in its turn, what is not
    /// asked about here since it has to wait for older messages, or was delivered before.
    fn at_once(&mut self, message: &MessageRef<'_>, delivery: &Delivery) -> Option<Settle> {
        let _ = (message, delivery);
        None
    }

    /// A message. It is held, and kept from being delivered again, until its receipt is settled ([`Settler`]).
    fn take(&mut self, held: Held);

    /// All messages of this turn were handed over.
    fn turn_end(&mut self) {}

    /// Something happened to the pulls.
    fn event(&mut self, event: PullEvent) {
        let _ = event;
    }

    /// It is over; nothing is called after this.
    fn closed(&mut self, reason: CloseReason) {
        let _ = reason;
    }
}

/// A message that a consumer has delivered, and what it takes to settle it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Held {
    /// The message.
    pub message: Message,
    /// Its JetStream metadata. The spans are positions in the message's reply subject.
    pub delivery: Delivery,
    /// To settle it with.
    pub receipt: Receipt,
}

/// Why consuming could not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The inbox for pulls could not be subscribed to.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

/// Consumption about to begin: set it up, then choose how the messages are taken.
#[derive(Debug)]
#[must_use = "nothing is pulled before queued or taker is called"]
pub struct Consume {
    client: Client,
    consumer: ConsumerInfo,
    pull: PullConfig,
    order: Order,
}

/// What is promised about the order of messages that have to be delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Nothing: they come when they come.
    AsDelivered,
    /// They go before all that is newer.
    OfStream,
}

/// Consumption under way. Dropping it stops it: what is held then is delivered again after the ack wait.
#[derive(Debug)]
pub struct Consumption {
    handle: SinkHandle,
    queue: Arc<SettleQueue>,
}

impl Consume {
    pub(crate) fn new(client: Client, consumer: ConsumerInfo) -> Self {
        let limits = client.limits();
        let config = &consumer.config;
        // The server delivers no more than it lets be pending; asking for more would only wait.
        let pending = config.max_ack_pending.and_then(|most| usize::try_from(most).ok());
        let most_pending = pending.filter(|&most| most > 0).unwrap_or(usize::MAX);
        // Nor does it take pulls for more bytes than this, if it is set.
        let most_bytes = config.other.get("max_bytes").and_then(serde_json::Value::as_u64);
        let most_bytes = most_bytes.and_then(|most| usize::try_from(most).ok()).filter(|&n| n > 0);
        let ack_wait = if config.ack_wait.is_zero() { DEFAULT_ACK_WAIT } else { config.ack_wait };
        let pull = PullConfig {
            messages: limits.consumer_messages.min(most_pending),
            least_messages: LEAST_WINDOW,
            bytes: limits.consumer_bytes.min(most_bytes.unwrap_or(usize::MAX)),
            expires: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            ack_wait,
        };
        Self { client, consumer, pull, order: Order::AsDelivered }
    }

    /// Most messages requested or held at once. Default: `Limits::consumer_messages`, or the consumer's
    /// `max_ack_pending` if that is less. Fewer are requested while they could not be settled well within the ack wait.
    pub fn window(mut self, messages: usize) -> Self {
        self.pull.messages = messages;
        self
    }

    /// Messages requested or held at first, and at the least, even if they could not be settled well within the ack wait; no more than
    /// [`Consume::window`]. Default 100: enough to see how fast they are handled.
    pub fn least_window(mut self, messages: usize) -> Self {
        self.pull.least_messages = messages;
        self
    }

    /// How long a pull waits in the server, and how often the server reports meanwhile. Default 30 s and 5 s; the
    /// server wants `expires >= 2 * heartbeat`. Silence for two heartbeats means that pulls were lost: they are sent
    /// again.
    pub fn times(mut self, expires: Duration, heartbeat: Duration) -> Self {
        (self.pull.expires, self.pull.heartbeat) = (expires, heartbeat);
        self
    }

    /// Keeps the order of the stream over lost connections, and from one process to the next: what the server delivered
    /// and nobody got or finished is handled before anything newer. For that the server is asked what is pending
    /// (`$JS.API.CONSUMER.INFO`, which must be allowed) whenever something may be missing; if something is, everything
    /// newer waits for it, up to the ack wait. By one process at a time: what another one holds seems to be missing.
    ///
    /// Under [`Settlement::Watermark`] it is always so, as else the watermark would acknowledge what is missing.
    pub fn in_order(mut self) -> Self {
        self.order = Order::OfStream;
        self
    }

    /// Consumes into a queue that you read: an `Iterator`, and a `Stream`.
    ///
    /// # Errors
    /// [`ConsumeError`]; nothing is pulled then.
    pub fn queued(self) -> Result<Messages, ConsumeError> {
        let (taker, reader) = QueueTaker::new();
        let consumption = self.taker(taker)?;
        Ok(Messages::new(reader, consumption))
    }

    /// Consumes with a callback on the reactor thread, which says of each message what becomes of it: the fastest way, as a
    /// message is neither copied nor held. The callback must not block, since the whole connection waits for it. A panic is
    /// contained and counted; its message is delivered again after the ack wait.
    ///
    /// ```
    /// use jetlane_jetstream::{ConsumerConfig, JetStream, Settle, StreamConfig};
    /// # use jetlane_client::Client;
    /// # use std::time::Duration;
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let js = JetStream::new(Client::connect(&server.url())?)?;
    /// # js.create_stream(&StreamConfig::new("ORDERS").subject("order.>")).wait()?;
    /// # js.publish("order.created", b"{}")?.wait()?;
    /// let consumer = js.create_consumer("ORDERS", &ConsumerConfig::durable("billing")).wait()?;
    /// let (send, sequences) = std::sync::mpsc::channel();
    /// let consumption = js.consume(&consumer).inline(move |message, delivery| {
    ///     assert_eq!(message.payload(), b"{}");
    ///     let _ = send.send(delivery.stream_sequence);
    ///     Settle::Ack
    /// })?;
    /// assert_eq!(sequences.recv_timeout(Duration::from_secs(10))?, 1);
    /// # drop(consumption);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConsumeError`]; nothing is pulled then.
    pub fn inline(
        self,
        callback: impl FnMut(&MessageRef<'_>, &Delivery) -> Settle + Send + 'static,
    ) -> Result<Consumption, ConsumeError> {
        let queue = Arc::new(SettleQueue::default());
        let settler = Settler::new(Arc::clone(&queue));
        let taker = InlineTaker::new(callback, self.client.containment(), settler);
        self.start(taker, queue)
    }

    /// Consumes into a taker on the reactor thread.
    ///
    /// # Errors
    /// [`ConsumeError`]; nothing is pulled then.
    pub fn taker(self, taker: impl Taker) -> Result<Consumption, ConsumeError> {
        self.start(taker, Arc::new(SettleQueue::default()))
    }

    fn start(
        self,
        taker: impl Taker,
        queue: Arc<SettleQueue>,
    ) -> Result<Consumption, ConsumeError> {
        let Self { client, consumer, pull, order } = self;
        let settlement = match consumer.config.ack_policy {
            AckPolicy::Explicit => Settlement::Each,
            AckPolicy::All => Settlement::Watermark,
            AckPolicy::None => Settlement::Nothing,
        };
        let guard = match (settlement, order) {
            (Settlement::Watermark, _) => Guard::Watermark,
            (Settlement::Each, Order::OfStream) => Guard::Order,
            _ => Guard::Nothing,
        };
        let home = consumer.cluster.as_ref().map_or(Home::OneServer, |_| Home::Cluster);
        let inbox = PullInbox::new(client.inbox(), &consumer.stream_name, &consumer.name, home);
        let filter = inbox.filter();
        let table = HeldTable::new(settlement, pull.messages);
        let sink = PullSink::new(inbox, pull, table, guard, Arc::clone(&queue), taker);
        let handle = client.subscription(&filter).sink(sink)?;
        queue.connect(handle.nudger());
        Ok(Consumption { handle, queue })
    }
}

impl Consumption {
    /// Settles what the taker was handed, from any thread.
    pub fn settler(&self) -> Settler {
        Settler::new(Arc::clone(&self.queue))
    }

    /// Requests nothing more, and takes back what was requested. What was on its way still arrives (a flush asked for now
    /// comes after it), and all that is held can still be settled.
    pub fn stop(&self) {
        self.queue.stop();
        self.handle.nudge();
    }
}
