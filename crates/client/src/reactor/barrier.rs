//! What is done when the server has processed all that was sent before.

use std::time::{Duration, Instant};

use mio::Token;

use crate::FlushError;
use crate::pending::Resolver;

/// Stands for a PING on its way. Lifted by its PONG; or broken, with the connection.
#[derive(Debug)]
pub(crate) enum Barrier {
    /// A user waits for it. It was asked for when `behind` messages that only a flush confirms had been published.
    Flush { behind: u64, done: Resolver<Result<(), FlushError>> },
    /// A user wants to know how long it takes.
    RoundTrip { sent: Instant, done: Resolver<Result<Duration, FlushError>> },
    /// An UNSUB went before it: no more messages come for this subscription.
    Drained { sid: u64 },
    /// UNSUBs for all subscriptions went before it.
    AllDrained,
    /// All subscriptions were asked for on a link that is to take over.
    Subscribed,
    /// UNSUBs for all subscriptions went before it, on a link that the one with this token takes over from.
    Departed { to: Token },
}

impl Barrier {
    /// True if somebody learns by it that messages may be lost.
    pub(crate) fn is_flush(&self) -> bool {
        matches!(self, Self::Flush { .. })
    }

    /// True if a user waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Self::Flush { .. } | Self::RoundTrip { .. })
    }

    /// The PONG has come. `None` if that was all; otherwise there is more to do.
    pub(crate) fn lift(self, now: Instant) -> Option<Self> {
        match self {
            Self::Flush { done, .. } => done.resolve(Ok(())),
            Self::RoundTrip { sent, done } => done.resolve(Ok(now.saturating_duration_since(sent))),
            other => return Some(other),
        }
        None
    }

    /// The PONG will not come. `None` if that was all; otherwise it is to be set up again.
    pub(crate) fn break_off(self, error: FlushError) -> Option<Self> {
        match self {
            Self::Flush { done, .. } => done.resolve(Err(error)),
            Self::RoundTrip { done, .. } => done.resolve(Err(error)),
            other => return Some(other),
        }
        None
    }
}
