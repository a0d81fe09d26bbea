use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Outcome;

/// Waits for the outcome of one publish: a `Future` under any executor, and `wait` for plain threads.
///
/// The outcome comes by the publish timeout at the latest. A dropped ticket lets it go; the message is sent all the same.
#[derive(Debug)]
#[must_use = "without its ticket nobody learns whether the message was stored"]
pub struct Ticket {
    ticket: jetlane_ring::Ticket<Outcome>,
}

impl Ticket {
    pub(crate) fn new(ticket: jetlane_ring::Ticket<Outcome>) -> Self {
        Self { ticket }
    }

    /// Sleeps until the outcome is known.
    ///
    /// # Errors
    /// [`super::NotStored`], if the message is not in the stream, or may not be.
    pub fn wait(self) -> Outcome {
        self.ticket.wait()
    }

    /// Sleeps until the outcome is known or `timeout` has passed; then `None`, and it may still be waited for.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Outcome> {
        self.ticket.wait_timeout(timeout)
    }

    /// The outcome, if it is known and was not taken yet.
    pub fn try_take(&mut self) -> Option<Outcome> {
        self.ticket.try_take()
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.ticket).poll(cx)
    }
}
