use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use jetlane_client::proto::jetstream::{Delivery, PullEvent};
use jetlane_client::{CloseReason, Message, Watched};

use super::{Consumption, Held, Receipt, Settle, Settled, Settler, Taker};

/// Messages of a consumer: an `Iterator` for a plain thread, and a `Stream` for an executor. Both end when there is nothing
/// to come any more ([`Messages::end_reason`]) and what is here was read.
///
/// Dropping it stops consuming; what was delivered and not read is delivered again after the ack wait. What was read can
/// still be settled. Nothing is ever dropped for want of room: no more is asked for than the window allows.
#[derive(Debug)]
pub struct Messages {
    reader: Arc<Watched<Queue>>,
    /// Shared with all messages that were read, which need it to be settled.
    consumption: Arc<Consumption>,
}

/// Why no more messages come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// [`Messages::stop`] was called.
    Stopped,
    /// The consumer is gone.
    Gone {
        /// The server's text.
        reason: String,
    },
    /// The subscription is over, as the connection is.
    Closed(CloseReason),
}

/// A message of a consumer, to be settled: by [`JsMessage::ack`], [`JsMessage::nak`] or [`JsMessage::term`]. Until then the
/// server is told to wait. Dropped without being settled, it is delivered again after the ack wait.
pub struct JsMessage {
    message: Message,
    delivery: Delivery,
    receipt: Receipt,
    /// `None` once settled.
    consumption: Option<Arc<Consumption>>,
}

impl Messages {
    pub(super) fn new(reader: Arc<Watched<Queue>>, consumption: Consumption) -> Self {
        Self { reader, consumption: Arc::new(consumption) }
    }

    /// The next message, if one is there already.
    pub fn try_next(&mut self) -> Option<JsMessage> {
        let held = self.reader.lock().held.pop_front()?;
        Some(self.message(held))
    }

    /// The next message, waited for no longer than `timeout`. `None` if none came, or none will.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<JsMessage> {
        let held = self
            .reader
            .wait(Instant::now().checked_add(timeout), Queue::is_ready)
            .held
            .pop_front()?;
        Some(self.message(held))
    }

    /// Requests nothing more, and ends the iterator once what is here is read. What was still on its way arrives all the
    /// same (a flush asked for now comes after it), and [`Messages::try_next`] reads it.
    pub fn stop(&self) {
        self.consumption.stop();
        self.reader.change(|state| state.end(EndReason::Stopped));
    }

    /// Why no more messages come; `None` while they do.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.reader.lock().ended.clone()
    }

    fn message(&self, Held { message, delivery, receipt }: Held) -> JsMessage {
        let consumption = Some(Arc::clone(&self.consumption));
        JsMessage { message, delivery, receipt, consumption }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.consumption.stop();
        // Messages that were read may keep the consumption alive; what was not shall not be kept alive with them.
        let settler = self.consumption.settler();
        let unread = {
            let mut state = self.reader.lock();
            state.abandoned = Some(settler.clone());
            mem::take(&mut state.held)
        };
        forget(&settler, unread);
    }
}

/// Lets the server deliver them again after the ack wait.
fn forget(settler: &Settler, unread: VecDeque<Held>) {
    let forgotten = |held: Held| Settled { receipt: held.receipt, settle: Settle::Forget };
    settler.settle_all(&mut unread.into_iter().map(forgotten).collect());
}

impl Iterator for Messages {
    type Item = JsMessage;

    fn next(&mut self) -> Option<JsMessage> {
        let held = self.reader.wait(None, Queue::is_ready).held.pop_front()?;
        Some(self.message(held))
    }
}

impl Stream for Messages {
    type Item = JsMessage;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<JsMessage>> {
        let mut queue = self.reader.poll(cx, Queue::is_ready);
        match queue.held.pop_front() {
            Some(held) => Poll::Ready(Some(self.message(held))),
            None if queue.ended.is_some() => Poll::Ready(None),
            None => Poll::Pending,
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
        if let Some(consumption) = self.consumption.take() {
            consumption.settler().settle(self.receipt, settle);
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
        if let Some(consumption) = self.consumption.take() {
            consumption.settler().settle(self.receipt, Settle::Forget);
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
    held: VecDeque<Held>,
    ended: Option<EndReason>,
    /// Set when the reader is gone.
    abandoned: Option<Settler>,
}

impl Queue {
    /// The first reason counts.
    fn end(&mut self, reason: EndReason) {
        self.ended.get_or_insert(reason);
    }

    /// There is something to take, or nothing to wait for.
    fn is_ready(&self) -> bool {
        !self.held.is_empty() || self.ended.is_some()
    }
}

/// The reactor's end of the queue.
pub(super) struct QueueTaker {
    queue: Arc<Watched<Queue>>,
    /// The messages of this turn.
    fresh: VecDeque<Held>,
}

impl QueueTaker {
    pub(super) fn new() -> (Self, Arc<Watched<Queue>>) {
        let queue = Arc::<Watched<Queue>>::default();
        (Self { queue: Arc::clone(&queue), fresh: VecDeque::new() }, queue)
    }
}

impl Taker for QueueTaker {
    fn take(&mut self, held: Held) {
        self.fresh.push_back(held);
    }

    fn turn_end(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let mut abandoned = None;
        self.queue.change(|state| {
            abandoned.clone_from(&state.abandoned);
            if abandoned.is_none() {
                state.held.append(&mut self.fresh);
            }
        });
        if let Some(settler) = abandoned {
            forget(&settler, mem::take(&mut self.fresh));
        }
    }

    fn event(&mut self, event: PullEvent) {
        if let PullEvent::Gone { reason } = event {
            // What came before it is read before it.
            self.turn_end();
            self.queue.change(|state| state.end(EndReason::Gone { reason }));
        }
    }

    fn closed(&mut self, reason: CloseReason) {
        self.turn_end();
        self.queue.change(|state| state.end(EndReason::Closed(reason)));
    }
}
