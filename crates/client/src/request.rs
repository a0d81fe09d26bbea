use std::future::Future;
use std::hash::Hasher;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use jetlane_proto::encode;
use jetlane_proto::encode::HeaderLenError;
use jetlane_ring::{Completer, Full, PendingRing, RingConfig, Ticket, Token};
use rustc_hash::FxHasher;

use crate::client::frame_len;
use crate::sink::{CloseReason, Out, Sink, Unsent};
use crate::{
    Arena, AsSubject, Client, HeaderBlock, Inbox, Message, MessageRef, PublishError, RequestError,
    SinkHandle, SubmitError, SubscribeError, Ticks, later,
};

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

/// Whether a request waits for room in the write queue, and among those that wait for replies.
#[derive(Clone, Copy)]
enum Room {
    Comes,
    IsThere,
}

impl Request {
    /// The reply, if it has come and was not taken yet.
    ///
    /// # Errors
    /// As [`Request::wait`].
    pub fn try_take(&mut self) -> Option<Result<Message, RequestError>> {
        self.ticket.try_take()
    }
}

impl Future for Request {
    type Output = Result<Message, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.ticket).poll(cx)
    }
}

impl Client {
    /// Sends a request and returns what waits for its first reply; `timeout` bounds the wait.
    ///
    /// # Errors
    /// [`RequestError`] if it could not be queued; nothing is sent then.
    pub fn request(
        &self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<Request, RequestError> {
        self.ask_plainly(subject, payload, timeout, Room::Comes)
    }

    /// As [`Client::request`], and never waits for room.
    ///
    /// # Errors
    /// [`RequestError`] if it could not be queued at once; nothing is sent then.
    pub fn try_request(
        &self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<Request, RequestError> {
        self.ask_plainly(subject, payload, timeout, Room::IsThere)
    }

    /// As [`Client::request`], with headers.
    ///
    /// # Errors
    /// [`RequestError`] if it could not be queued; nothing is sent then.
    pub fn request_with(
        &self,
        subject: impl AsSubject,
        headers: &impl HeaderBlock,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<Request, RequestError> {
        let (subject, payload) =
            (subject.as_subject().map_err(PublishError::from)?, payload.as_ref());
        let size = headers.encoded_len() + payload.len();
        self.ask(subject, size, timeout, Room::Comes, |out, reply| {
            encode::publish_with_headers(out, subject.as_bytes(), reply, headers, payload)
        })
    }

    /// Sends a request without headers.
    fn ask_plainly(
        &self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
        room: Room,
    ) -> Result<Request, RequestError> {
        let (subject, payload) =
            (subject.as_subject().map_err(PublishError::from)?, payload.as_ref());
        self.ask(subject, payload.len(), timeout, room, |out, reply| {
            encode::publish(out, subject.as_bytes(), reply, payload);
            Ok(())
        })
    }

    /// Sends a request of `size` bytes that `encode` writes, given the reply subject.
    fn ask(
        &self,
        subject: &str,
        size: usize,
        timeout: Duration,
        room: Room,
        encode: impl Fn(&mut Vec<u8>, &[u8]) -> Result<(), HeaderLenError>,
    ) -> Result<Request, RequestError> {
        self.check_size(size)?;
        let requests = self.reply_inbox();
        requests.check_inbox()?;
        // Where the replies are read nobody can wait for them.
        let wait = match room {
            Room::Comes if !self.is_reactor_thread() => self.limits().publish_wait,
            Room::Comes | Room::IsThere => Duration::ZERO,
        };
        let deadline = later(Instant::now(), wait);
        loop {
            let claim = |out: &mut Vec<u8>| {
                let claim =
                    requests.ring.claim(Requests::patience(timeout)).map_err(NotAsked::Full)?;
                let reply = requests.inbox.subject(claim.token());
                requests.note(claim.token(), subject.as_bytes());
                // Looked at again here, under the write queue's lock: a claim that is made after the inbox was denied would wait for ever.
                requests.check_inbox().map_err(NotAsked::Denied)?;
                encode(out, reply.as_bytes()).map_err(NotAsked::Headers)?;
                Ok(claim.into_ticket())
            };
            let size = frame_len(subject, size);
            let claimed = match room {
                Room::Comes => self.submit(size, claim),
                Room::IsThere => self.try_submit(size, claim),
            };
            match claimed {
                Ok(ticket) => return Ok(Requests::into_request(ticket)),
                Err(SubmitError::Full) => return Err(PublishError::Full.into()),
                Err(SubmitError::Disconnected) => return Err(PublishError::Disconnected.into()),
                Err(SubmitError::Closed) => return Err(PublishError::Closed.into()),
                Err(SubmitError::Encode(NotAsked::Denied(error))) => return Err(error),
                Err(SubmitError::Encode(NotAsked::Headers(error))) => {
                    return Err(PublishError::from(error).into());
                }
                Err(SubmitError::Encode(NotAsked::Full(_))) if Instant::now() >= deadline => {
                    return Err(RequestError::TooMany);
                }
                Err(SubmitError::Encode(NotAsked::Full(why))) => requests.ring.wait_for_room(why),
            }
        }
    }

    fn reply_inbox(&self) -> &Requests {
        self.requests().get_or_init(|| {
            let window = self.limits().requests.min(Inbox::SLOTS / 2);
            let requests = Requests::new(self.inbox(), window);
            let inbox = requests.inbox.filter();
            match self.subscription(&inbox).inbox_sink(requests.sink()) {
                // The inbox lives as long as the connection, and must not keep it open.
                Ok(handle) => SinkHandle::forget(handle),
                // Each request says so itself.
                Err(SubscribeError::Closed) => {}
                // Without it nobody would end them.
                Err(_) => requests.refuse(),
            }
            requests
        })
    }
}

/// Why a request was not encoded.
enum NotAsked {
    Denied(RequestError),
    Full(Full),
    Headers(HeaderLenError),
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
