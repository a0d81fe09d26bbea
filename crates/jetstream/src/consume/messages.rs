use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use jetlane_client::proto::jetstream::Delivery;
use jetlane_client::{CloseReason, Message};
use parking_lot::{Condvar, Mutex};

use super::{Consumption, Held, Receipt, Settle, Settler, Taker};

/// Messages of a consumer: an `Iterator` for a plain thread (which ends when the connection is closed), and a `Stream`
/// for an executor. Dropping it stops consuming; what was delivered and not read is delivered again after the ack wait.
///
/// Nothing is ever dropped for want of room: no more is asked for than the window allows.
#[derive(Debug)]
pub struct Messages {
    reader: Arc<Queue>,
    consumption: Consumption,
    settler: Settler,
}

/// A message of a consumer, to be settled: by [`JsMessage::ack`], [`JsMessage::nak`] or [`JsMessage::term`]. Until then the
/// server is told to wait. Dropped without being settled, it is delivered again after the ack wait.
pub struct JsMessage {
    message: Message,
    delivery: Delivery,
    receipt: Receipt,
    /// `None` once settled.
    settler: Option<Settler>,
}

impl Messages {
    pub(super) fn new(reader: Arc<Queue>, consumption: Consumption) -> Self {
        let settler = consumption.settler();
        Self { reader, consumption, settler }
    }

    /// The next message, if one is there already.
    pub fn try_next(&mut self) -> Option<JsMessage> {
        let held = self.reader.state.lock().held.pop_front()?;
        Some(self.message(held))
    }

    /// The next message, waited for no longer than `timeout`. `None` if none came, or the connection is closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<JsMessage> {
        let held = self.reader.next(Instant::now().checked_add(timeout))?;
        Some(self.message(held))
    }

    /// Requests nothing more; what is here can still be read and settled.
    pub fn stop(&self) {
        self.consumption.stop();
    }

    fn message(&self, Held { message, delivery, receipt }: Held) -> JsMessage {
        JsMessage { message, delivery, receipt, settler: Some(self.settler.clone()) }
    }
}

impl Iterator for Messages {
    type Item = JsMessage;

    fn next(&mut self) -> Option<JsMessage> {
        let held = self.reader.next(None)?;
        Some(self.message(held))
    }
}

impl Stream for Messages {
    type Item = JsMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<JsMessage>> {
        let mut state = self.reader.state.lock();
        match state.held.pop_front() {
            Some(held) => Poll::Ready(Some(self.message(held))),
            None if state.closed => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl JsMessage {
    /// Where it stands in stream and consumer. The spans are positions in the reply subject.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// It is done. Acks are written in batches; a lost one means that the message is delivered again.
    pub fn ack(self) {
        self.settle(Settle::Ack);
    }

    /// It goes back, to be delivered again after `delay`.
    pub fn nak(self, delay: Duration) {
        self.settle(Settle::Nak { delay });
    }

    /// It will never be done, and shall not be delivered again.
    pub fn term(self, reason: impl Into<String>) {
        self.settle(Settle::Term { reason: reason.into() });
    }

    fn settle(mut self, settle: Settle) {
        if let Some(settler) = self.settler.take() {
            settler.settle(self.receipt, settle);
        }
    }
}

impl Deref for JsMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Drop for JsMessage {
    fn drop(&mut self) {
        if let Some(settler) = self.settler.take() {
            settler.settle(self.receipt, Settle::Forget);
        }
    }
}

impl fmt::Debug for JsMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsMessage")
            .field("message", &self.message)
            .field("stream_sequence", &self.delivery.stream_sequence)
            .field("delivered", &self.delivery.delivered)
            .finish()
    }
}

/// Between the reactor and the reader. Bounded by the consumer's window.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    held: VecDeque<Held>,
    closed: bool,
    waker: Option<Waker>,
    sleeping: usize,
}

impl Queue {
    fn next(&self, deadline: Option<Instant>) -> Option<Held> {
        let mut state = self.state.lock();
        while state.held.is_empty() && !state.closed {
            state.sleeping += 1;
            let timed_out = match deadline {
                Some(deadline) => self.filled.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.filled.wait(&mut state);
                    false
                }
            };
            state.sleeping -= 1;
            if timed_out {
                break;
            }
        }
        state.held.pop_front()
    }

    /// Changes the state, and wakes the reader.
    fn change(&self, change: impl FnOnce(&mut QueueState)) {
        let waker = {
            let mut state = self.state.lock();
            change(&mut state);
            if state.sleeping > 0 {
                self.filled.notify_all();
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The reactor's end of the queue.
pub(super) struct QueueTaker {
    queue: Arc<Queue>,
    /// The messages of this turn.
    fresh: VecDeque<Held>,
}

impl QueueTaker {
    pub(super) fn new() -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        (Self { queue: Arc::clone(&queue), fresh: VecDeque::new() }, queue)
    }
}

impl Taker for QueueTaker {
    fn take(&mut self, held: Held) {
        self.fresh.push_back(held);
    }

    fn turn_end(&mut self) {
        if !self.fresh.is_empty() {
            self.queue.change(|state| state.held.append(&mut self.fresh));
        }
    }

    fn closed(&mut self, _: CloseReason) {
        self.queue.change(|state| state.closed = true);
    }
}
