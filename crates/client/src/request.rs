use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use jetlane_ring::{Completer, PendingRing, Ticket};

use crate::sink::{CloseReason, Out, Sink, Unsent};
use crate::{Arena, Inbox, Message, MessageRef, RequestError, Ticks};

/// How often requests are looked at for having waited long enough.
const TICK: Duration = Duration::from_millis(10);

/// A request that was queued: a `Future`, and `wait` for plain threads. It ends by its timeout, at the latest a few
/// hundredths of a second (and a hundredth of the timeout) after it. Dropping it gives the reply up.
#[derive(Debug)]
#[must_use = "a request without its reply is a publish"]
pub struct Request {
    ticket: Ticket<Result<Message, RequestError>>,
}

impl Request {
    /// Sleeps until the reply comes or the request ends otherwise.
    ///
    /// # Errors
    /// [`RequestError`] says why there is no reply.
    pub fn wait(self) -> Result<Message, RequestError> {
        self.ticket.wait()
    }
}

impl Future for Request {
    type Output = Result<Message, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.ticket).poll(cx)
    }
}

/// The one long-lived inbox for all replies of a connection.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) inbox: Inbox,
    pub(crate) ring: Arc<PendingRing<Result<Message, RequestError>>>,
}

impl Requests {
    pub(crate) fn new(inbox: Inbox, ring: Arc<PendingRing<Result<Message, RequestError>>>) -> Self {
        Self { inbox, ring }
    }

    pub(crate) fn sink(&self) -> impl Sink + use<> {
        ReplySink {
            inbox: self.inbox,
            ring: Arc::clone(&self.ring),
            completer: self.ring.completer(),
            arena: Arena::new(),
            ticks: Ticks::new(TICK),
        }
    }

    /// Sweeps that a request with `timeout` survives.
    pub(crate) fn patience(timeout: Duration) -> u32 {
        Ticks::patience(TICK, timeout)
    }

    pub(crate) fn into_request(ticket: Ticket<Result<Message, RequestError>>) -> Request {
        Request { ticket }
    }
}

/// The reactor's end of all requests.
struct ReplySink {
    inbox: Inbox,
    ring: Arc<PendingRing<Result<Message, RequestError>>>,
    completer: Completer<Result<Message, RequestError>>,
    arena: Arena,
    ticks: Ticks,
}

impl Sink for ReplySink {
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        let Some(token) = self.inbox.token(message.subject()) else { return };
        let status = message.headers().and_then(|headers| headers.status());
        let no_responders = message.payload().is_empty() && status.is_some_and(|s| s.code == 503);
        let result = if no_responders {
            Err(RequestError::NoResponders)
        } else {
            Ok(message.to_message(&mut self.arena))
        };
        // A reply that nobody waits for any more is let go. Several may answer one request, so its token is used once.
        let _ = self.completer.complete_and_retire(token, result);
    }

    fn turn_end(&mut self, _: &mut Out<'_>) {
        self.completer.flush();
    }

    fn disconnected(&mut self, unsent: &mut Unsent<'_>) {
        let unsent = unsent.tokens(&self.inbox);
        self.completer
            .fail_where(|token| !unsent.contains(&token), || Err(RequestError::Disconnected));
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.ticks.next(self.ring.in_flight(), now)
    }

    fn timeout(&mut self, out: &mut Out<'_>) {
        self.completer.sweep(|| Err(RequestError::TimedOut));
        self.completer.flush();
        self.ticks.ticked(out.now());
    }

    fn closed(&mut self, _: CloseReason) {
        self.completer.fail_where(|_| true, || Err(RequestError::Closed));
        self.completer.flush();
    }
}
