use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{NotStored, Outcome, PublishError, Rejection, Ticket, Unknown};

/// Why an atomic batch was not queued. Nothing of it was or will be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AtomicError {
    /// It could not be queued, as any other publish: see there.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// There is no message in it. The caller's fault.
    #[error("the batch has no messages")]
    Empty,
    /// It has more messages than servers take in one batch. The caller's fault.
    #[error("the batch has {count} messages, {most} at most are taken in one")]
    TooMany {
        /// How many it has.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// Its frames are longer together than may be queued (`Limits::reconnect_bytes`, or `write_queue_bytes` if that is more): a batch
    /// is queued as a whole. The caller's fault.
    #[error("the batch is {bytes} bytes long, {most} at most can be queued")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// The headers of a message can not be read, or say of themselves that they are part of a batch (`Nats-Batch-…`). The
    /// caller's fault.
    #[error(
        "the headers of a message of the batch are malformed, or have Nats-Batch- headers of their own"
    )]
    Headers,
    /// The server is older than 2.12, and would store the messages one by one. The operator's to change.
    #[error(
        "this server (API level {api_level}) knows no atomic batches: they need nats-server 2.12"
    )]
    Unsupported {
        /// What the server says that it is at; atomic batches need 2.
        api_level: u32,
    },
}

/// A batch was stored whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredBatch {
    /// The place of its last message in the stream. The others are right before it, with nothing in between.
    pub last_sequence: u64,
    /// How many messages it has.
    pub count: u64,
}

impl StoredBatch {
    /// The places of its messages in the stream, in their order.
    pub fn sequences(&self) -> RangeInclusive<u64> {
        let before = self.last_sequence.saturating_sub(self.count);
        before + 1..=self.last_sequence
    }
}

/// No message of a batch is in the stream; or, if that is not known, all are or none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchNotStored {
    /// The stream does not allow it (error 10174). The operator's to change.
    #[error(
        "the stream does not allow atomic batches: set allow_atomic on it (Topic::atomic, or StreamConfig::allow_atomic)"
    )]
    NotAllowed,
    /// It has more messages than this server takes in one (error 10199); its operator may have set fewer than 1000. The caller's fault.
    #[error("the batch is too large: {reason}")]
    TooLarge {
        /// The server's text, with the limit in it.
        reason: String,
    },
    /// The id (`Nats-Msg-Id`) of one of its messages is that of a message which was stored within the duplicate window, or occurs twice
    /// in the batch (error 10201). After an [`BatchNotStored::Unknown`] it means that the batch was stored the first time.
    #[error("a message id of the batch is stored already, or occurs twice in it")]
    Duplicate,
    /// The stream refused a message of it for another reason, the first that it gave; or there is no stream.
    #[error("the batch was rejected: {0}")]
    Rejected(Box<Rejection>),
    /// It may be stored, all of it, or not at all.
    #[error("the batch may or may not be stored: {0}")]
    Unknown(Unknown),
}

impl From<NotStored> for BatchNotStored {
    fn from(error: NotStored) -> Self {
        match error {
            NotStored::Unknown(why) => Self::Unknown(why),
            NotStored::Rejected(rejection) => match rejection.error_code {
                10174 => Self::NotAllowed,
                10199 => Self::TooLarge { reason: rejection.reason },
                10201 => Self::Duplicate,
                _ => Self::Rejected(rejection),
            },
        }
    }
}

/// Waits for the outcome of one atomic batch: a `Future` under any executor, and `wait` for plain threads.
///
/// The outcome comes by the publish timeout at the latest. A dropped ticket lets it go; the batch is sent all the same.
#[derive(Debug)]
#[must_use = "without its ticket nobody learns whether the batch was stored"]
pub struct AtomicTicket {
    ticket: Ticket,
    count: u64,
}

impl AtomicTicket {
    pub(super) fn new(ticket: Ticket, count: usize) -> Self {
        Self { ticket, count: count as u64 }
    }

    /// Sleeps until the outcome is known.
    ///
    /// # Errors
    /// [`BatchNotStored`], if the batch is not in the stream, or may not be.
    pub fn wait(self) -> Result<StoredBatch, BatchNotStored> {
        outcome(self.ticket.wait(), self.count)
    }

    /// Sleeps until the outcome is known or `timeout` has passed; then `None`, and it may still be waited for.
    pub fn wait_timeout(
        &mut self,
        timeout: Duration,
    ) -> Option<Result<StoredBatch, BatchNotStored>> {
        Some(outcome(self.ticket.wait_timeout(timeout)?, self.count))
    }

    /// The outcome, if it is known and was not taken yet.
    pub fn try_take(&mut self) -> Option<Result<StoredBatch, BatchNotStored>> {
        Some(outcome(self.ticket.try_take()?, self.count))
    }
}

impl Future for AtomicTicket {
    type Output = Result<StoredBatch, BatchNotStored>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let count = self.count;
        Pin::new(&mut self.ticket).poll(cx).map(|ended| outcome(ended, count))
    }
}

fn outcome(ended: Outcome, count: u64) -> Result<StoredBatch, BatchNotStored> {
    Ok(StoredBatch { last_sequence: ended?.sequence, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_number() {
        let rejection = |error_code| {
            let reason = "why".to_string();
            Box::new(Rejection { code: 400, error_code, reason })
        };
        for (error_code, expected) in [
            (10174, BatchNotStored::NotAllowed),
            (10199, BatchNotStored::TooLarge { reason: "why".into() }),
            (10201, BatchNotStored::Duplicate),
            (10176, BatchNotStored::Rejected(rejection(10176))),
            (0, BatchNotStored::Rejected(rejection(0))),
        ] {
            let ended = NotStored::Rejected(rejection(error_code));
            assert_eq!(BatchNotStored::from(ended), expected);
        }
    }

    #[test]
    fn a_batch_ends_with_its_last_message() {
        let batch = StoredBatch { last_sequence: 12, count: 3 };
        assert_eq!(batch.sequences(), 10..=12);
    }
}
