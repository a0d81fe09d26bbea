//! What runs before publishes.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::sync::Arc;

use super::{Checked, PublishError};
use crate::{Envelope, EventBus};

type Before = dyn Fn(&str, Envelope) -> Result<Envelope, PublishError> + Send + Sync;

impl EventBus {
    /// The same bus, with something that runs before every event that is published by this handle: it sees the topic and the event, and
    /// gives back the event as it is to be sent (the same, with a trace, a source, another payload), or an error, which keeps it
    /// from being sent ([`PublishError::Refused`]). It runs on the thread that publishes. What is given first runs first.
    ///
    /// It counts for clones of this handle and for publishers ([`EventBus::publisher`]) that are made from it; so it is said best where the bus is
    /// made. Handles that were there before know nothing of it. An event that is published again by the user passes again; what a
    /// publisher tries again does not. What is no event ([`EventBus::publish_raw`]) passes by, and so do letters and redrives, which are
    /// events as they were. Payloads are compressed ([`EventBus::compressing`]) afterwards.
    ///
    /// ```
    /// use jetlane::{Envelope, EventBus, PublishError, Strategy};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let url = &server.url();
    ///
    /// let bus = EventBus::connect(url)?.before_publish(|topic, event| match event.payload().len() {
    ///     ..10_000 => Ok(event.with_source("/billing")),
    ///     bytes => Err(format!("{bytes} bytes are too many for {topic}")),
    /// });
    /// bus.topic("order.>").ensure(Strategy::CreateOnly)?;
    /// let event = Envelope::new("order-42", "OrderCreated", "{}");
    /// bus.publish("order.created", &event)?.wait()?;
    /// let refused = bus.publish("order.created", event.with_payload("7".repeat(10_000)));
    /// assert!(matches!(refused, Err(PublishError::Refused { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "it counts for the handle that is returned"]
    pub fn before_publish<E: Display>(
        mut self,
        before: impl Fn(&str, Envelope) -> Result<Envelope, E> + Send + Sync + 'static,
    ) -> Self {
        self.befores = self.befores.and(move |topic, event| {
            before(topic, event)
                .map_err(|error| PublishError::Refused { reason: error.to_string() })
        });
        self
    }
}

/// All that runs before the publishes of a handle.
#[derive(Clone, Default)]
pub(crate) struct Befores {
    before: Option<Arc<Before>>,
}

impl Befores {
    fn and(
        self,
        last: impl Fn(&str, Envelope) -> Result<Envelope, PublishError> + Send + Sync + 'static,
    ) -> Self {
        let before: Arc<Before> = match self.before {
            None => Arc::new(last),
            Some(first) => Arc::new(move |topic, event| last(topic, first(topic, event)?)),
        };
        Self { before: Some(before) }
    }

    /// The event as it is to be sent.
    #[inline]
    pub(crate) fn run<'a>(
        &self,
        topic: Checked<'_>,
        event: &'a Envelope,
    ) -> Result<Cow<'a, Envelope>, PublishError> {
        match &self.before {
            None => Ok(Cow::Borrowed(event)),
            Some(before) => before(topic.as_str(), event.clone()).map(Cow::Owned),
        }
    }
}

impl fmt::Debug for Befores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.before.is_some() { "Some(..)" } else { "None" })
    }
}
