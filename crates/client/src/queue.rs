// The bounded queue between the reactor and the reader of a queued subscription. The reactor copies frames as they
// came, one behind the other, into blocks, adds a whole turn's blocks under one lock, and wakes the reader once. The
// reader takes all there are under one lock, and finds the frames in them again: that costs less than to carry the
// places of all their parts along.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use jetlane_proto::{Frame, Limits, Parser, Step};

use crate::sink::{CloseReason, Out, Sink};
use crate::slow::SlowReader;
use crate::{Message, MessageRef, Watched, WatchedGuard, shared::Shared};

/// Memory for frames is taken in pieces of this size. What is larger than a quarter of it has memory of its own, so that it
/// pins nothing else.
const PIECE: usize = 64 << 10;

#[derive(Debug, Default)]
struct Queue {
    state: Watched<QueueState>,
    dropped: AtomicU64,
    /// What was sent, as of the end of the last turn.
    sent_messages: AtomicUsize,
    sent_bytes: AtomicUsize,
    /// What the reader has read: whole blocks. It is behind what was sent, so the difference is what waits.
    read_messages: AtomicUsize,
    read_bytes: AtomicUsize,
    /// The most that has waited at the end of a turn.
    most_messages: AtomicUsize,
    most_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct QueueState {
    blocks: VecDeque<Block>,
    /// Why no more comes.
    closed: Option<CloseReason>,
    /// The connection is not read until this queue has been.
    blocks_connection: bool,
}

impl QueueState {
    /// There is something to take, or nothing to wait for.
    fn is_ready(&self) -> bool {
        !self.blocks.is_empty() || self.closed.is_some()
    }
}

/// Frames of messages, one behind the other.
#[derive(Debug)]
struct Block {
    frames: Bytes,
    messages: usize,
}

/// The reactor's end.
pub(crate) struct QueueSink {
    queue: Arc<Queue>,
    /// The block at hand, and room for others.
    piece: BytesMut,
    messages: usize,
    /// The blocks of this turn.
    fresh: VecDeque<Block>,
    sent_messages: usize,
    sent_bytes: usize,
    /// What was read when it was last looked at.
    read_messages: usize,
    read_bytes: usize,
    bounds: Bounds,
    /// Of one block. Its messages count as waiting until all of them are read, so it is a small part of the bound.
    block_messages: usize,
    /// What was dropped in this turn.
    dropped: u64,
    slow: SlowReader,
    shared: Arc<Shared>,
}

/// How much may wait, and what is done about more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) overflow: Overflow,
}

/// What happens to the messages of a queued subscription whose reader is too slow. All that is dropped is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The newest are dropped: what is there already stays, and is read in order. The default, as in other clients.
    #[default]
    DropNewest,
    /// The oldest are dropped: the reader sees the newest.
    DropOldest,
    /// Of each subject only the newest message waits, in the place of those it replaces; when there are too many subjects, the oldest
    /// message is dropped.
    Conflate,
    /// Nothing is dropped: the connection is not read, for any of its subscriptions, until the reader has taken what there is. Up to two
    /// turns' worth of bytes (each `Limits::turn_bytes` and a read of 128 KiB) may exceed the bounds. A server gives a connection up that
    /// is not read for long (its `write_deadline`, 10 s by default, once its own buffer for us is full).
    Block,
}

/// What a queued subscription has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Messages that were queued for the reader.
    pub queued: u64,
    /// Messages that were dropped, or replaced by newer ones.
    pub dropped: u64,
    /// Messages that wait now; those of a block that is being read count until all of it is read.
    pub waiting: usize,
    /// Bytes that wait now.
    pub waiting_bytes: usize,
    /// The most messages that have waited.
    pub most_waiting: usize,
    /// The most bytes that have waited.
    pub most_waiting_bytes: usize,
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct QueueReader {
    queue: Arc<Queue>,
    /// Taken from the queue.
    blocks: VecDeque<Block>,
    /// What is left of the block at hand; how much it was at first.
    frames: Bytes,
    messages: usize,
    bytes: usize,
    parser: Parser,
    shared: Arc<Shared>,
}

pub(crate) fn queue(
    subject: &str,
    bounds: Bounds,
    limits: &Limits,
    shared: Arc<Shared>,
) -> (QueueSink, QueueReader) {
    let queue = Arc::<Queue>::default();
    let reader = QueueReader {
        queue: Arc::clone(&queue),
        blocks: VecDeque::new(),
        frames: Bytes::new(),
        messages: 0,
        bytes: 0,
        parser: Parser::new(limits),
        shared: Arc::clone(&shared),
    };
    let sink = QueueSink {
        queue,
        piece: BytesMut::new(),
        messages: 0,
        fresh: VecDeque::new(),
        sent_messages: 0,
        sent_bytes: 0,
        read_messages: 0,
        read_bytes: 0,
        bounds,
        block_messages: (bounds.messages / 16).max(1),
        dropped: 0,
        slow: SlowReader::new(subject, Arc::clone(&shared)),
        shared,
    };
    (sink, reader)
}

impl Sink for QueueSink {
    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        let frame = message.frame();
        if !self.has_room(frame.len()) && self.bounds.overflow != Overflow::Block {
            self.dropped += 1;
            return;
        }
        self.sent_messages += 1;
        self.sent_bytes += frame.len();
        if frame.len() > PIECE / 4 {
            return self.push_large(frame);
        }
        if self.piece.capacity() - self.piece.len() < frame.len() {
            self.end_block();
            self.piece = BytesMut::with_capacity(PIECE);
        }
        self.piece.extend_from_slice(frame);
        self.messages += 1;
        if self.messages == self.block_messages {
            self.end_block();
        }
    }

    fn turn_end(&mut self, out: &mut Out<'_>) {
        self.end_block();
        let blocks = self.bounds.overflow == Overflow::Block && !self.has_room(0);
        if !self.fresh.is_empty() {
            self.note_sent();
            let Self { queue, fresh, shared, .. } = self;
            queue.state.change(|state| {
                state.blocks.append(fresh);
                // Whoever takes the blocks ends it, which can not be before they are there.
                if blocks && !std::mem::replace(&mut state.blocks_connection, true) {
                    shared.block();
                }
            });
        }
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            self.queue.dropped.fetch_add(dropped, Ordering::Relaxed);
            self.slow.dropped(dropped, out);
        } else if self.is_half_empty() {
            self.slow.has_caught_up();
        }
    }

    fn is_read_out(&self) -> bool {
        self.sent_messages == self.queue.read_messages.load(Ordering::Relaxed)
    }

    fn closed(&mut self, reason: CloseReason) {
        self.end_block();
        let Self { queue, fresh, .. } = self;
        queue.state.change(|state| state.blocks.append(fresh));
        self.close(reason);
    }
}

impl QueueSink {
    /// Whether a frame may wait.
    #[inline]
    fn has_room(&mut self, len: usize) -> bool {
        self.fits(len) || {
            // The reader may have gone on since.
            self.read_messages = self.queue.read_messages.load(Ordering::Relaxed);
            self.read_bytes = self.queue.read_bytes.load(Ordering::Relaxed);
            self.fits(len)
        }
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.sent_messages.wrapping_sub(self.read_messages) < self.bounds.messages
            && self.sent_bytes.wrapping_sub(self.read_bytes) + len <= self.bounds.bytes
    }

    fn is_half_empty(&self) -> bool {
        self.sent_messages.wrapping_sub(self.read_messages) <= self.bounds.messages / 2
            && self.sent_bytes.wrapping_sub(self.read_bytes) <= self.bounds.bytes / 2
    }

    /// Tells those who look from outside.
    fn note_sent(&self) {
        let note = |counter: &AtomicUsize, value| counter.store(value, Ordering::Relaxed);
        let note_most = |most: &AtomicUsize, sent: usize, read: &AtomicUsize| {
            let waits = sent.wrapping_sub(read.load(Ordering::Relaxed));
            note(most, waits.max(most.load(Ordering::Relaxed)));
        };
        let queue = &self.queue;
        note(&queue.sent_messages, self.sent_messages);
        note(&queue.sent_bytes, self.sent_bytes);
        note_most(&queue.most_messages, self.sent_messages, &queue.read_messages);
        note_most(&queue.most_bytes, self.sent_bytes, &queue.read_bytes);
    }

    fn close(&self, reason: CloseReason) {
        let blocked = self.queue.state.change(|state| {
            state.closed.get_or_insert(reason);
            mem::take(&mut state.blocks_connection)
        });
        if blocked {
            self.shared.unblock();
        }
    }

    #[cold]
    fn push_large(&mut self, frame: &[u8]) {
        self.end_block();
        self.fresh.push_back(Block { frames: Bytes::copy_from_slice(frame), messages: 1 });
    }

    fn end_block(&mut self) {
        if self.messages > 0 {
            let frames = self.piece.split().freeze();
            self.fresh.push_back(Block { frames, messages: mem::take(&mut self.messages) });
        }
    }
}

impl Drop for QueueSink {
    fn drop(&mut self) {
        // However the reactor ended: the reader must not wait for ever.
        self.close(CloseReason::ReactorDied);
    }
}

/// What a look at the queue came to.
pub(crate) enum Next {
    Message(Message),
    /// Nothing now.
    Empty,
    /// Nothing any more.
    Closed,
}

impl Next {
    #[inline]
    pub(crate) fn into_message(self) -> Option<Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Empty | Self::Closed => None,
        }
    }
}

impl QueueReader {
    pub(crate) fn try_next(&mut self) -> Next {
        match self.ready() {
            Some(message) => Next::Message(message),
            None => self.refill(Watched::lock),
        }
    }

    /// Sleeps until there is a message, the queue is closed, or `deadline` has passed, which is asked for only then: the
    /// clock costs as much as a message.
    pub(crate) fn next(&mut self, deadline: impl FnOnce() -> Option<Instant>) -> Next {
        if let Some(message) = self.ready() {
            return Next::Message(message);
        }
        let deadline = deadline();
        self.refill(|state| state.wait(deadline, QueueState::is_ready))
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if let Some(message) = self.ready() {
            return Poll::Ready(Some(message));
        }
        match self.refill(|state| state.poll(cx, QueueState::is_ready)) {
            Next::Message(message) => Poll::Ready(Some(message)),
            Next::Closed => Poll::Ready(None),
            Next::Empty => Poll::Pending,
        }
    }

    pub(crate) fn stats(&self) -> QueueStats {
        let load = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let queue = &self.queue;
        let sent = load(&queue.sent_messages);
        QueueStats {
            queued: sent as u64,
            dropped: queue.dropped.load(Ordering::Relaxed),
            waiting: sent.saturating_sub(load(&queue.read_messages)),
            waiting_bytes: load(&queue.sent_bytes).saturating_sub(load(&queue.read_bytes)),
            most_waiting: load(&queue.most_messages),
            most_waiting_bytes: load(&queue.most_bytes),
        }
    }

    /// Why no more messages come, once none do.
    pub(crate) fn end(&self) -> Option<CloseReason> {
        self.queue.state.lock().closed
    }

    /// The next message of those that were taken.
    #[inline]
    fn ready(&mut self) -> Option<Message> {
        loop {
            if let Some((at, len)) = self.parser.next_message(&self.frames) {
                return Some(Message::new(self.frames.split_to(len), at));
            }
            // Not as servers usually write it, or too near to the end of the block to be looked at by the word.
            if self.frames.has_remaining()
                && let Ok(Step::Frame(Frame::Message(at), len)) = self.parser.next(&self.frames)
            {
                return Some(Message::new(self.frames.split_to(len), at));
            }
            self.count_read();
            let Block { frames, messages } = self.blocks.pop_front()?;
            (self.bytes, self.messages) = (frames.len(), messages);
            self.frames = frames;
        }
    }

    /// The block at hand is read.
    fn count_read(&mut self) {
        let Self { queue, messages, bytes, .. } = self;
        // Nobody else writes them.
        let add = |counter: &AtomicUsize, more: &mut usize| {
            let count = counter.load(Ordering::Relaxed).wrapping_add(mem::take(more));
            counter.store(count, Ordering::Relaxed);
        };
        add(&queue.read_messages, messages);
        add(&queue.read_bytes, bytes);
        // Its memory is not to wait for the next one.
        self.frames = Bytes::new();
    }

    /// Takes all there is, after `look` has waited for it.
    fn refill(
        &mut self,
        look: impl FnOnce(&Watched<QueueState>) -> WatchedGuard<'_, QueueState>,
    ) -> Next {
        let (closed, unblocks) = {
            let mut state = look(&self.queue.state);
            mem::swap(&mut state.blocks, &mut self.blocks);
            (state.closed.is_some(), mem::take(&mut state.blocks_connection))
        };
        if unblocks {
            self.shared.unblock();
        }
        match self.ready() {
            Some(message) => Next::Message(message),
            None if closed => Next::Closed,
            None => Next::Empty,
        }
    }
}
