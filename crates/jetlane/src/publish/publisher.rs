use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane_client::{AsSubject, HeaderBlock as _, Subject, later};
use jetlane_jetstream::JetStream;

use super::shared::{Event, Shared, Stage};
use super::{Befores, Checked, PublishError};
use crate::topic::CoreTopics;
use crate::{CloseError, Envelope, EventBus, Form};

/// Publishes events, and tells of each what became of it: once, in a row with the others ([`crate::Outcomes`]) or to a callback. Made by
/// [`crate::EventBus::publisher`]; shared by reference.
///
/// It keeps the connection open. Dropping it accepts nothing more; what was accepted goes on, and its outcomes can be read.
pub struct Publisher<T> {
    js: JetStream,
    shared: Arc<Shared<T>>,
    route: Route,
    form: Form,
    core: Arc<CoreTopics>,
    befores: Befores,
}

/// Who publishes what is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The caller, at once: nothing has to wait for anything.
    Direct,
    /// The publisher's thread, when its turn comes.
    Queued,
}

impl<T> Publisher<T> {
    pub(super) fn new(bus: &EventBus, shared: Arc<Shared<T>>, route: Route, form: Form) -> Self {
        let (js, core) = (bus.jetstream().clone(), Arc::clone(bus.core_topics()));
        let befores = bus.befores.clone();
        Self { js, shared, route, form, core, befores }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    /// Accepts an event, and returns at once; its outcome will carry `token`. Waits only while as many events as
    /// [`crate::PublisherBuilder::most`] have no outcome or one that nobody has taken, for `Limits::publish_wait` at most (not at all in the
    /// callback for outcomes, nor in one on the reactor's thread); under [`crate::KeyOrder::Free`] without a rate, also as
    /// [`crate::EventBus::publish`] does.
    ///
    /// Events of one thread are published in the order of its calls.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was accepted then, nothing is sent, and there will be no outcome.
    pub fn publish(
        &self,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
        token: T,
    ) -> Result<(), PublishError> {
        let client = self.js.client();
        let may_wait = !self.shared.on_its_thread() && !client.is_reactor_thread();
        let deadline = may_wait.then(|| later(Instant::now(), client.limits().publish_wait));
        self.accept(&topic, event.borrow(), token, deadline)
    }

    /// As [`Publisher::publish`], but does not wait.
    ///
    /// # Errors
    /// As [`Publisher::publish`], with [`PublishError::Outcomes`] if it is full now.
    pub fn try_publish(
        &self,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
        token: T,
    ) -> Result<(), PublishError> {
        self.accept(&topic, event.borrow(), token, None)
    }

    /// Accepts nothing more, and waits until every accepted event has its outcome. What was not sent by `timeout` ends as
    /// [`crate::NotPublished::Closed`], and what is on its way then ends by itself, by the publish timeout. Outcomes can be read
    /// afterwards, too. In the callback for outcomes it does not wait, but cuts short at once.
    ///
    /// # Errors
    /// [`CloseError`] counts in `unpublished` the events that had no outcome in time.
    pub fn close(&self, timeout: Duration) -> Result<(), CloseError> {
        let unpublished = self.shared.finish(later(Instant::now(), timeout));
        let undone = CloseError { unpublished, ..CloseError::default() };
        if unpublished == 0 { Ok(()) } else { Err(undone) }
    }

    /// How many accepted events have no outcome yet.
    pub fn unpublished(&self) -> usize {
        self.shared.intake.lock().untold
    }

    fn accept(
        &self,
        topic: &impl AsSubject,
        event: &Envelope,
        token: T,
        deadline: Option<Instant>,
    ) -> Result<(), PublishError> {
        let topic = Checked::of(topic)?;
        self.core.refuse(topic)?;
        let event = self.befores.run(topic, event)?;
        match self.route {
            Route::Direct => self.publish_now(topic, &event, token, deadline),
            Route::Queued => self.queue(topic, event.into_owned(), token, deadline),
        }
    }

    fn publish_now(
        &self,
        topic: Checked<'_>,
        event: &Envelope,
        token: T,
        deadline: Option<Instant>,
    ) -> Result<(), PublishError> {
        let message = event.encode(self.form, topic.as_str())?;
        drop(self.shared.reserve(deadline)?);
        let published = match deadline {
            Some(_) => self.js.publish_with(topic, &message, message.body()),
            None => self.js.try_publish_with(topic, &message, message.body()),
        };
        match published {
            Ok(ticket) => self.shared.fly(ticket, token),
            Err(error) => {
                self.shared.take_back();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// What is wrong with the event is told to the caller here, not in its outcome.
    fn queue(
        &self,
        topic: Checked<'_>,
        envelope: Envelope,
        token: T,
        deadline: Option<Instant>,
    ) -> Result<(), PublishError> {
        let refused = |error: jetlane_client::PublishError| PublishError::JetStream(error.into());
        let topic = Subject::new(topic.as_str());
        let topic = topic.map_err(|error| refused(error.into()))?;
        let message = envelope.encode(self.form, topic.as_str())?;
        let size = message.encoded_len() + message.body().len();
        self.js.client().check_size(size).map_err(refused)?;
        let event =
            Event { topic, envelope, token, taken: 0, attempts: 0, since: None, unknown: None };
        self.shared.enter(Box::new(event), deadline)
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.shared.go_on_to(Stage::Closing);
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("unpublished", &self.unpublished())
            .finish_non_exhaustive()
    }
}
