//! The reactor's end of a consumption.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane_client::proto::jetstream::{
    Delivery, PullConfig, PullRequest, PullScheduler, PullStatus,
};
use jetlane_client::proto::{encode, read_decimal};
use jetlane_client::{Arena, CloseReason, Inbox, Message, MessageRef, Out, Sink, Unsent};

use super::held::{Arrival, HeldTable, Released};
use super::settle::SettleQueue;
use super::{Held, Settled, Taker};

/// Where pulls are sent, and where their statuses come back: `_INBOX.<id>.<pull>`.
#[derive(Debug)]
pub(super) struct PullInbox {
    inbox: Inbox,
    /// `$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`
    next_subject: Vec<u8>,
}

impl PullInbox {
    pub(super) fn new(stream: &str, consumer: &str) -> Self {
        let next_subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into_bytes();
        Self { inbox: Inbox::new(), next_subject }
    }

    pub(super) fn filter(&self) -> String {
        self.inbox.filter()
    }

    fn reply(&self, pull: u64, reply: &mut Vec<u8>) {
        reply.clear();
        reply.extend_from_slice(self.inbox.prefix());
        encode::decimal(reply, pull);
    }

    /// The pull that a status came for. Messages have the subject they were published to, never ours.
    fn pull_of(&self, subject: &[u8]) -> Option<u64> {
        read_decimal(subject.strip_prefix(self.inbox.prefix())?)
    }
}

pub(super) struct PullSink {
    inbox: PullInbox,
    scheduler: PullScheduler,
    table: HeldTable,
    queue: Arc<SettleQueue>,
    taker: Box<dyn Taker>,
    arena: Arena,
    /// A quarter of the ack wait: what is older than that at a look is kept alive, so nothing gets older than half.
    keep_alive_every: Duration,
    next_keep_alive: Option<Instant>,
    now: Instant,
    heard: bool,
    stopped: bool,
    /// Buffers that are used again.
    settled: Vec<Settled>,
    reply: Vec<u8>,
    body: Vec<u8>,
}

impl PullSink {
    pub(super) fn new(
        inbox: PullInbox,
        pull: PullConfig,
        table: HeldTable,
        queue: Arc<SettleQueue>,
        taker: Box<dyn Taker>,
    ) -> Self {
        let now = Instant::now();
        Self {
            inbox,
            scheduler: PullScheduler::new(pull, now),
            table,
            queue,
            taker,
            arena: Arena::new(),
            keep_alive_every: pull.ack_wait / 4,
            next_keep_alive: None,
            now,
            heard: false,
            stopped: false,
            settled: Vec::new(),
            reply: Vec::new(),
            body: Vec::new(),
        }
    }

    #[cold]
    fn status(&mut self, pull: u64, message: &MessageRef<'_>) {
        let status = message.headers().and_then(PullStatus::read);
        let event = status.and_then(|status| self.scheduler.on_status(pull, status, self.now));
        if let Some(event) = event {
            self.taker.event(event);
        }
    }

    fn send(&mut self, pull: PullRequest, out: &mut Out<'_>) {
        self.inbox.reply(pull.id, &mut self.reply);
        self.body.clear();
        pull.encode(&mut self.body);
        out.publish(&self.inbox.next_subject, &self.reply, &self.body);
    }

    /// Writes the acks of all that was settled since the last time.
    fn settle(&mut self, out: &mut Out<'_>) {
        let mut settled = self.queue.take(mem::take(&mut self.settled));
        if settled.is_empty() {
            self.settled = settled;
            return;
        }
        let mut write = |subject: &[u8], body: &[u8]| out.publish(subject, b"", body);
        let mut released = Released::default();
        // What is given back was not handled, but it is rare, and the rate an estimate.
        self.scheduler.on_handled(settled.len(), self.now);
        let mut release = |more: Released| {
            released.messages += more.messages;
            released.bytes += more.bytes;
        };
        for Settled { receipt, settle } in settled.drain(..) {
            release(self.table.settle(receipt, &settle, &mut write));
        }
        release(self.table.advance(&mut write));
        self.scheduler.on_settled(released.messages, released.bytes);
        self.settled = settled;
    }

    fn pull(&mut self, out: &mut Out<'_>) {
        if !self.stopped && self.queue.is_stopped() {
            self.stopped = true;
            self.scheduler.stop();
            // With the inbox goes the server's interest in the pulls that are still open.
            out.unsubscribe();
        }
        while out.is_connected()
            && let Some(pull) = self.scheduler.poll(self.now)
        {
            self.send(pull, out);
        }
    }
}

impl Sink for PullSink {
    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, out: &mut Out<'_>) {
        self.now = out.now();
        if let Some(pull) = self.inbox.pull_of(message.subject()) {
            return self.status(pull, message);
        }
        // What has no ack subject is not from a consumer, but from somebody who guessed our inbox.
        let Some((reply, delivery)) =
            message.reply().and_then(|reply| Some((reply, Delivery::read(reply)?)))
        else {
            return;
        };
        self.heard = true;
        let owned: Message = message.to_message(&mut self.arena);
        match self.table.insert(&delivery, &owned, self.now) {
            Arrival::New(receipt) => {
                self.scheduler.on_message(message.wire_len());
                self.taker.take(Held { message: owned, delivery, receipt });
            }
            Arrival::Held => self.scheduler.on_known_message(),
            Arrival::Done => {
                self.scheduler.on_known_message();
                out.publish(reply, b"", b"");
            }
        }
    }

    fn turn_end(&mut self, out: &mut Out<'_>) {
        self.now = out.now();
        if mem::take(&mut self.heard) {
            self.scheduler.on_heard(self.now);
        }
        self.taker.turn_end();
        self.settle(out);
        self.pull(out);
    }

    fn disconnected(&mut self, unsent: &mut Unsent<'_>) {
        // Pulls that were not sent would come on top of those sent when the connection is back.
        unsent.retain(|reply| !reply.starts_with(self.inbox.inbox.prefix()));
    }

    fn connected(&mut self, out: &mut Out<'_>) {
        self.now = out.now();
        self.scheduler.on_reconnected(self.now);
        self.table.repeat_mark(&mut |subject, body| out.publish(subject, b"", body));
        self.pull(out);
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        let holds = self.scheduler.held() > 0;
        self.next_keep_alive =
            holds.then(|| self.next_keep_alive.unwrap_or(now + self.keep_alive_every));
        [self.next_keep_alive, self.scheduler.next_timeout()].into_iter().flatten().min()
    }

    fn timeout(&mut self, out: &mut Out<'_>) {
        self.now = out.now();
        if self.next_keep_alive.is_some_and(|at| self.now >= at) {
            self.next_keep_alive = Some(self.now + self.keep_alive_every);
            if out.is_connected() {
                let mut write = |subject: &[u8], body: &[u8]| out.publish(subject, b"", body);
                self.table.keep_alive(self.now, self.keep_alive_every, &mut write);
            }
        }
        if out.is_connected()
            && let Some(event) = self.scheduler.on_time(self.now)
        {
            self.taker.event(event);
        }
        self.pull(out);
    }

    fn closed(&mut self, reason: CloseReason) {
        self.taker.closed(reason);
    }
}
