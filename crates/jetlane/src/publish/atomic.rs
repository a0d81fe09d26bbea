use std::borrow::Borrow;

use jetlane_client::AsSubject;
use jetlane_jetstream::{AtomicBatch, AtomicError, AtomicTicket};

use super::{Checked, PublishError};
use crate::{Envelope, EventBus, Form};

impl From<AtomicError> for PublishError {
    fn from(error: AtomicError) -> Self {
        match error {
            AtomicError::Publish(error) => Self::JetStream(error),
            error => Self::Atomic(error),
        }
    }
}

impl EventBus {
    /// Queues events that are stored all or not at all, in this order and with nothing in between, as the outcome of one
    /// transaction; the ticket tells which. At most 1000, all of them in one stream, which has to allow it
    /// ([`crate::Topic::atomic`], nats-server 2.12).
    ///
    /// What may be stored ([`crate::BatchNotStored::Unknown`]) is safe to publish again within the duplicate window: if it was stored, the
    /// second batch is refused as [`crate::BatchNotStored::Duplicate`].
    ///
    /// ```
    /// # use jetlane::{Envelope, EventBus, Strategy};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// bus.topic("order.>").atomic().ensure(Strategy::CreateOnly)?;
    /// let created = Envelope::new("order-42", "OrderCreated", "{}");
    /// let paid = Envelope::new("order-42", "OrderPaid", "{}");
    /// let stored = bus.publish_atomic([("order.created", created), ("order.paid", paid)])?.wait()?;
    /// assert_eq!(stored.sequences(), 1..=2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PublishError`], with [`PublishError::Atomic`] for what is wrong with it as a batch; nothing is sent then.
    pub fn publish_atomic<S: AsSubject, E: Borrow<Envelope>>(
        &self,
        events: impl IntoIterator<Item = (S, E)>,
    ) -> Result<AtomicTicket, PublishError> {
        let mut batch = AtomicBatch::new();
        for (topic, event) in events {
            let topic = Checked::of(&topic)?;
            let event = self.pass(topic, event.borrow())?;
            let message = event.encode(Form::Header, topic.as_str())?;
            batch.add_with(topic, &message, message.body())?;
        }
        Ok(self.jetstream().publish_atomic(&batch)?)
    }
}
