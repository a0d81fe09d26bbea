use std::fmt;
use std::iter::Peekable;
use std::mem;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jetlane_proto::{AsSubject, HeaderBlock, Limits, ServerInfo, SubjectError, encode};
use jetlane_ring::Token;

use crate::pending::{Pending, pending};
use crate::reactor::Barrier;
use crate::request::Requests;
use crate::shared::{Driver, Shared};
use crate::stats::{State, Stats};
use crate::write_queue::Command;
use crate::{
    BatchError, CloseError, ConnectError, ConnectOptions, Containment, Events, FlushError, Inbox,
    MessageRef, PublishError, RequestMany, ServerUrl, SlowReader, SubmitError, Subscribe,
    SubscribeError, Subscription, UrlError, later,
};

/// How long the last handle's drop lets queued frames be written, in the background.
const DROP_GRACE: Duration = Duration::from_secs(1);

/// Most bytes of subject, reply subject and queue group together: with sizes and numbers they fit the 4096 bytes of a server's
/// default `max_control_line`.
pub(crate) const MAX_LINE: usize = 4000;

/// A handle to a connection. Cloning is cheap, and all clones are the same connection.
///
/// Publishing appends to a write queue that the reactor thread writes; order among the calls of one thread is the order on the
/// wire. When the connection is lost it is made anew; subscriptions are restored, and frames that were queued but not
/// yet written are sent then. What was written and not confirmed may be lost, as core NATS promises *at most once*.
///
/// Dropping the last handle accepts nothing more, and writes what is queued in the background, for a second at most. To know what
/// became of it, call [`Client::flush`] or [`Client::close`] first.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    /// The inbox for replies, subscribed to when the first request is made.
    requests: OnceLock<Requests>,
}

impl Client {
    /// Connects with the defaults of [`ConnectOptions`] and waits until the server has accepted us.
    ///
    /// # Errors
    /// [`ConnectError`] says why not. Nothing is left behind then.
    pub fn connect(url: &str) -> Result<Self, ConnectError> {
        ConnectOptions::new().connect(url)
    }

    /// The first handle to a connection.
    pub(crate) fn on(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle { shared, requests: OnceLock::new() }) }
    }

    /// Queues a message. Waits while the write queue is full, for `Limits::publish_wait` at most; in an inline callback, which the
    /// write queue itself waits for, it fails at once.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    #[inline]
    pub fn publish(
        &self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        let (subject, payload) = (subject.as_subject()?, payload.as_ref());
        self.check_size(payload.len())?;
        Ok(self.submit_plain(frame_len(subject, payload.len()), |out| {
            encode::publish(out, subject.as_bytes(), b"", payload);
            Ok::<_, PublishError>(())
        })?)
    }

    /// Queues a message if there is room for it now.
    ///
    /// # Errors
    /// [`PublishError`], with [`PublishError::Full`] if there is none; nothing is sent then.
    #[inline]
    pub fn try_publish(
        &self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        let (subject, payload) = (subject.as_subject()?, payload.as_ref());
        self.check_size(payload.len())?;
        let shared = self.shared();
        shared.write_queue.try_publish(frame_len(subject, payload.len()), |out| {
            encode::publish(out, subject.as_bytes(), b"", payload);
            Ok::<_, PublishError>(())
        })?;
        shared.wake();
        Ok(())
    }

    /// As [`Client::publish`], and says where answers go: for those who take them by a subscription of their own. For one answer
    /// there is [`Client::request`].
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    pub fn publish_with_reply(
        &self,
        subject: impl AsSubject,
        reply: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        let (subject, reply) = (subject.as_subject()?, reply.as_subject()?);
        let payload = payload.as_ref();
        check_line(subject.len() + reply.len())?;
        self.check_size(payload.len())?;
        Ok(self.submit_plain(frame_len(subject, payload.len()), |out| {
            encode::publish(out, subject.as_bytes(), reply.as_bytes(), payload);
            Ok::<_, PublishError>(())
        })?)
    }

    /// As [`Client::publish`], with headers, and a reply subject if `reply` is given.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    pub fn publish_with(
        &self,
        subject: impl AsSubject,
        reply: Option<&str>,
        headers: &impl HeaderBlock,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        let (subject, payload) = (subject.as_subject()?, payload.as_ref());
        let reply = reply.map(|reply| reply.as_subject().map(str::as_bytes)).transpose()?;
        check_line(subject.len() + reply.map_or(0, <[u8]>::len))?;
        let size = headers.encoded_len() + payload.len();
        self.check_size(size)?;
        Ok(self.submit_plain(frame_len(subject, size), |out| {
            let (subject, reply) = (subject.as_bytes(), reply.unwrap_or_default());
            encode::publish_with_headers(out, subject, reply, headers, payload)
        })?)
    }

    /// Queues many messages, and returns how many: as many as fit at once under one lock: the fastest way to publish what is at hand already. Waits for room as
    /// [`Client::publish`] does.
    ///
    /// # Errors
    /// [`BatchError`] says which message was the first that was not queued; those before it were, and none behind it.
    pub fn publish_batch<S: AsSubject, P: AsRef<[u8]>>(
        &self,
        messages: impl IntoIterator<Item = (S, P)>,
    ) -> Result<usize, BatchError> {
        let mut messages = messages.into_iter().peekable();
        let mut queued = 0;
        while let Some((subject, payload)) = messages.next() {
            self.publish_with_more(&subject, payload.as_ref(), &mut messages, &mut queued)
                .map_err(|error| BatchError { queued, error })?;
        }
        Ok(queued)
    }

    /// Queues a message, and of `more` those that fit and are in order.
    fn publish_with_more<S: AsSubject, P: AsRef<[u8]>>(
        &self,
        subject: &S,
        payload: &[u8],
        more: &mut Peekable<impl Iterator<Item = (S, P)>>,
        queued: &mut usize,
    ) -> Result<(), PublishError> {
        let subject = subject.as_subject()?;
        self.check_size(payload.len())?;
        let most = self.max_payload();
        let write_queue = &self.shared().write_queue;
        let len = frame_len(subject, payload.len());
        let mut encode = |out: &mut Vec<u8>, room: usize| {
            let start = out.len();
            encode::publish(out, subject.as_bytes(), b"", payload);
            let mut count = 1;
            let fits = |(subject, payload): &(S, P), used: usize| {
                let size = payload.as_ref().len();
                let good = subject
                    .as_subject()
                    .is_ok_and(|subject| used + frame_len(subject, size) <= room);
                good && size <= most
            };
            while let Some((subject, payload)) = more.next_if(|next| fits(next, out.len() - start))
            {
                if let Ok(subject) = subject.as_subject() {
                    encode::publish(out, subject.as_bytes(), b"", payload.as_ref());
                    count += 1;
                }
            }
            Ok::<_, PublishError>((count, count as u64))
        };
        *queued +=
            self.submit_with(len, || write_queue.try_submit_many::<true, _, _>(len, &mut encode))?;
        Ok(())
    }

    /// Answers `request`: publishes to its reply subject.
    ///
    /// # Errors
    /// [`PublishError`], with [`PublishError::NoReply`] if it wants no answer; nothing is sent then.
    pub fn respond<'a>(
        &self,
        request: impl Into<MessageRef<'a>>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        self.publish(reply_subject(&request.into())?, payload)
    }

    /// As [`Client::respond`], with headers.
    ///
    /// # Errors
    /// As [`Client::respond`].
    pub fn respond_with<'a>(
        &self,
        request: impl Into<MessageRef<'a>>,
        headers: &impl HeaderBlock,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        self.publish_with(reply_subject(&request.into())?, None, headers, payload)
    }

    /// Begins a request that may have many replies: see [`RequestMany`].
    pub fn request_many<'a>(&'a self, subject: &'a str, payload: &'a [u8]) -> RequestMany<'a> {
        RequestMany::new(self, subject, payload)
    }

    /// Subscribes to `filter` with a bounded queue; [`Client::subscription`] has the other ways.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is subscribed then.
    pub fn subscribe(&self, filter: &str) -> Result<Subscription, SubscribeError> {
        self.subscription(filter).queued()
    }

    /// Begins a subscription to `filter`.
    pub fn subscription<'a>(&'a self, filter: &'a str) -> Subscribe<'a> {
        Subscribe::new(self, filter)
    }

    /// A barrier: it comes when the server has processed everything that was queued before (a PING was answered by its PONG).
    /// Asked for while the connection is down, it waits for the next one; but if the connection is lost after it was asked for, it fails:
    /// what was written before may be lost.
    ///
    /// The first flush after a loss fails at once if messages may have died with the connection that no flush was told of: were
    /// written, and not confirmed by any PONG. So `Ok` always means that all that was published since the last flush has arrived;
    /// of threads that share a client, one is told. Requests, and JetStream's publishes and acknowledgements, do not count: each of
    /// them is answered or fails by itself.
    pub fn flush(&self) -> Pending<Result<(), FlushError>> {
        let (done, flushed) = pending(Err(FlushError::Closed));
        let mut done = Some(done);
        let taken = self.shared().command(|state| {
            if mem::take(&mut state.lost) {
                return Ok(());
            }
            state.bytes.extend_from_slice(encode::PING);
            let behind = state.plain;
            let barrier = done.take().map(|done| Barrier::Flush { behind, done });
            state.commands.extend(barrier.map(Command::Barrier));
            Ok(())
        });
        if let Some(done) = done {
            done.resolve(Err(taken.map_or_else(FlushError::from, |()| FlushError::Disconnected)));
        }
        flushed
    }

    /// As [`Client::flush`], and says how long it took from now to the PONG.
    pub fn rtt(&self) -> Pending<Result<Duration, FlushError>> {
        let (done, measured) = pending(Err(FlushError::Closed));
        let (mut done, sent) = (Some(done), Instant::now());
        let taken = self.shared().command(|state| {
            state.bytes.extend_from_slice(encode::PING);
            let barrier = done.take().map(|done| Barrier::RoundTrip { sent, done });
            state.commands.extend(barrier.map(Command::Barrier));
            Ok(())
        });
        if let (Err(refusal), Some(done)) = (taken, done) {
            done.resolve(Err(refusal.into()));
        }
        measured
    }

    /// Ends in order: no more messages are asked for, those that the server has for our subscriptions still come and can be read, what is
    /// published meanwhile goes out; then the connection is closed. Waits until all queued subscriptions were read to
    /// their end and everything is written, for `timeout` at most; but in a callback on the reactor's own thread, and for a
    /// [`crate::LocalClient`], it only begins to drain.
    ///
    /// # Errors
    /// [`CloseError`] if frames were left unwritten.
    pub fn drain(&self, timeout: Duration) -> Result<(), CloseError> {
        self.unless_driven_here(self.begin_drain(timeout))
    }

    /// As [`Client::drain`], as a future. It drains whether or not it is waited for.
    pub fn begin_drain(&self, timeout: Duration) -> Pending<Result<(), CloseError>> {
        let (shared, deadline) = (self.shared(), later(Instant::now(), timeout));
        // Not taken, it is closed already.
        shared.tell(|state| {
            state.commands.extend([Command::Drain { deadline }, Command::DrainNow]);
        });
        shared.ended.wait()
    }

    /// Ends the connection to this server and makes another one, as after a loss: what was written and not confirmed may be lost.
    pub fn force_reconnect(&self) {
        // A closed connection is not made anew.
        self.shared().tell(|state| state.commands.push(Command::Reconnect));
    }

    /// The servers (one, or a list with commas between) to connect to from the next time on, instead of those there were, given or
    /// discovered. The connection stays: see [`Client::force_reconnect`].
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong with one of them; nothing has changed then.
    pub fn set_servers(&self, urls: &str) -> Result<(), UrlError> {
        let urls = ServerUrl::parse_list(urls).map_err(|(_, error)| error)?;
        if urls.is_empty() {
            return Err(UrlError::NoHost);
        }
        // A closed connection needs no servers.
        self.shared().tell(|state| state.commands.push(Command::SetServers(urls)));
        Ok(())
    }

    /// What happens to the connection from now on.
    pub fn events(&self) -> Events {
        let shared = self.shared();
        shared.events.subscribe(|| shared.counters.state() == State::Closed)
    }

    /// A new subject below this connection's inbox prefix, that nobody else can guess: to subscribe to, and to be answered on.
    pub fn new_inbox(&self) -> String {
        self.inbox().subject(Token { slot: 0, epoch: 0 }).to_string()
    }

    /// For layers with a pending ring of their own: a new inbox below this connection's prefix, with a subject for every slot.
    pub fn inbox(&self) -> Inbox {
        self.shared().new_inbox()
    }

    /// Accepts nothing more, writes what is queued, and closes the connection: when the server has read all of it, or after
    /// `timeout`. All that waits (flushes, requests, subscriptions) ends. Waits until it is done; but in a callback on the
    /// reactor's own thread, and for a [`crate::LocalClient`], it only begins to close.
    ///
    /// # Errors
    /// [`CloseError`] if frames were left unwritten.
    pub fn close(&self, timeout: Duration) -> Result<(), CloseError> {
        self.unless_driven_here(self.begin_close(timeout))
    }

    /// As [`Client::close`], as a future. It closes whether or not it is waited for.
    pub fn begin_close(&self, timeout: Duration) -> Pending<Result<(), CloseError>> {
        let shared = self.shared();
        shared.write_queue.close(later(Instant::now(), timeout));
        shared.wake_now();
        shared.ended.wait()
    }

    /// Waits for the end; but where the connection is driven it would wait for itself.
    fn unless_driven_here(&self, end: Pending<Result<(), CloseError>>) -> Result<(), CloseError> {
        let shared = self.shared();
        if shared.driver == Driver::Caller || shared.is_driven_here() {
            return Ok(());
        }
        end.wait()
    }

    /// The latest INFO of the server; empty before the first connection.
    pub fn server_info(&self) -> Arc<ServerInfo> {
        Arc::clone(&self.shared().info.lock())
    }

    /// The largest message that the server takes, headers included, in bytes; `usize::MAX` before the first connection.
    #[inline]
    pub fn max_payload(&self) -> usize {
        self.shared().max_payload.load(Ordering::Relaxed)
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.shared().counters.state()
    }

    /// Why the connection was lost last, or what the server complained of, in words.
    pub fn last_error(&self) -> Option<String> {
        self.shared().last_error()
    }

    /// What the connection has done so far.
    pub fn stats(&self) -> Stats {
        let published = self.shared().write_queue.lock().published;
        self.shared().counters.read(published)
    }

    /// The bounds of this connection.
    pub fn limits(&self) -> &Limits {
        &self.shared().limits
    }

    /// True on the thread that drives the connection: in a callback or a sink, or where a [`crate::LocalClient`] is used. What
    /// waits for the connection must not wait there, as the connection would wait for itself.
    #[inline]
    pub fn is_reactor_thread(&self) -> bool {
        self.shared().is_driven_here()
    }

    /// For layers whose sinks call what is not theirs: contains panics.
    pub fn containment(&self) -> Containment {
        Containment::new(Arc::clone(self.shared()))
    }

    /// For layers whose sinks drop what there is no room for: counts and tells of it, for a subscription to `subject`.
    pub fn slow_reader(&self, subject: &str) -> SlowReader {
        SlowReader::new(subject, Arc::clone(self.shared()))
    }

    /// For layers that encode their own frames: appends what `encode` writes (whole frames, of about `len` bytes) to the
    /// write queue, under its lock. Waits while it is full, for `Limits::publish_wait` at most (not at all in a callback on the
    /// reactor's own thread). `encode` must not block, and
    /// must leave the buffer as it was if it fails.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing is sent then.
    #[inline]
    pub fn submit<R, E>(
        &self,
        len: usize,
        mut encode: impl FnMut(&mut Vec<u8>) -> Result<R, E>,
    ) -> Result<R, SubmitError<E>> {
        let shared = self.shared();
        self.submit_with(len, || shared.write_queue.try_submit(len, &mut encode))
    }

    /// As [`Client::submit`], for a message that nothing but a flush confirms.
    #[inline]
    fn submit_plain<R, E>(
        &self,
        len: usize,
        mut encode: impl FnMut(&mut Vec<u8>) -> Result<R, E>,
    ) -> Result<R, SubmitError<E>> {
        let shared = self.shared();
        self.submit_with(len, || shared.write_queue.try_publish(len, &mut encode))
    }

    /// Tries until there is room.
    #[inline]
    fn submit_with<R, E>(
        &self,
        len: usize,
        mut attempt: impl FnMut() -> Result<R, SubmitError<E>>,
    ) -> Result<R, SubmitError<E>> {
        let mut deadline = None;
        loop {
            match attempt() {
                Err(SubmitError::Full) => {
                    if self.is_reactor_thread() {
                        return Err(SubmitError::Full);
                    }
                    let wait = self.limits().publish_wait;
                    let deadline = *deadline.get_or_insert_with(|| later(Instant::now(), wait));
                    if !self.shared().write_queue.wait_for_room(len, deadline) {
                        return Err(SubmitError::Full);
                    }
                }
                other => {
                    if other.is_ok() {
                        self.shared().wake();
                    }
                    return other;
                }
            }
        }
    }

    /// As [`Client::submit`], without waiting.
    ///
    /// # Errors
    /// [`SubmitError`], with [`SubmitError::Full`] if there is no room now; nothing is sent then.
    #[inline]
    pub fn try_submit<R, E>(
        &self,
        len: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<R, E>,
    ) -> Result<R, SubmitError<E>> {
        let shared = self.shared();
        let result = shared.write_queue.try_submit(len, encode)?;
        shared.wake();
        Ok(result)
    }

    /// Checks a message of `size` bytes, headers included, against the server's limit.
    ///
    /// # Errors
    /// [`PublishError::TooLarge`].
    #[inline]
    pub fn check_size(&self, size: usize) -> Result<(), PublishError> {
        let max = self.max_payload();
        if size <= max { Ok(()) } else { Err(PublishError::TooLarge { size, max }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    pub(crate) fn requests(&self) -> &OnceLock<Requests> {
        &self.handle.requests
    }
}

/// Checks subject and reply subject together.
fn check_line(len: usize) -> Result<(), SubjectError> {
    if len > MAX_LINE { Err(SubjectError::TooLong { len }) } else { Ok(()) }
}

/// Where an answer goes. It comes from whoever published: it is checked as any other subject.
fn reply_subject<'a>(request: &MessageRef<'a>) -> Result<&'a str, PublishError> {
    let reply = request.reply().ok_or(PublishError::NoReply)?;
    std::str::from_utf8(reply).map_err(|_| PublishError::NoReply)
}

/// About how long the frame of a publish is; what counts is the payload.
#[inline]
pub(crate) fn frame_len(subject: &str, size: usize) -> usize {
    subject.len() + size + 64
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.write_queue.close(later(Instant::now(), DROP_GRACE));
        self.shared.wake_now();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}
