use std::borrow::Borrow;

use jetlane_client::AsSubject;
use jetlane_jetstream::Ticket;

use super::{Compress, Event};
use crate::publish::{Checked, publish_all};
use crate::{BatchError, PublishError};
use crate::{Envelope, EventBus, Form};

/// Publishes events with their payloads compressed, where it helps: see [`EventBus::compressing`].
///
/// Cloning is cheap. It keeps the bus open as a clone of it does.
#[derive(Clone, Debug)]
pub struct Compressing {
    bus: EventBus,
    compress: Compress,
}

impl EventBus {
    /// A handle of this bus that compresses what it publishes: keep one for all events, or one for the topics whose events are
    /// large. Readers need nothing but the feature of the algorithm.
    ///
    /// ```
    /// # #[cfg(feature = "zstd")] {
    /// # use jetlane::{Compress, Compression, Envelope, EventBus, Strategy};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    /// let large = bus.compressing(Compress::with(Compression::Zstd).above(4096));
    /// let event = Envelope::new("order-42", "OrderCreated", "7".repeat(100_000));
    /// large.publish("order.created", event)?.wait()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compressing(&self, compress: Compress) -> Compressing {
        Compressing { bus: self.clone(), compress }
    }
}

impl Compressing {
    /// As [`EventBus::publish`].
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

    /// As [`EventBus::publish_event`].
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    pub fn publish_event<E: Event>(
        &self,
        topic: impl AsSubject,
        event: &E,
    ) -> Result<Ticket, PublishError> {
        self.publish(topic, Envelope::of(event)?)
    }

    /// As [`EventBus::publish_batch`].
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

    /// As [`EventBus::publish_as`]. Forms whose body is JSON are not compressed.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    pub fn publish_as(
        &self,
        form: Form,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
    ) -> Result<Ticket, PublishError> {
        let topic = Checked::of(&topic)?;
        let event = self.bus.pass(topic, event.borrow())?;
        match form {
            Form::Json | Form::CloudEventsStructured => self.bus.send(form, topic, &event),
            _ => self.bus.send(form, topic, &event.into_owned().compressed(&self.compress)),
        }
    }
}
