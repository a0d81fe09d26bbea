//! Typed events on the bus: publishing them, and handlers for them.

use jetlane_client::AsSubject;
use jetlane_jetstream::Ticket;

use super::Event;
use crate::PublishError;
use crate::{Envelope, EventBus, IntoVerdict, Listen, Subscribe, Verdict};

impl EventBus {
    /// As [`EventBus::publish`], of a typed event. For trace ids and the like make its envelope by [`Envelope::of`], and publish that.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then. [`PublishError::Encode`] if the value can not be encoded.
    pub fn publish_event<E: Event>(
        &self,
        topic: impl AsSubject,
        event: &E,
    ) -> Result<Ticket, PublishError> {
        self.publish(topic, Envelope::of(event)?)
    }
}

impl Subscribe {
    /// As [`Subscribe::on_type`], for a typed event: the handler gets the value and its envelope. Several of them may be for the same topic.
    /// An event of this type that can not be read as it is rejected at once: it goes to the dead letters, if there are any, with the
    /// reason.
    ///
    /// ```
    /// # use std::borrow::Cow;
    /// # use jetlane::{Envelope, Event, EventBus, Json, Strategy};
    /// # use serde::{Deserialize, Serialize};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    /// # #[derive(Serialize, Deserialize)]
    /// # struct OrderCreated { order: String, total: u64 }
    /// # impl Event for OrderCreated {
    /// #     const TYPE: &'static str = "OrderCreated";
    /// #     type Encoding = Json;
    /// #     fn aggregate_id(&self) -> Cow<'_, str> { self.order.as_str().into() }
    /// # }
    /// # #[derive(Serialize, Deserialize)]
    /// # struct OrderPaid { order: String }
    /// # impl Event for OrderPaid {
    /// #     const TYPE: &'static str = "OrderPaid";
    /// #     type Encoding = Json;
    /// #     fn aggregate_id(&self) -> Cow<'_, str> { self.order.as_str().into() }
    /// # }
    /// bus.subscribe("billing")
    ///     .on_event("order.>", |created: OrderCreated, _: &Envelope| {
    ///         println!("charge {} for {}", created.total, created.order);
    ///     })
    ///     .on_event("order.>", |paid: OrderPaid, envelope: &Envelope| {
    ///         println!("{} was paid at {:?}", paid.order, envelope.timestamp());
    ///     })
    ///     .start()?;
    /// let created = OrderCreated { order: "order-42".into(), total: 7 };
    /// bus.publish_event("order.created", &created)?.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_event<E: Event, R: IntoVerdict>(
        self,
        topic: &str,
        handler: impl Fn(E, &Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on_type(topic, E::TYPE, decoding(handler))
    }
}

impl Listen {
    /// As [`Listen::on_type`], for a typed event: see [`Subscribe::on_event`]. One that can not be read counts as failed.
    pub fn on_event<E: Event, R: IntoVerdict>(
        self,
        topic: &str,
        handler: impl Fn(E, &Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on_type(topic, E::TYPE, decoding(handler))
    }
}

/// A handler of envelopes that decodes them for a handler of values.
fn decoding<E: Event, R: IntoVerdict>(
    handler: impl Fn(E, &Envelope) -> R + Send + Sync + 'static,
) -> impl Fn(&Envelope) -> Verdict + Send + Sync + 'static {
    move |envelope| match envelope.decode::<E>() {
        Ok(event) => handler(event, envelope).into_verdict(),
        Err(error) => Verdict::Reject { reason: error.to_string() },
    }
}
