//! The reactor's end of a consumption.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane_client::proto::jetstream::{
    Delivery, PullConfig, PullEvent, PullRequest, PullScheduler, PullStatus,
};
use jetlane_client::{Arena, CloseReason, MessageRef, Out, Sink, Unsent};

use super::gate::{Answer, Gate, Guard};
use super::held::{Arrival, Arrivals, HeldTable, Released};
use super::inbox::{Known, Mail, PullInbox};
use super::settle::SettleQueue;
use super::{Held, Settle, Settled, Taker};
use crate::SequencePair;

pub(super) struct PullSink<T> {
    inbox: PullInbox,
    scheduler: PullScheduler,
    table: HeldTable,
    gate: Gate,
    guard: Guard,
    /// What came while the gate was closed, to be handed on in the order of the stream.
    held_back: Vec<Held>,
    /// The place of the last delivery among those of the consumer, if none can have been lost since.
    consumer_sequence: Option<u64>,
    /// The highest of them, as far as the server knows.
    highest: u64,
    /// The acknowledgement of the mark may have been lost with a connection.
    mark_is_doubtful: bool,
    /// It is to be told again.
    repeats_mark: bool,
    /// What had come when the server was asked last.
    asked: Arrivals,
    queue: Arc<SettleQueue>,
    taker: T,
    arena: Arena,
    /// A quarter of the ack wait: what is older than that at a look is kept alive, so nothing gets older than half.
    keep_alive_every: Duration,
    next_keep_alive: Option<Instant>,
    now: Instant,
    heard: bool,
    stopped: bool,
    connected: bool,
    /// Something was settled since the mark was last looked at.
    unmarked: bool,
    /// Messages of this turn that were settled as they came.
    at_once: usize,
    /// Buffers that are used again.
    settled: Vec<Settled>,
    reply: Vec<u8>,
    body: Vec<u8>,
}

impl<T: Taker> PullSink<T> {
    pub(super) fn new(
        inbox: PullInbox,
        pull: PullConfig,
        table: HeldTable,
        guard: Guard,
        queue: Arc<SettleQueue>,
        taker: T,
    ) -> Self {
        let now = Instant::now();
        Self {
            inbox,
            scheduler: PullScheduler::new(pull, now),
            table,
            gate: Gate::new(guard, pull.ack_wait),
            guard,
            held_back: Vec::new(),
            consumer_sequence: None,
            highest: 0,
            mark_is_doubtful: false,
            repeats_mark: false,
            asked: Arrivals::default(),
            queue,
            taker,
            arena: Arena::new(),
            keep_alive_every: pull.ack_wait / 4,
            next_keep_alive: None,
            now,
            heard: false,
            stopped: false,
            connected: false,
            unmarked: false,
            at_once: 0,
            settled: Vec::new(),
            reply: Vec::new(),
            body: Vec::new(),
        }
    }

    #[cold]
    fn mail(&mut self, mail: Mail, message: &MessageRef<'_>) {
        match mail {
            Mail::Answer(number) => self.answer(number, message),
            Mail::Status(pull) => {
                if let Some(status) = message.headers().and_then(PullStatus::read) {
                    self.status(pull, status);
                }
            }
        }
    }

    fn answer(&mut self, number: u64, message: &MessageRef<'_>) {
        if !self.gate.waits_for(number) {
            return;
        }
        let answer = match self.inbox.read_answer(message) {
            Ok(Known { pending, delivered }) => {
                self.forget(delivered, self.asked);
                if mem::take(&mut self.mark_is_doubtful) && self.table.has_mark() {
                    // Only now is it known that the server knows the delivery that it stands for.
                    self.repeats_mark = true;
                    return self.gate.ask_again(self.now);
                }
                let known = self.table.unacknowledged(delivered.stream_seq);
                Answer::Missing(pending.saturating_sub(known))
            }
            Err(answer) => answer,
        };
        self.gate.on_answer(number, answer, self.now);
    }

    /// What came before `before` and from beyond `delivered` the server will deliver again: it does not know that it did.
    fn forget(&mut self, delivered: SequencePair, before: Arrivals) {
        self.highest = self.highest.min(delivered.consumer_seq);
        self.table.forget(delivered, before);
        self.release_orphaned();
    }

    fn release_orphaned(&mut self) {
        let Released { messages, bytes } = self.table.take_orphaned();
        if messages == 0 {
            return;
        }
        self.scheduler.on_settled(messages, bytes);
        let (table, held_back) = (&mut self.table, self.held_back.len());
        self.held_back.retain(|held| table.is_open(held.receipt));
        self.scheduler.on_dropped(held_back - self.held_back.len(), self.now);
    }

    fn status(&mut self, pull: u64, status: PullStatus) {
        match status {
            PullStatus::Heartbeat => self.gate.on_drained(self.now),
            PullStatus::AllOver => self.expect_gap(),
            _ => {}
        }
        if let Some(event) = self.scheduler.on_status(pull, status, self.now) {
            self.event(event);
        }
    }

    fn event(&mut self, event: PullEvent) {
        match event {
            PullEvent::MissedHeartbeat => self.expect_gap(),
            PullEvent::Gone { .. } => {
                // Nothing comes any more that could be waited for.
                self.gate.open();
                self.hand_on_held_back();
            }
            _ => {}
        }
        self.taker.event(event);
    }

    /// Messages may be lost, and how many were delivered until now says nothing about it.
    fn expect_gap(&mut self) {
        self.consumer_sequence = None;
        self.close_gate();
    }

    /// From now on, not from the beginning of the turn: callbacks may have taken their time since, and what is missing comes an
    /// ack wait later at the latest.
    #[cold]
    fn close_gate(&mut self) {
        self.now = Instant::now();
        self.gate.close(self.now);
    }

    /// A message of the consumer.
    #[inline]
    fn deliver(&mut self, delivery: Delivery, message: &MessageRef<'_>, out: &mut Out<'_>) {
        self.heard = true;
        // Between servers, deliveries get lost without a word to us: a leader of the consumer that stops, and is followed at once.
        if self.guard != Guard::Nothing {
            let place = delivery.consumer_sequence;
            let last = self.consumer_sequence.replace(place);
            if place <= self.highest {
                self.fall_back(&delivery);
            } else if last.is_some_and(|last| place > last.saturating_add(1)) {
                self.close_gate();
            }
            self.highest = place;
        }
        if self.may_settle_at_once(&delivery)
            && let Some(settle) = self.taker.at_once(message, &delivery)
        {
            return self.settle_at_once(&delivery, message, &settle, out);
        }
        self.hold(delivery, message, out);
    }

    /// The number of a delivery was that of another one before: the server that had the consumer was killed, and has forgotten what it delivered
    /// from here on.
    #[cold]
    fn fall_back(&mut self, delivery: &Delivery) {
        // While a server says what is missing, it also says how far it has delivered; and this may be one of before that comes late.
        let is_known = self.gate.is_open() || self.gate.is_unanswered();
        self.close_gate();
        if is_known && delivery.delivered == 1 {
            let delivered = SequencePair {
                consumer_seq: delivery.consumer_sequence.saturating_sub(1),
                stream_seq: delivery.stream_sequence.saturating_sub(1),
            };
            self.forget(delivered, self.table.arrivals());
        }
    }

    /// Whether a message is new, and waits for no other one.
    #[inline]
    fn may_settle_at_once(&self, delivery: &Delivery) -> bool {
        self.gate.is_open() && self.held_back.is_empty() && self.table.is_next(delivery)
    }

    /// A message that never was held is settled.
    #[inline]
    fn settle_at_once(
        &mut self,
        delivery: &Delivery,
        message: &MessageRef<'_>,
        settle: &Settle,
        out: &mut Out<'_>,
    ) {
        self.at_once += 1;
        self.scheduler.on_passing_message(counted(message), self.now);
        let reply = message.reply().unwrap_or_default();
        if self
            .table
            .pass(delivery, reply, settle, &mut |subject, body| out.publish(subject, b"", body))
        {
            self.unmarked = true;
            return;
        }
        // Under Watermark what is given back holds the mark up.
        if let Arrival::New(receipt) = self.table.insert(delivery, message, self.now) {
            self.table
                .settle(receipt, settle, &mut |subject, body| out.publish(subject, b"", body));
        }
    }

    /// Holds a message until it is settled.
    fn hold(&mut self, delivery: Delivery, message: &MessageRef<'_>, out: &mut Out<'_>) {
        match self.table.insert(&delivery, message, self.now) {
            Arrival::New(receipt) => {
                self.scheduler.on_message(message.wire_len(), counted(message), self.now);
                let message = message.to_message(&mut self.arena);
                self.take(Held { message, delivery, receipt });
            }
            Arrival::Held => self.scheduler.on_known_message(counted(message)),
            Arrival::Done => {
                self.scheduler.on_known_message(counted(message));
                out.publish(message.reply().unwrap_or_default(), b"", b"");
            }
        }
        self.release_orphaned();
    }

    #[inline]
    fn take(&mut self, held: Held) {
        if held.delivery.delivered == 1 {
            // What is delivered again goes before what is new.
            self.gate.on_drained(self.now);
        } else {
            self.gate.on_redelivered(self.now);
        }
        if self.gate.holds_back() && !self.stopped {
            self.held_back.push(held);
        } else {
            self.hand_on_held_back();
            self.taker.take(held);
        }
    }

    #[inline]
    fn hand_on_held_back(&mut self) {
        if self.held_back.is_empty() || (self.gate.holds_back() && !self.stopped) {
            return;
        }
        self.held_back.sort_by_key(|held| held.delivery.stream_sequence);
        for held in self.held_back.drain(..) {
            self.taker.take(held);
        }
    }

    fn send(&mut self, pull: PullRequest, out: &mut Out<'_>) {
        self.inbox.status_subject(pull.id, &mut self.reply);
        self.body.clear();
        pull.encode(&mut self.body);
        out.publish(self.inbox.next_subject(), &self.reply, &self.body);
    }

    /// All that there is to do at the end of a turn.
    fn proceed(&mut self, out: &mut Out<'_>) {
        self.look_for_stop(out);
        self.gate.on_time(self.now);
        if !self.held_back.is_empty() {
            self.hand_on_held_back();
            // A callback may have taken its time.
            self.now = Instant::now();
        }
        self.taker.turn_end();
        self.settle(out);
        self.pull(out);
    }

    fn look_for_stop(&mut self, out: &mut Out<'_>) {
        if !self.stopped && self.queue.is_stopped() {
            self.stopped = true;
            self.scheduler.stop();
            // With the inbox goes the server's interest in the pulls that are still open.
            out.unsubscribe();
        }
    }

    /// Writes the acks of all that was settled since the last time.
    fn settle(&mut self, out: &mut Out<'_>) {
        let mut settled = self.queue.take(mem::take(&mut self.settled));
        let mut write = |subject: &[u8], body: &[u8]| out.publish(subject, b"", body);
        let mut released = Released::default();
        if self.at_once > 0 {
            self.scheduler.on_passed(mem::take(&mut self.at_once), self.now);
        }
        if !settled.is_empty() {
            // What is given back was not handled, but it is rare, and the rate an estimate.
            self.scheduler.on_handled(settled.len(), self.now);
            self.unmarked = true;
        }
        for Settled { receipt, settle } in settled.drain(..) {
            released.add_all(self.table.settle(receipt, &settle, &mut write));
        }
        if self.unmarked && self.gate.lets_acknowledge() {
            self.unmarked = false;
            released.add_all(self.table.advance(&mut write));
        }
        if self.guard == Guard::Watermark {
            self.queue.note_blocked(self.table.blocked());
        }
        if mem::take(&mut self.repeats_mark) {
            self.table.repeat_mark(&mut write);
        }
        // What has passed did so while nothing was missing, whatever has come out since; unacknowledged, it would count as missing.
        self.table.tell_mark(&mut write);
        self.scheduler.on_settled(released.messages, released.bytes);
        self.settled = settled;
    }

    fn pull(&mut self, out: &mut Out<'_>) {
        if !out.is_connected() || self.stopped {
            return;
        }
        if let Some(question) = self.gate.ask(self.now) {
            self.asked = self.table.arrivals();
            self.inbox.answer_subject(question, &mut self.reply);
            out.publish(self.inbox.info_subject(), &self.reply, b"");
        }
        self.scheduler.recover(self.gate.most_outstanding(self.now));
        while let Some(pull) = self.scheduler.poll(self.now) {
            self.send(pull, out);
        }
    }
}

/// How many bytes of a pull a message uses up, as nats-server counts: all but the protocol line's own.
#[inline]
fn counted(message: &MessageRef<'_>) -> usize {
    let headers = message.headers().map_or(0, |headers| headers.as_bytes().len());
    let reply = message.reply().map_or(0, <[u8]>::len);
    message.subject().len() + reply + headers + message.payload().len()
}

impl<T: Taker> Sink for PullSink<T> {
    fn wants_more(&self) -> bool {
        !self.stopped
    }

    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, out: &mut Out<'_>) {
        self.now = out.now();
        if let Some(mail) = self.inbox.mail(message.subject()) {
            return self.mail(mail, message);
        }
        // What has no ack subject is not from a consumer, but from somebody who guessed our inbox.
        if let Some(delivery) = message.reply().and_then(Delivery::read) {
            self.deliver(delivery, message, out);
        }
    }

    fn turn_end(&mut self, out: &mut Out<'_>) {
        self.now = out.now();
        if mem::take(&mut self.heard) {
            self.scheduler.on_heard(self.now);
        }
        self.proceed(out);
    }

    fn disconnected(&mut self, unsent: &mut Unsent<'_>) {
        self.connected = false;
        self.scheduler.on_disconnected();
        // Pulls that were not sent would come on top of those sent when the connection is back.
        unsent.retain(|reply| !reply.starts_with(self.inbox.prefix()));
    }

    fn connected(&mut self, out: &mut Out<'_>) {
        self.now = out.now();
        self.connected = true;
        self.expect_gap();
        if self.stopped {
            // All subscriptions were restored with the connection, this one, too.
            return out.unsubscribe();
        }
        self.scheduler.on_reconnected(self.now);
        self.mark_is_doubtful = true;
        self.proceed(out);
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        let holds = self.scheduler.held() > 0;
        self.next_keep_alive =
            holds.then(|| self.next_keep_alive.unwrap_or(now + self.keep_alive_every));
        let asks = self.connected && !self.stopped;
        let gate = asks.then(|| self.gate.next_timeout(now)).flatten();
        [self.next_keep_alive, self.scheduler.next_timeout(), gate].into_iter().flatten().min()
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
            self.event(event);
        }
        self.proceed(out);
    }

    fn closed(&mut self, reason: CloseReason) {
        self.taker.closed(reason);
    }
}
