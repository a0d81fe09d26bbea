use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use jetlane_client::proto::{NameError, check_name};
use jetlane_client::{Message, SubscribeError, Subscription};

use super::{Advisory, AdvisoryError};
use crate::JetStream;

/// Why advisories could not be subscribed to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvisoriesError {
    /// A stream or consumer name that can not be one. The caller's fault.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The subscription failed.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

impl JetStream {
    /// Subscribes to what servers tell about a consumer (ADR-2): `$JS.EVENT.ADVISORY.CONSUMER.*.<stream>.<consumer>`. The queue is
    /// bounded as that of any subscription; what does not fit is dropped and counted ([`Subscription::dropped`]).
    ///
    /// # Errors
    /// [`AdvisoriesError`] if the names can not be names, or the subscription failed.
    pub fn advisories(&self, stream: &str, consumer: &str) -> Result<Advisories, AdvisoriesError> {
        check_name(stream)?;
        check_name(consumer)?;
        let subscription = self.client().subscribe(&Advisory::filter(stream, consumer))?;
        Ok(Advisories { subscription })
    }
}

/// What servers tell about one consumer: an `Iterator` for a plain thread, and a `Stream` for an executor. Messages that are no advisories
/// come as errors; they end nothing.
#[derive(Debug)]
pub struct Advisories {
    subscription: Subscription,
}

impl Advisories {
    /// The next advisory, waited for no longer than `timeout`. `None` if none came, or no more come.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<Advisory, AdvisoryError>> {
        self.subscription.next_timeout(timeout).map(|message| read(&message))
    }

    /// The next advisory, if one is there already.
    pub fn try_next(&mut self) -> Option<Result<Advisory, AdvisoryError>> {
        self.subscription.try_next().map(|message| read(&message))
    }

    /// The subscription behind it, for its counts and its end.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}

fn read(message: &Message) -> Result<Advisory, AdvisoryError> {
    Advisory::read(&message.subject(), message.payload())
}

impl Iterator for Advisories {
    type Item = Result<Advisory, AdvisoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.subscription.next().map(|message| read(&message))
    }
}

impl Stream for Advisories {
    type Item = Result<Advisory, AdvisoryError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = Pin::new(&mut self.subscription).poll_next(cx);
        message.map(|message| message.map(|message| read(&message)))
    }
}
