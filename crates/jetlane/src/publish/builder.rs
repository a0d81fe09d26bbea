use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jetlane_jetstream::Rejection;

use super::publisher::Route;
use super::rate::TokenBucket;
use super::shared::{Finish, Shared};
use super::worker::{Policy, Tell, Worker};
use super::{KeyOrder, Outcomes, Published, Publisher, Rate};
use crate::{EventBus, Form};

/// Why a publisher did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// The system gave no thread.
    #[error("the publisher's thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

/// A publisher about to be started: see [`EventBus::publisher`].
#[must_use = "nothing happens before start is called"]
pub struct PublisherBuilder<T> {
    bus: EventBus,
    form: Form,
    order: KeyOrder,
    rate: Option<Rate>,
    most: usize,
    patience: Duration,
    retry_if: Box<dyn Fn(&Rejection) -> bool + Send>,
    token: std::marker::PhantomData<fn(T)>,
}

/// What the publishers of a bus begin with; `None` for what they begin with otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PublisherDefaults {
    pub(crate) order: Option<KeyOrder>,
    pub(crate) rate: Option<Rate>,
    pub(crate) most: Option<usize>,
    pub(crate) patience: Option<Duration>,
}

impl EventBus {
    /// Begins a publisher: for many events whose outcomes are wanted in a row rather than one by one. `T` is what comes back with
    /// each outcome, as the id of an outbox row.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use jetlane::{Envelope, EventBus, Strategy};
    /// use jetlane::{KeyOrder, Rate};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    ///
    /// let (publisher, outcomes) = bus
    ///     .publisher::<u64>()
    ///     .order(KeyOrder::Wait)
    ///     .rate(Rate::per_second(5_000).burst(100))
    ///     .start()?;
    /// for row in 0..10 {
    ///     publisher.publish("order.created", Envelope::new("order-42", "OrderCreated", "{}"), row)?;
    /// }
    /// publisher.close(Duration::from_secs(10))?;
    /// let mut rows = Vec::new();
    /// for burst in outcomes {
    ///     // One update for all of them.
    ///     rows.extend(burst.iter().filter(|one| one.outcome.is_ok()).map(|one| one.token));
    /// }
    /// assert_eq!(rows, (0..10).collect::<Vec<_>>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publisher<T: Send + 'static>(&self) -> PublisherBuilder<T> {
        let PublisherDefaults { order, rate, most, patience } = self.defaults().publisher;
        PublisherBuilder {
            bus: self.clone(),
            form: Form::Header,
            order: order.unwrap_or_default(),
            rate,
            most: most.unwrap_or(10_000),
            patience: patience.unwrap_or(Duration::from_secs(60)),
            retry_if: Box::new(Rejection::is_temporary),
            token: std::marker::PhantomData,
        }
    }
}

impl<T: Send + 'static> PublisherBuilder<T> {
    /// What happens to the later events of an aggregate when the publish of one fails. Default: [`KeyOrder::Free`].
    pub fn order(mut self, order: KeyOrder) -> Self {
        self.order = order;
        self
    }

    /// How events stand in their messages, so that systems which read another form can share the stream. Default [`Form::Header`]; the
    /// others allocate.
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// How many events are published in a second at most, repetitions included. Those beyond it wait, and not their caller, as long as
    /// there is room. Default: no limit.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// How many events may be accepted and have no outcome, or one that nobody has taken; at least 1. Default 10 000. When it is
    /// reached, [`Publisher::publish`] waits.
    pub fn most(mut self, events: usize) -> Self {
        self.most = events.max(1);
        self
    }

    /// How long an event is tried when its turn has come: under [`KeyOrder::Wait`] for as long as it fails, and under all orders while the
    /// connection does not take it. Default 60 s. It should be shorter than the stream's duplicate window, as what may be stored is
    /// published again.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Which rejections are worth another attempt under [`KeyOrder::Wait`]. Default: [`Rejection::is_temporary`]. For a stream that is full
    /// and refuses what is new (error 10077), and from which somebody takes, that one is, too. It is called on the
    /// publisher's thread; a panic means no.
    pub fn retry_if(mut self, is_temporary: impl Fn(&Rejection) -> bool + Send + 'static) -> Self {
        self.retry_if = Box::new(is_temporary);
        self
    }

    /// Starts it, with its outcomes in a row.
    ///
    /// # Errors
    /// [`PublisherError`] says why not.
    pub fn start(self) -> Result<(Publisher<T>, Outcomes<T>), PublisherError> {
        let publisher = self.spawn(Tell::Queue)?;
        let outcomes = Outcomes::new(Arc::clone(publisher.shared()));
        Ok((publisher, outcomes))
    }

    /// Starts it, with its outcomes given to `callback` in bursts: all that are known, at least one. It is called on the publisher's own
    /// thread, which publishes nothing meanwhile. A panic is contained, and counted in [`jetlane_client::Stats::callback_panics`]; the burst
    /// counts as taken.
    ///
    /// # Errors
    /// [`PublisherError`] says why not.
    pub fn on_outcomes(
        self,
        callback: impl FnMut(&mut Vec<Published<T>>) + Send + 'static,
    ) -> Result<Publisher<T>, PublisherError> {
        self.spawn(Tell::Callback(Box::new(callback)))
    }

    fn spawn(self, tell: Tell<T>) -> Result<Publisher<T>, PublisherError> {
        let Self { bus, form, order, rate, most, patience, retry_if, .. } = self;
        let js = bus.jetstream().clone();
        let shared = Arc::new(Shared::new(most));
        let route = match (order, rate) {
            (KeyOrder::Free, None) => Route::Direct,
            _ => Route::Queued,
        };
        let bucket = rate.map(|rate| TokenBucket::new(rate, Instant::now()));
        let policy = Policy { form, order, patience, retry_if };
        let worker = Worker::new(js, Arc::clone(&shared), policy, bucket, tell);
        let thread = thread::Builder::new().name("publish".into());
        thread.spawn(|| worker.run()).map_err(PublisherError::Thread)?;
        let finish: Arc<dyn Finish> = Arc::clone(&shared) as Arc<dyn Finish>;
        bus.remember_publisher(&finish);
        Ok(Publisher::new(&bus, shared, route, form))
    }
}

impl<T> fmt::Debug for PublisherBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { form, order, rate, most, patience, .. } = self;
        f.debug_struct("PublisherBuilder")
            .field("form", form)
            .field("order", order)
            .field("rate", rate)
            .field("most", most)
            .field("patience", patience)
            .finish_non_exhaustive()
    }
}
