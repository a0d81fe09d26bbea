use std::any::Any;
use std::collections::HashSet;
use std::time::Instant;

use jetlane_proto::{encode, outbound};

use jetlane_ring::Token;

use crate::{Inbox, MessageRef};

/// Takes the messages of a subscription on the reactor thread.
///
/// A sink must not block: the whole connection waits for it. It gets each message by reference; what it keeps it copies
/// (see [`crate::Arena`]). Then, once a turn, [`Sink::turn_end`]: the place to hand on a batch and wake others once.
///
/// Sinks are how the layers above take their traffic; applications mostly want [`crate::Client::subscribe`].
pub trait Sink: Any + Send {
    /// A message.
    fn message(&mut self, message: &MessageRef<'_>, out: &mut Out<'_>);

    /// All messages of this turn were handed over, or somebody nudged ([`crate::SinkHandle::nudge`]).
    fn turn_end(&mut self, out: &mut Out<'_>) {
        let _ = out;
    }

    /// The connection was lost. `unsent` are the publishes that will still be sent, on the next one.
    fn disconnected(&mut self, unsent: &mut Unsent<'_>) {
        let _ = unsent;
    }

    /// A new connection stands, and the subscription is restored. Also called when a subscription is made.
    fn connected(&mut self, out: &mut Out<'_>) {
        let _ = out;
    }

    /// True if this sink has timeouts. Asked once, when the subscription is made.
    fn is_timed(&self) -> bool {
        false
    }

    /// When [`Sink::timeout`] should be called; asked in every turn of the reactor if [`Sink::is_timed`].
    fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        let _ = now;
        None
    }

    /// The time that [`Sink::next_timeout`] gave has come.
    fn timeout(&mut self, out: &mut Out<'_>) {
        let _ = out;
    }

    /// The server did not permit a publish to `subject`, which was dropped; or one with the reply subject `subject`.
    fn publish_denied(&mut self, subject: &[u8]) {
        let _ = subject;
    }

    /// False once it has told the server to send no more: no other connection is asked for more either.
    fn wants_more(&self) -> bool {
        true
    }

    /// False while messages wait for a reader of the user's. A drain waits for them.
    fn is_read_out(&self) -> bool {
        true
    }

    /// False while something that this sink has sent, or whose answer it takes, is on its way. A connection that moves to another server
    /// waits for it, so that nothing overtakes it there.
    fn is_at_rest(&self) -> bool {
        true
    }

    /// The server does not permit the subscription: [`Sink::closed`] follows. Between the two the write queue is locked once, so what an
    /// encoder has claimed before is seen in `closed`, and an encoder that runs later sees what is written down here.
    fn denied(&mut self) {}

    /// The subscription is over; no messages come after this.
    fn closed(&mut self, reason: CloseReason) {
        let _ = reason;
    }
}

/// Why a subscription is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// Its handle was dropped.
    Unsubscribed,
    /// It has had as many messages as it asked for.
    Complete,
    /// It was drained: every message that the server had for it has come.
    Drained,
    /// The server does not permit it to this user.
    Denied,
    /// The time it was given is over.
    TimedOut,
    /// Nobody listens on the subject of the request that it waited for replies to.
    NoResponders,
    /// The connection was lost, and what it waited for with it.
    Disconnected,
    /// The connection was closed.
    ConnectionClosed,
    /// The reactor died of a panic. A bug in jetlane, or in a sink.
    ReactorDied,
}

/// What a sink can do on the reactor thread: append frames right behind those being written, without any lock.
#[derive(Debug)]
pub struct Out<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    /// Counts what is published.
    pub(crate) published: &'a mut u64,
    pub(crate) now: Instant,
    pub(crate) connected: bool,
    /// The subscription of the sink that writes.
    pub(crate) sid: u64,
}

impl Out<'_> {
    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// True while the connection stands. What is published while it does not is sent when it does again.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Tells the server to send no more messages to this sink. It keeps its place, and can still write.
    pub fn unsubscribe(&mut self) {
        // Without a connection there is nothing to end, and the next one is not asked for anything.
        if self.connected {
            encode::unsubscribe(self.bytes, self.sid);
        }
    }

    /// Appends a publish. `subject` and `reply` must be valid; `reply` may be empty.
    #[inline]
    pub fn publish(&mut self, subject: &[u8], reply: &[u8], payload: &[u8]) {
        *self.published += 1;
        encode::publish(self.bytes, subject, reply, payload);
    }
}

/// The publishes that were queued and not written when a connection was lost. They will be sent on the next one, in
/// order, unless a sink takes them out.
#[derive(Debug)]
pub struct Unsent<'a> {
    /// Whole PUB and HPUB frames, nothing else.
    pub(crate) bytes: &'a mut Vec<u8>,
}

impl Unsent<'_> {
    /// The reply subjects of those that have one, in order.
    pub fn replies(&self) -> impl Iterator<Item = &[u8]> {
        let bytes: &[u8] = self.bytes;
        outbound::frames(bytes).filter_map(move |frame| {
            let reply = frame.publish_reply?.of(bytes);
            (!reply.is_empty()).then_some(reply)
        })
    }

    /// The tokens of those whose answer goes to `inbox`.
    pub fn tokens(&self, inbox: &Inbox) -> HashSet<Token> {
        self.replies().filter_map(|reply| inbox.token(reply)).collect()
    }

    /// Takes out those with more than `max` bytes of headers and payload. Returns how many that were.
    pub(crate) fn drop_larger_than(&mut self, max: usize) -> usize {
        // Looked at first, so that the usual case moves nothing.
        let large = outbound::frames(self.bytes).filter(|frame| frame.size > max).count();
        if large > 0 {
            let bytes = std::mem::take(self.bytes);
            for frame in outbound::frames(&bytes).filter(|frame| frame.size <= max) {
                self.bytes.extend_from_slice(&bytes[frame.range]);
            }
        }
        large
    }

    /// Takes out those whose reply subject (empty if there is none) does not please `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let bytes = std::mem::take(self.bytes);
        self.bytes.reserve(bytes.len());
        for frame in outbound::frames(&bytes) {
            if frame.publish_reply.is_some_and(|reply| keep(reply.of(&bytes))) {
                self.bytes.extend_from_slice(&bytes[frame.range]);
            }
        }
    }
}

/// Appends the publishes among the frames in `bytes` to `unsent`. Other frames belong to the lost connection.
pub(crate) fn keep_publishes(unsent: &mut Vec<u8>, bytes: &[u8]) {
    for frame in outbound::frames(bytes) {
        if frame.publish_reply.is_some() {
            unsent.extend_from_slice(&bytes[frame.range]);
        }
    }
}
