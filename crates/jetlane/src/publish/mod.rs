//! Publishing beyond one event and its ticket: atomic batches, and publishers with outcomes in a row.

mod atomic;
mod before;
mod builder;
mod checked;
mod core;
mod keys;
mod outcomes;
mod published;
mod publisher;
mod rate;
mod shared;
mod worker;

use jetlane_jetstream::{AtomicError, Ticket};

use crate::{EncodeError, EnvelopeError};

pub(crate) use before::Befores;
pub(crate) use builder::PublisherDefaults;
pub use builder::{PublisherBuilder, PublisherError};
pub(crate) use checked::Checked;
pub use keys::KeyOrder;
pub use outcomes::Outcomes;
pub use published::{NotPublished, Published};
pub use publisher::Publisher;
pub use rate::Rate;
pub(crate) use shared::Finish;

/// Why an event was not queued. Nothing of it was or will be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The envelope can not be sent. The caller's fault.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The value of a typed event could not be encoded. The caller's fault.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The layer below could not take it: see there.
    #[error(transparent)]
    JetStream(#[from] jetlane_jetstream::PublishError),
    /// The events can not be sent as one atomic batch: see there.
    #[error(transparent)]
    Atomic(AtomicError),
    /// What runs before publishes does not let it pass: see [`crate::EventBus::before_publish`].
    #[error("the event was refused before it was published: {reason}")]
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// The topic is core: nobody would ever acknowledge the event. Publish it by [`crate::EventBus::publish_core`]. The caller's fault.
    #[error(
        "the topic {topic:?} is core: its events are stored nowhere, and are published by publish_core"
    )]
    Core {
        /// The topic.
        topic: String,
    },
    /// The topic is not known as core: its event might be stored, and nobody would know. The caller's fault.
    #[error(
        "the topic {topic:?} is not core on this bus: ensure it as that (Topic::core), or use publish"
    )]
    NotCore {
        /// The topic.
        topic: String,
    },
    /// As many events as [`PublisherBuilder::most`] have no outcome yet, or one that nobody has taken, and stayed so for
    /// `Limits::publish_wait` (with [`Publisher::try_publish`], and in callbacks: do so now). Whoever takes them is too slow, or the server is.
    #[error("{most} events have no outcome yet, or one that nobody has taken, the limit (most)")]
    Outcomes {
        /// The limit.
        most: usize,
    },
}

/// Publishes events in their order, up to the first that can not be.
pub(crate) fn publish_all<E>(
    events: impl IntoIterator<Item = E>,
    publish: impl Fn(E) -> Result<Ticket, PublishError>,
) -> Result<Vec<Ticket>, BatchError> {
    let mut tickets = Vec::new();
    for event in events {
        match publish(event) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => return Err(BatchError { tickets, error }),
        }
    }
    Ok(tickets)
}

/// Why a batch was not queued to its end.
#[derive(Debug, thiserror::Error)]
#[error("event {} of the batch was not queued: {error}", tickets.len())]
#[non_exhaustive]
pub struct BatchError {
    /// Of those that were queued: all before the one that failed.
    pub tickets: Vec<Ticket>,
    /// What was wrong with that one.
    #[source]
    pub error: PublishError,
}
