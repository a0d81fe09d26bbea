use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use jetlane_proto::encode;

use crate::lossy::LossyReader;
use crate::queue::{QueueReader, QueueStats};
use crate::reactor::Barrier;
use crate::shared::Shared;
use crate::write_queue::Command;
use crate::{Client, CloseReason, Message, later};

/// Messages of a subscription, in a bounded queue: an `Iterator` for a plain thread, and a `Stream` for an executor. It ends when
/// no more messages can come, and [`Subscription::close_reason`] says why. Dropping it unsubscribes.
///
/// When the reader is too slow and `Limits::subscription_messages` or `subscription_bytes` is reached, newer
/// messages are dropped and counted ([`Subscription::stats`]), unless another [`crate::Overflow`] was chosen.
#[derive(Debug)]
pub struct Subscription {
    reader: Reader,
    handle: SinkHandle,
}

/// The reader's end of a queue.
#[derive(Debug)]
pub(crate) enum Reader {
    Usual(QueueReader),
    Lossy(LossyReader),
}

impl Subscription {
    pub(crate) fn new(reader: Reader, handle: SinkHandle) -> Self {
        Self { reader, handle }
    }

    /// The next message, if one is there already.
    #[inline]
    pub fn try_next(&mut self) -> Option<Message> {
        match &mut self.reader {
            Reader::Usual(reader) => reader.try_next(),
            Reader::Lossy(reader) => reader.try_next(),
        }
        .into_message()
    }

    /// The next message, waited for no longer than `timeout`. `None` if none came, or no more come.
    #[inline]
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Message> {
        let deadline = || Some(later(Instant::now(), timeout));
        match &mut self.reader {
            Reader::Usual(reader) => reader.next(deadline),
            Reader::Lossy(reader) => reader.next(deadline()),
        }
        .into_message()
    }

    /// The next message, as a future. `None` if no more come. It may be dropped unfinished: no message is lost.
    ///
    /// (As a subscription is an `Iterator` and a `Stream`, `next()` is ambiguous where the extensions of both are in scope.)
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What it has seen so far.
    pub fn stats(&self) -> QueueStats {
        match &self.reader {
            Reader::Usual(reader) => reader.stats(),
            Reader::Lossy(reader) => reader.stats(),
        }
    }

    /// How many messages there was no room for.
    pub fn dropped(&self) -> u64 {
        self.stats().dropped
    }

    /// Why no more messages come; `None` while they may. Those that came before can still be read.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match &self.reader {
            Reader::Usual(reader) => reader.end(),
            Reader::Lossy(reader) => reader.end(),
        }
    }

    /// Ends it after `most` messages in all, counted from the first; at once if so many have come.
    pub fn unsubscribe_after(&self, most: u64) {
        let sid = self.sid();
        // A closed connection has ended all its subscriptions.
        self.handle.shared.tell(|state| {
            encode::unsubscribe_after(&mut state.bytes, sid, most);
            state.commands.push(Command::UnsubscribeAfter { sid, most });
        });
    }

    /// Asks for no more messages. Those that the server has for it already still come; it ends behind the last of them.
    pub fn drain(&self) {
        self.handle.drain();
    }

    /// The number that the server knows it by.
    pub fn sid(&self) -> u64 {
        self.handle.sid()
    }
}

impl Iterator for Subscription {
    type Item = Message;

    #[inline]
    fn next(&mut self) -> Option<Message> {
        match &mut self.reader {
            Reader::Usual(reader) => reader.next(|| None),
            Reader::Lossy(reader) => reader.next(None),
        }
        .into_message()
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        match &mut self.get_mut().reader {
            Reader::Usual(reader) => reader.poll_next(cx),
            Reader::Lossy(reader) => reader.poll_next(cx),
        }
    }
}

/// Holds a subscription whose messages go to a callback or a sink. Dropping it unsubscribes; a message that was on its
/// way then is not delivered. It keeps the connection open.
pub struct SinkHandle {
    sid: u64,
    /// `None` once forgotten.
    client: Option<Client>,
    shared: Arc<Shared>,
}

/// Calls a sink from any thread. It does not keep the connection open.
#[derive(Clone, Debug)]
pub struct Nudger {
    sid: u64,
    shared: Arc<Shared>,
}

impl SinkHandle {
    pub(crate) fn new(sid: u64, client: Client) -> Self {
        Self { sid, shared: Arc::clone(client.shared()), client: Some(client) }
    }

    /// Leaves the subscription in place for as long as the connection lives, and keeps the connection open no longer.
    pub fn forget(mut self) {
        self.client = None;
    }

    /// The number that the server knows the subscription by.
    pub fn sid(&self) -> u64 {
        self.sid
    }

    /// Asks for no more messages, once all is written that is queued now. Those that the server has for it then still come; it ends behind
    /// the last of them ([`CloseReason::Drained`]).
    pub fn drain(&self) {
        let sid = self.sid;
        // A closed connection has ended all its subscriptions.
        self.shared.tell(|state| {
            encode::unsubscribe(&mut state.bytes, sid);
            state.bytes.extend_from_slice(encode::PING);
            state.commands.push(Command::Barrier(Barrier::Drained { sid }));
        });
    }

    /// Has the reactor call the sink's `turn_end` soon.
    pub fn nudge(&self) {
        self.shared.nudge(self.sid);
    }

    /// A handle that can only nudge.
    pub fn nudger(&self) -> Nudger {
        Nudger { sid: self.sid, shared: Arc::clone(&self.shared) }
    }
}

impl Nudger {
    /// As [`SinkHandle::nudge`].
    pub fn nudge(&self) {
        self.shared.nudge(self.sid);
    }
}

impl Drop for SinkHandle {
    fn drop(&mut self) {
        if self.client.is_none() {
            return;
        }
        let sid = self.sid;
        // A closed connection has ended all its subscriptions.
        self.shared.tell(|state| {
            encode::unsubscribe(&mut state.bytes, sid);
            state.commands.push(Command::Unsubscribe { sid });
        });
    }
}

impl fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkHandle").field("sid", &self.sid).finish_non_exhaustive()
    }
}
