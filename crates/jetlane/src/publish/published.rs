use bytestring::ByteString;
use jetlane_jetstream::{Rejection, Stored, Unknown};

use super::PublishError;

/// What became of an event that a [`crate::Publisher`] accepted. There is exactly one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published<T> {
    /// What it was accepted with: the id of its outbox row, or whatever else tells its owner which one it is.
    pub token: T,
    /// How it ended.
    pub outcome: Result<Stored, NotPublished>,
}

impl<T> Published<T> {
    pub(super) fn new(token: T, outcome: Result<Stored, NotPublished>) -> Self {
        Self { token, outcome }
    }
}

/// Why an event that was accepted is not in the stream, or may not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPublished {
    /// It is not in the stream, which refused it for good, or temporarily for as long as the publisher was patient.
    #[error("the event was rejected: {0}")]
    Rejected(Box<Rejection>),
    /// It may be in the stream or not, as an ack did not come: that of the last attempt, or of an earlier one whose successors could not be
    /// sent or were rejected. Publishing it again with the same event id is safe, within the stream's duplicate window.
    #[error("the event may or may not be stored: {0}")]
    Unknown(Unknown),
    /// It was not sent: an earlier event of its aggregate failed, and it must not overtake that one.
    #[error("the event was not sent, as {event_id:?} before it on its aggregate failed")]
    Behind {
        /// The event that failed.
        event_id: ByteString,
    },
    /// It was not sent: the connection did not take it, for as long as the publisher was patient, or never will.
    #[error("the event was not sent: {0}")]
    Unsent(PublishError),
    /// It was not sent: publisher or connection were closed before its turn came.
    #[error("the event was not sent before the publisher was closed")]
    Closed,
}
