use jetlane_client::{State, Stats};

use crate::subscribe::Running;
use crate::{BreakerState, EventBus, ListenerHealth, SubscriptionHealth};

/// How a bus is: see [`EventBus::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusHealth {
    /// Where its connection stands.
    pub state: State,
    /// What its connection has done.
    pub connection: Stats,
    /// How many publishes wait for their ack.
    pub pending_acks: u32,
    /// Its subscriptions, in the order in which they were started, without those that were stopped.
    pub subscriptions: Vec<SubscriptionHealth>,
    /// Its listeners, likewise.
    pub listeners: Vec<ListenerHealth>,
}

impl BusHealth {
    /// Whether all is as it should be: the connection stands, the server knows every consumer, no circuit breaker is open, and no listener
    /// has ended. Events that failed, and wait or were dropped, are no reason to restart a process, and do not count.
    pub fn is_ready(&self) -> bool {
        let is_well = |subscription: &SubscriptionHealth| {
            let is_tried = !matches!(subscription.breaker, Some(BreakerState::Open { .. }));
            subscription.consumer.is_ok() && is_tried
        };
        let listens = |listener: &ListenerHealth| listener.end.is_none();
        self.state == State::Connected
            && self.subscriptions.iter().all(is_well)
            && self.listeners.iter().all(listens)
    }
}

impl EventBus {
    /// How it is now, and how each of its subscriptions is. Asks the server about those while the connection stands, and so blocks, for the
    /// API timeout at most a question.
    ///
    /// ```
    /// # use jetlane::{Envelope, EventBus, Strategy};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    /// bus.subscribe("billing").on("order.>", |_: &Envelope| {}).start()?;
    /// let health = bus.health();
    /// assert!(health.is_ready());
    /// assert_eq!(health.subscriptions[0].name, "billing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn health(&self) -> BusHealth {
        let running = self.subscriptions().lock().clone();
        let listeners = self.listeners().lock().clone();
        let handles = running.iter().map(|running| Running::handle(running, self));
        BusHealth {
            state: self.client().state(),
            connection: self.client().stats(),
            pending_acks: self.jetstream().pending_acks(),
            subscriptions: handles.map(|subscription| subscription.health()).collect(),
            listeners: listeners.iter().map(|listener| listener.health()).collect(),
        }
    }
}
