// The bounded queue between the reactor and the reader of a queued subscription. The reactor adds a whole turn's
// messages under one lock and wakes the reader once; the reader takes all there is under one lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use jetlane_proto::Limits;
use parking_lot::{Condvar, Mutex};

use crate::sink::{CloseReason, Out, Sink};
use crate::stats::count;
use crate::{Arena, Message, MessageRef, shared::Shared};

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    messages: VecDeque<Message>,
    /// Wire bytes of `messages`, and of what the reader has taken and not yet reported as read.
    bytes: usize,
    /// Messages that the reader has taken in bulk and not yet returned.
    taken: usize,
    dropped: u64,
    closed: bool,
    waker: Option<Waker>,
    sleeping: bool,
}

/// The reactor's end.
pub(crate) struct QueueSink {
    queue: Arc<Queue>,
    arena: Arena,
    /// The messages of this turn.
    fresh: Vec<Message>,
    max_messages: usize,
    max_bytes: usize,
    shared: Arc<Shared>,
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct QueueReader {
    queue: Arc<Queue>,
    /// Taken from the queue in bulk.
    ready: VecDeque<Message>,
    /// Bytes of `ready` when it was taken.
    ready_bytes: usize,
    ready_count: usize,
    /// How many are taken at once: they count as waiting until all of them are read, so it is a small part of the limit.
    bulk: usize,
}

pub(crate) fn queue(limits: &Limits, shared: Arc<Shared>) -> (QueueSink, QueueReader) {
    let queue = Arc::new(Queue { state: Mutex::default(), filled: Condvar::new() });
    let sink = QueueSink {
        queue: Arc::clone(&queue),
        arena: Arena::new(),
        fresh: Vec::new(),
        max_messages: limits.subscription_messages,
        max_bytes: limits.subscription_bytes,
        shared,
    };
    let bulk = (limits.subscription_messages / 16).max(1);
    let reader =
        QueueReader { queue, ready: VecDeque::new(), ready_bytes: 0, ready_count: 0, bulk };
    (sink, reader)
}

impl Sink for QueueSink {
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        self.fresh.push(message.to_message(&mut self.arena));
    }

    fn turn_end(&mut self, _: &mut Out<'_>) {
        let mut dropped = 0;
        let waker = {
            let mut state = self.queue.state.lock();
            for message in self.fresh.drain(..) {
                let full = state.messages.len() + state.taken >= self.max_messages
                    || state.bytes + message.wire_len() > self.max_bytes;
                if full {
                    dropped += 1;
                } else {
                    state.bytes += message.wire_len();
                    state.messages.push_back(message);
                }
            }
            state.dropped += dropped;
            if state.sleeping {
                self.queue.filled.notify_one();
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        if dropped > 0 {
            count(&self.shared.counters.dropped, dropped);
        }
    }

    fn closed(&mut self, _: CloseReason) {
        self.close();
    }
}

impl QueueSink {
    fn close(&self) {
        let waker = {
            let mut state = self.queue.state.lock();
            state.closed = true;
            self.queue.filled.notify_all();
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for QueueSink {
    fn drop(&mut self) {
        // However the reactor ended: the reader must not wait for ever.
        self.close();
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
        match self.ready.pop_front() {
            Some(message) => Next::Message(message),
            None => self.refill(|_, _| ()),
        }
    }

    /// Sleeps until there is a message, the queue is closed, or `deadline` has passed.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Next {
        if let Some(message) = self.ready.pop_front() {
            return Next::Message(message);
        }
        self.refill(|queue, state| {
            while state.messages.is_empty() && !state.closed {
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
        if let Some(message) = self.ready.pop_front() {
            return Poll::Ready(Some(message));
        }
        let next = self.refill(|_, state| {
            if state.messages.is_empty() && !state.closed {
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
        self.queue.state.lock().dropped
    }

    /// Takes a batch of what there is, after `wait` has waited for it.
    fn refill(
        &mut self,
        wait: impl FnOnce(&Queue, &mut parking_lot::MutexGuard<'_, QueueState>),
    ) -> Next {
        let queue = Arc::clone(&self.queue);
        let mut state = queue.state.lock();
        // All of the last batch is read by now.
        state.taken -= std::mem::take(&mut self.ready_count);
        state.bytes -= std::mem::take(&mut self.ready_bytes);
        wait(&queue, &mut state);
        if state.messages.len() <= self.bulk {
            std::mem::swap(&mut state.messages, &mut self.ready);
        } else {
            self.ready.extend(state.messages.drain(..self.bulk));
        }
        self.ready_count = self.ready.len();
        state.taken += self.ready_count;
        self.ready_bytes = self.ready.iter().map(Message::wire_len).sum();
        match self.ready.pop_front() {
            Some(message) => Next::Message(message),
            None if state.closed => Next::Closed,
            None => Next::Empty,
        }
    }
}
