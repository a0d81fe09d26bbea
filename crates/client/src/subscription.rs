use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use jetlane_proto::encode;

use crate::outbox::Command;
use crate::queue::{Next, QueueReader};
use crate::shared::Shared;
use crate::{Client, Message, later};

/// Messages of a subscription, in a bounded queue: an `Iterator` for a plain thread (which ends when the connection is
/// closed), and a `Stream` for an executor. Dropping it unsubscribes.
///
/// When the reader is too slow and `Limits::subscription_messages` or `subscription_bytes` is reached, newer
/// messages are dropped and counted: [`Subscription::dropped`].
#[derive(Debug)]
pub struct Subscription {
    reader: QueueReader,
    handle: SinkHandle,
}

impl Subscription {
    pub(crate) fn new(reader: QueueReader, handle: SinkHandle) -> Self {
        Self { reader, handle }
    }

    /// The next message, if one is there already.
    pub fn try_next(&mut self) -> Option<Message> {
        match self.reader.try_next() {
            Next::Message(message) => Some(message),
            Next::Empty | Next::Closed => None,
        }
    }

    /// The next message, waited for no longer than `timeout`. `None` if none came, or the connection is closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Message> {
        match self.reader.next(|| Some(later(Instant::now(), timeout))) {
            Next::Message(message) => Some(message),
            Next::Empty | Next::Closed => None,
        }
    }

    /// How many messages there was no room for.
    pub fn dropped(&self) -> u64 {
        self.reader.dropped()
    }

    /// The number that the server knows it by.
    pub fn sid(&self) -> u64 {
        self.handle.sid()
    }
}

impl Iterator for Subscription {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        match self.reader.next(|| None) {
            Next::Message(message) => Some(message),
            Next::Empty | Next::Closed => None,
        }
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.get_mut().reader.poll_next(cx)
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
        let _ = self.shared.command(|state| {
            encode::unsubscribe(&mut state.bytes, sid);
            state.commands.push(Command::Unsubscribe { sid });
            Ok(())
        });
    }
}

impl fmt::Debug for SinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkHandle").field("sid", &self.sid).finish_non_exhaustive()
    }
}
