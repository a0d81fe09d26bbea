// The bounded queue between the reactor and the reader of a queued subscription. The reactor copies frames as they
// came, one behind the other, into blocks, adds a whole turn's blocks under one lock, and wakes the reader once. The
// reader takes all there are under one lock, and finds the frames in them again: that costs less than to carry the
// places of all their parts along.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use jetlane_proto::{Frame, Limits, Parser, Step};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::sink::{CloseReason, Out, Sink};
use crate::stats::count;
use crate::{Message, MessageRef, shared::Shared};

/// Memory for frames is taken in pieces of this size. What is larger than a quarter of it has memory of its own, so that it
/// pins nothing else.
const PIECE: usize = 64 << 10;

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    dropped: AtomicU64,
    /// What the reader has read: whole blocks. It is behind what was sent, so the difference is what waits.
    read_messages: AtomicUsize,
    read_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct QueueState {
    blocks: VecDeque<Block>,
    closed: bool,
    waker: Option<Waker>,
    sleeping: bool,
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
    dropped: u64,
    shared: Arc<Shared>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    messages: usize,
    bytes: usize,
    /// Of one block. Its messages count as waiting until all of them are read, so it is a small part of the bound.
    block_messages: usize,
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
}

pub(crate) fn queue(limits: &Limits, shared: Arc<Shared>) -> (QueueSink, QueueReader) {
    let queue = Arc::<Queue>::default();
    let bounds = Bounds {
        messages: limits.subscription_messages,
        bytes: limits.subscription_bytes,
        block_messages: (limits.subscription_messages / 16).max(1),
    };
    let reader = QueueReader {
        queue: Arc::clone(&queue),
        blocks: VecDeque::new(),
        frames: Bytes::new(),
        messages: 0,
        bytes: 0,
        parser: Parser::new(limits),
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
        dropped: 0,
        shared,
    };
    (sink, reader)
}

impl Sink for QueueSink {
    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        let frame = message.frame();
        if !self.has_room(frame.len()) {
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
        if self.messages == self.bounds.block_messages {
            self.end_block();
        }
    }

    fn turn_end(&mut self, _: &mut Out<'_>) {
        self.end_block();
        if !self.fresh.is_empty() {
            let Self { queue, fresh, .. } = self;
            queue.change(|state| state.blocks.append(fresh));
        }
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            self.queue.dropped.fetch_add(dropped, Ordering::Relaxed);
            count(&self.shared.counters.dropped, dropped);
        }
    }

    fn closed(&mut self, _: CloseReason) {
        self.queue.close();
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
        self.queue.close();
    }
}

impl Queue {
    /// Changes the state, and wakes the reader.
    fn change(&self, change: impl FnOnce(&mut QueueState)) {
        let waker = {
            let mut state = self.state.lock();
            change(&mut state);
            if state.sleeping {
                self.filled.notify_one();
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn close(&self) {
        self.change(|state| state.closed = true);
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

impl QueueReader {
    pub(crate) fn try_next(&mut self) -> Next {
        match self.ready() {
            Some(message) => Next::Message(message),
            None => self.refill(|_, _| ()),
        }
    }

    /// Sleeps until there is a message, the queue is closed, or `deadline` has passed, which is asked for only then: the
    /// clock costs as much as a message.
    pub(crate) fn next(&mut self, deadline: impl FnOnce() -> Option<Instant>) -> Next {
        if let Some(message) = self.ready() {
            return Next::Message(message);
        }
        let deadline = deadline();
        self.refill(|queue, state| {
            while state.blocks.is_empty() && !state.closed {
                state.sleeping = true;
                let timed_out = match deadline {
                    Some(deadline) => queue.filled.wait_until(state, deadline).timed_out(),
                    None => {
                        queue.filled.wait(state);
                        false
                    }
                };
                state.sleeping = false;
                if timed_out {
                    break;
                }
            }
        })
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if let Some(message) = self.ready() {
            return Poll::Ready(Some(message));
        }
        let next = self.refill(|_, state| {
            if state.blocks.is_empty() && !state.closed {
                state.waker = Some(cx.waker().clone());
            }
        });
        match next {
            Next::Message(message) => Poll::Ready(Some(message)),
            Next::Closed => Poll::Ready(None),
            Next::Empty => Poll::Pending,
        }
    }

    /// Messages that there was no room for.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
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

    /// Takes all there is, after `wait` has waited for it.
    fn refill(&mut self, wait: impl FnOnce(&Queue, &mut MutexGuard<'_, QueueState>)) -> Next {
        let closed = {
            let mut state = self.queue.state.lock();
            wait(&self.queue, &mut state);
            mem::swap(&mut state.blocks, &mut self.blocks);
            state.closed
        };
        match self.ready() {
            Some(message) => Next::Message(message),
            None if closed => Next::Closed,
            None => Next::Empty,
        }
    }
}
