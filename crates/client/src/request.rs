use std::future::Future;
use std::hash::Hasher;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use jetlane_ring::{Completer, PendingRing, RingConfig, Ticket, Token};
use rustc_hash::FxHasher;

use crate::sink::{CloseReason, Out, Sink, Unsent};
use crate::{Arena, Inbox, Message, MessageRef, RequestError, Ticks};

/// How often requests are looked at for having waited long enough.
const TICK: Duration = Duration::from_millis(10);

/// Slots a piece of [`Asked`].
const PIECE: usize = 256;

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
    asked: Arc<Asked>,
}

/// What was asked, by the slots of the ring: so that a request that the server does not permit ends at once.
#[derive(Debug)]
struct Asked {
    /// Hashes of subjects, in pieces that are made when they are first needed: few clients have many requests at a time.
    /// Two subjects with one hash would end together; with 64 bits that can be borne.
    subjects: Box<[OnceLock<Box<[AtomicU64; PIECE]>>]>,
    /// Set when the server does not permit the inbox itself.
    inbox_denied: AtomicBool,
}

impl Asked {
    fn new(slots: u32) -> Self {
        let subjects = (0..(slots as usize).div_ceil(PIECE)).map(|_| OnceLock::new()).collect();
        Self { subjects, inbox_denied: AtomicBool::new(false) }
    }

    fn note(&self, token: Token, subject: &[u8]) {
        let slot = token.slot as usize;
        let piece = self.subjects[slot / PIECE]
            .get_or_init(|| Box::new([const { AtomicU64::new(0) }; PIECE]));
        piece[slot % PIECE].store(hash(subject), Relaxed);
    }

    fn is(&self, token: Token, subject: &[u8]) -> bool {
        let slot = token.slot as usize;
        let piece = self.subjects[slot / PIECE].get();
        piece.is_some_and(|piece| piece[slot % PIECE].load(Relaxed) == hash(subject))
    }
}

fn hash(subject: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(subject);
    hasher.finish()
}

impl Requests {
    /// A ring of `window` requests at a time.
    pub(crate) fn new(inbox: Inbox, window: u32) -> Self {
        // Replies that nobody has taken yet must not keep others from asking.
        let capacity = window * 2;
        let ring = PendingRing::new(RingConfig { capacity, window });
        Self { inbox, ring, asked: Arc::new(Asked::new(capacity)) }
    }

    pub(crate) fn sink(&self) -> impl Sink + use<> {
        ReplySink {
            inbox: self.inbox,
            ring: Arc::clone(&self.ring),
            completer: self.ring.completer(),
            asked: Arc::clone(&self.asked),
            arena: Arena::new(),
            ticks: Ticks::new(TICK),
        }
    }

    /// Whether the server permits the inbox.
    pub(crate) fn check_inbox(&self) -> Result<(), RequestError> {
        match self.asked.inbox_denied.load(Relaxed) {
            true => Err(RequestError::Denied { subject: self.inbox.filter() }),
            false => Ok(()),
        }
    }

    /// There is no inbox: nothing can be asked.
    pub(crate) fn refuse(&self) {
        self.asked.inbox_denied.store(true, Relaxed);
    }

    /// Writes a request down before it is sent.
    pub(crate) fn note(&self, token: Token, subject: &[u8]) {
        self.asked.note(token, subject);
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
    asked: Arc<Asked>,
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

    fn publish_denied(&mut self, subject: &[u8]) {
        let denied = || {
            let subject = String::from_utf8_lossy(subject).into_owned();
            Err(RequestError::Denied { subject })
        };
        match self.inbox.token(subject) {
            // It is the reply subject that is not permitted.
            Some(token) => {
                let _ = self.completer.complete_and_retire(token, denied());
            }
            None => {
                let asked = &self.asked;
                self.completer.fail_where(|token| asked.is(token, subject), denied);
            }
        }
    }

    fn denied(&mut self) {
        self.asked.inbox_denied.store(true, Relaxed);
    }

    fn closed(&mut self, reason: CloseReason) {
        let denied = reason == CloseReason::Denied;
        let inbox = self.inbox;
        let error = || match denied {
            true => Err(RequestError::Denied { subject: inbox.filter() }),
            false => Err(RequestError::Closed),
        };
        self.completer.fail_where(|_| true, error);
        self.completer.flush();
    }
}
