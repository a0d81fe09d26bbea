//! Publishing what is stored nowhere.

use std::borrow::Borrow;

use jetlane_client::AsSubject;

use super::{Checked, PublishError};
use crate::topic::CoreTopics;
use crate::{Envelope, EventBus, Form};

impl EventBus {
    /// Queues an event of a core topic ([`crate::Topic::core`]), and returns at once. It goes to whoever listens when it comes to the
    /// server, at most once; nobody tells what became of it, so there is no ticket. Waits only while the write queue is full.
    ///
    /// Events of one thread go out in the order of its calls. [`jetlane_client::Client::flush`] on [`EventBus::client`] waits until the server has
    /// them. Typed events are published by [`Envelope::of`], and large ones by [`Envelope::compressed`].
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then. [`PublishError::NotCore`] if the topic was not ensured as core on this bus.
    #[inline]
    pub fn publish_core(
        &self,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
    ) -> Result<(), PublishError> {
        self.publish_core_as(Form::Header, topic, event)
    }

    /// As [`EventBus::publish_core`], in a form of choice.
    ///
    /// # Errors
    /// As [`EventBus::publish_core`]; [`crate::EnvelopeError::PayloadNotJson`] if the form can hold only JSON.
    #[inline]
    pub fn publish_core_as(
        &self,
        form: Form,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
    ) -> Result<(), PublishError> {
        let topic = Checked::of(&topic)?;
        if !self.core_topics().have(topic.as_str()) {
            return Err(PublishError::NotCore { topic: topic.as_str().into() });
        }
        let event = self.befores.run(topic, event.borrow())?;
        let message = event.encode(form, topic.as_str())?;
        let published = self.client().publish_with(topic, None, &message, message.body());
        Ok(published.map_err(jetlane_jetstream::PublishError::from)?)
    }
}

impl CoreTopics {
    /// Refuses an event that somebody would wait for the ack of.
    #[inline]
    pub(crate) fn refuse(&self, topic: Checked<'_>) -> Result<(), PublishError> {
        match self.have(topic.as_str()) {
            false => Ok(()),
            true => Err(PublishError::Core { topic: topic.as_str().into() }),
        }
    }
}
