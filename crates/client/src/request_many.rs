//! One request, many replies (ADR-47).

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use jetlane_proto::encode;

use crate::queue::{Bounds, Overflow, QueueReader, QueueSink, queue};
use crate::sink::{CloseReason, Out, Sink, Unsent};
use crate::{
    AsSubject, Client, Message, MessageRef, PublishError, RequestError, SinkHandle, SubscribeError,
    later,
};

/// What a request waits for in all, unless told otherwise.
const TOTAL: Duration = Duration::from_secs(5);

type Sentinel = Box<dyn FnMut(&MessageRef<'_>) -> bool + Send>;

/// A request that may have many replies (ADR-47), about to be sent: say when there have been enough, then [`RequestMany::send`].
#[must_use = "nothing is sent before send is called"]
pub struct RequestMany<'a> {
    client: &'a Client,
    subject: &'a str,
    payload: &'a [u8],
    total: Duration,
    stall: Option<Duration>,
    most: Option<usize>,
    sentinel: Option<Sentinel>,
}

impl<'a> RequestMany<'a> {
    pub(crate) fn new(client: &'a Client, subject: &'a str, payload: &'a [u8]) -> Self {
        Self { client, subject, payload, total: TOTAL, stall: None, most: None, sentinel: None }
    }

    /// Ends when so long a time has passed since it was sent. Default 5 s.
    pub fn timeout(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Ends when no reply has come for so long, after the first one. Default: only the timeout counts.
    pub fn stall(mut self, stall: Duration) -> Self {
        self.stall = Some(stall);
        self
    }

    /// Ends after so many replies.
    pub fn max_messages(mut self, most: usize) -> Self {
        self.most = Some(most);
        self
    }

    /// Ends with the reply that `is_last` says is the last one; that reply itself is not handed over. It is called on the connection's own
    /// thread, and must not block.
    pub fn sentinel(
        mut self,
        is_last: impl FnMut(&MessageRef<'_>) -> bool + Send + 'static,
    ) -> Self {
        self.sentinel = Some(Box::new(is_last));
        self
    }

    /// Ends with the first reply that has no payload, which is the usual sentinel.
    pub fn until_empty(self) -> Self {
        self.sentinel(|reply| reply.payload().is_empty())
    }

    /// Sends the request.
    ///
    /// # Errors
    /// [`RequestError`] if it could not be queued; nothing is sent then.
    pub fn send(self) -> Result<Replies, RequestError> {
        let Self { client, subject, payload, total, stall, most, sentinel } = self;
        let subject = subject.as_subject().map_err(PublishError::from)?;
        client.check_size(payload.len()).map_err(RequestError::from)?;
        let inbox = client.new_inbox();
        let reply = inbox.as_str();
        let limits = client.limits();
        let bounds = Bounds {
            messages: limits.subscription_messages,
            bytes: limits.subscription_bytes,
            overflow: Overflow::DropNewest,
        };
        let (sink, reader) = queue(reply, bounds, limits, Arc::clone(client.shared()));
        let sink = RepliesSink {
            queue: sink,
            inbox: reply.into(),
            subject: subject.into(),
            total_end: later(Instant::now(), total),
            stall_end: None,
            stall,
            left: most.unwrap_or(usize::MAX),
            sentinel,
            containment: client.containment(),
            ended: None,
        };
        let handle = client.subscription(reply).sink(sink).map_err(|error| match error {
            SubscribeError::Closed => PublishError::Closed.into(),
            SubscribeError::Full => PublishError::Full.into(),
            _ => RequestError::TooMany,
        })?;
        client
            .submit(subject.len() + payload.len() + 128, |out| {
                encode::publish(out, subject.as_bytes(), inbox.as_bytes(), payload);
                Ok::<_, PublishError>(())
            })
            .map_err(PublishError::from)?;
        Ok(Replies { reader, _handle: handle })
    }
}

impl fmt::Debug for RequestMany<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestMany").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// The replies to a request: an `Iterator` for a plain thread, and a `Stream` for an executor. It ends when there have been enough, and
/// [`Replies::close_reason`] says why.
#[derive(Debug)]
pub struct Replies {
    reader: QueueReader,
    /// Dropped, it ends the subscription.
    _handle: SinkHandle,
}

impl Replies {
    /// The next reply, if one is there already.
    pub fn try_next(&mut self) -> Option<Message> {
        self.reader.try_next().into_message()
    }

    /// The next reply, as a future. `None` if no more come. It may be dropped unfinished: no reply is lost.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Why no more replies come; `None` while they may. [`CloseReason::Complete`] by count, stall or sentinel.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.reader.end()
    }
}

impl Iterator for Replies {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.reader.next(|| None).into_message()
    }
}

impl Stream for Replies {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.reader.poll_next(cx)
    }
}

/// Hands replies to a queue until there have been enough.
struct RepliesSink {
    queue: QueueSink,
    inbox: Box<str>,
    /// What was asked.
    subject: Box<str>,
    /// When it ends, whatever comes.
    total_end: Instant,
    /// When it ends unless a reply comes before.
    stall_end: Option<Instant>,
    stall: Option<Duration>,
    left: usize,
    sentinel: Option<Sentinel>,
    containment: crate::Containment,
    ended: Option<CloseReason>,
}

impl RepliesSink {
    fn is_last(&mut self, message: &MessageRef<'_>) -> bool {
        let Some(sentinel) = &mut self.sentinel else { return false };
        // One that panics ends it: it would not know the last one either.
        self.containment.call(|| sentinel(message)).unwrap_or(true)
    }

    fn end(&mut self, reason: CloseReason, out: &mut Out<'_>) {
        if self.ended.is_none() {
            self.ended = Some(reason);
            out.unsubscribe();
            self.queue.closed(reason);
        }
    }
}

impl Sink for RepliesSink {
    fn message(&mut self, message: &MessageRef<'_>, out: &mut Out<'_>) {
        if self.ended.is_some() {
            return;
        }
        let status = message.headers().and_then(|headers| headers.status());
        if message.payload().is_empty() && status.is_some_and(|status| status.code == 503) {
            return self.end(CloseReason::NoResponders, out);
        }
        if self.is_last(message) {
            return self.end(CloseReason::Complete, out);
        }
        self.queue.message(message, out);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return self.end(CloseReason::Complete, out);
        }
        self.stall_end = self.stall.map(|stall| later(out.now(), stall));
    }

    fn turn_end(&mut self, out: &mut Out<'_>) {
        self.queue.turn_end(out);
    }

    fn wants_more(&self) -> bool {
        self.ended.is_none()
    }

    fn publish_denied(&mut self, subject: &[u8]) {
        let ours = subject == self.inbox.as_bytes() || subject == self.subject.as_bytes();
        if ours && self.ended.is_none() {
            self.ended = Some(CloseReason::Denied);
            self.queue.closed(CloseReason::Denied);
        }
    }

    fn disconnected(&mut self, unsent: &mut Unsent<'_>) {
        let waits = unsent.replies().any(|reply| reply == self.inbox.as_bytes());
        if !waits && self.ended.is_none() {
            self.ended = Some(CloseReason::Disconnected);
            self.queue.closed(CloseReason::Disconnected);
        }
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn next_timeout(&mut self, _: Instant) -> Option<Instant> {
        let end = self.stall_end.map_or(self.total_end, |stall| stall.min(self.total_end));
        self.ended.is_none().then_some(end)
    }

    fn timeout(&mut self, out: &mut Out<'_>) {
        let stalled = self.stall_end.is_some_and(|stall| stall < self.total_end);
        self.end(if stalled { CloseReason::Complete } else { CloseReason::TimedOut }, out);
    }

    fn closed(&mut self, reason: CloseReason) {
        self.ended.get_or_insert(reason);
        self.queue.closed(reason);
    }
}
