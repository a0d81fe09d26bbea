//! Publishing beyond one event and its ticket: atomic batches, and publishers with outcomes in a row.

mod atomic;

use jetlane_jetstream::{AtomicError, Ticket};

use crate::EnvelopeError;

/// Why an event was not queued. Nothing of it was or will be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The envelope can not be sent. The caller's fault.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The layer below could not take it: see there.
    #[error(transparent)]
    JetStream(#[from] jetlane_jetstream::PublishError),
    /// The events can not be sent as one atomic batch: see there.
    #[error(transparent)]
    Atomic(AtomicError),
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
