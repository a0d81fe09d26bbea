//! What was delivered and is not settled, and which acknowledgements follow from what is settled.
//!
//! Nearly all messages arrive in the order of the stream, and are settled soon: they stand in a queue, found by their
//! place in it. Redeliveries, and whatever stays long while others pass, stand in a tree, found by sequence.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jetlane_client::MessageRef;
use jetlane_client::proto::jetstream::Delivery;

use super::reply::Reply;
use super::{Receipt, Settle, Settlement};
use crate::SequencePair;

#[derive(Debug)]
pub(super) struct HeldTable {
    settlement: Settlement,
    /// First deliveries, by strictly increasing sequence. Entry `i` has arrival `base + i`.
    fresh: VecDeque<Entry>,
    base: u64,
    /// Arrivals of those that never stood in `fresh`, counted from `ASIDE`.
    next_aside: u64,
    /// Redeliveries, and those pushed out of `fresh`.
    aside: BTreeMap<u64, Entry>,
    /// `fresh.len() <= fresh_limit`, but under Watermark, where the credit bounds it.
    fresh_limit: usize,
    /// Under Watermark: everything up to here is done and acknowledged.
    mark: Mark,
    /// Under Watermark: how many are done and wait for the mark. Those that need no acknowledgement any more do not count.
    held_up: usize,
    /// Entries of a stream that was made anew since, or that the server has forgotten: nobody acknowledges them any more.
    orphaned: Released,
}

/// Arrivals from here on are of entries that never stood in `fresh`.
const ASIDE: u64 = 1 << 63;

/// The timestamp of entries that are nobody's any more.
const ORPHANED: u64 = u64::MAX;

#[derive(Debug, Default)]
struct Mark {
    sequence: u64,
    timestamp_ns: u64,
    /// Where the acknowledgement goes that sets it; empty before the first one.
    reply: Vec<u8>,
    /// It has moved, and the server was not told yet.
    moved: bool,
}

impl Mark {
    #[inline]
    fn move_to(&mut self, sequence: u64, timestamp_ns: u64, reply: &[u8]) {
        (self.sequence, self.timestamp_ns, self.moved) = (sequence, timestamp_ns, true);
        self.reply.clear();
        self.reply.extend_from_slice(reply);
    }

    fn move_up_to(&mut self, entry: &Entry) {
        if entry.sequence > self.sequence {
            self.move_to(entry.sequence, entry.timestamp_ns, &entry.reply);
        }
    }
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// When the message was stored. In a stream that was made anew the same sequence has another.
    timestamp_ns: u64,
    /// That of its receipt: a sequence may come again, an arrival does not.
    arrival: u64,
    /// Where its acknowledgement goes; empty once none will be needed any more.
    reply: Reply,
    wire_len: usize,
    /// When it was delivered, or kept alive last.
    since: Instant,
    state: State,
}

impl Entry {
    #[inline]
    fn new(delivery: &Delivery, message: &MessageRef<'_>, arrival: u64, now: Instant) -> Self {
        Self {
            sequence: delivery.stream_sequence,
            timestamp_ns: stored_at(delivery),
            arrival,
            reply: Reply::new(message.reply().unwrap_or_default()),
            wire_len: message.wire_len(),
            since: now,
            state: State::Open,
        }
    }

    fn receipt(&self) -> Receipt {
        Receipt { arrival: self.arrival, sequence: self.sequence }
    }

    /// It is nobody's any more.
    fn orphan(&mut self, orphaned: &mut Released, held_up: &mut usize) {
        if !self.reply.is_empty() {
            orphaned.add(self);
            *held_up -= usize::from(self.state == State::Done);
        }
        // Done, and with nowhere to acknowledge it: it holds nothing up.
        self.state = State::Done;
        self.reply.clear();
        self.timestamp_ns = ORPHANED;
    }
}

fn stored_at(delivery: &Delivery) -> u64 {
    delivery.timestamp_ns.min(ORPHANED - 1)
}

/// A point in time: arrivals before it are less than these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrivals {
    fresh: u64,
    aside: u64,
}

impl Arrivals {
    fn is_after(self, arrival: u64) -> bool {
        // Those that were pushed aside from `fresh` have kept their arrival.
        arrival < if arrival < ASIDE { self.fresh } else { self.aside }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody is at it.
    Open,
    /// Settled for good. Under Watermark its acknowledgement may still be to come.
    Done,
    /// Given back: it will be delivered again. Under Watermark it holds the mark up until then.
    Returned,
}

/// What a delivery is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// To be handled.
    New(Receipt),
    /// It is held already: the server took our silence for a loss.
    Held,
    /// It was done before; the server has missed the acknowledgement.
    Done,
}

/// Messages, and their bytes, that are held no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Released {
    fn add(&mut self, entry: &Entry) {
        self.messages += 1;
        self.bytes += entry.wire_len;
    }

    pub(super) fn add_all(&mut self, more: Self) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}

/// Writes an acknowledgement: to this subject, with this body.
pub(super) type Write<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

impl HeldTable {
    pub(super) fn new(settlement: Settlement, window: usize) -> Self {
        Self {
            settlement,
            fresh: VecDeque::new(),
            base: 0,
            next_aside: ASIDE,
            aside: BTreeMap::new(),
            fresh_limit: window.saturating_mul(2).max(16),
            mark: Mark::default(),
            held_up: 0,
            orphaned: Released::default(),
        }
    }

    /// A message was delivered.
    pub(super) fn insert(
        &mut self,
        delivery: &Delivery,
        message: &MessageRef<'_>,
        now: Instant,
    ) -> Arrival {
        // Nearly all messages are new and behind all others. A server that was killed may have forgotten that it
        // delivered a message: how often it was delivered says nothing.
        let is_behind_all = delivery.stream_sequence > self.last_sequence();
        if delivery.delivered == 1 && is_behind_all && self.aside.is_empty() {
            return self.push_fresh(delivery, message, now);
        }
        self.insert_again(delivery, message, now)
    }

    fn push_fresh(
        &mut self,
        delivery: &Delivery,
        message: &MessageRef<'_>,
        now: Instant,
    ) -> Arrival {
        let entry = Entry::new(delivery, message, self.base + self.fresh.len() as u64, now);
        let receipt = entry.receipt();
        self.fresh.push_back(entry);
        self.make_room();
        Arrival::New(receipt)
    }

    /// Whether a message is new, and stands behind all that are held, so that it may pass without being held itself. Under
    /// Watermark only while nothing is held.
    #[inline]
    pub(super) fn is_next(&self, delivery: &Delivery) -> bool {
        let free = match self.settlement {
            Settlement::Watermark => self.fresh.is_empty(),
            _ => true,
        };
        free && self.aside.is_empty()
            && delivery.delivered == 1
            && delivery.stream_sequence > self.last_sequence()
    }

    /// The newest that was delivered for the first time, as far as is known.
    #[inline]
    fn last_sequence(&self) -> u64 {
        self.fresh.back().map_or(self.mark.sequence, |last| last.sequence)
    }

    /// A message that [`HeldTable::is_next`] is settled without ever having been held. False if it must be held after all.
    #[inline]
    pub(super) fn pass(
        &mut self,
        delivery: &Delivery,
        reply: &[u8],
        settle: &Settle,
        write: &mut Write<'_>,
    ) -> bool {
        match (self.settlement, settle) {
            (Settlement::Each, _) => write_ack(reply, settle, write),
            (Settlement::Nothing, _) => {}
            (Settlement::Watermark, Settle::Ack | Settle::Term { .. }) => {
                self.mark.move_to(delivery.stream_sequence, stored_at(delivery), reply);
            }
            (Settlement::Watermark, Settle::Nak { .. } | Settle::Forget) => return false,
        }
        true
    }

    /// A message that may be known.
    #[cold]
    fn insert_again(
        &mut self,
        delivery: &Delivery,
        message: &MessageRef<'_>,
        now: Instant,
    ) -> Arrival {
        let (sequence, stored_ns) = (delivery.stream_sequence, stored_at(delivery));
        if self.settlement == Settlement::Watermark && sequence <= self.mark.sequence {
            if stored_ns <= self.mark.timestamp_ns {
                return Arrival::Done;
            }
            // Made anew: what was done in the former stream says nothing about this one.
            self.mark = Mark::default();
            self.orphan_from(sequence, stored_ns);
        }
        let known = self.find(sequence).filter(|known| known.timestamp_ns != ORPHANED);
        match known.map(|known| (known.state, known.timestamp_ns)) {
            Some((_, timestamp_ns)) if timestamp_ns != stored_ns => {
                self.orphan_from(sequence, stored_ns);
            }
            Some((State::Open, _)) => return Arrival::Held,
            Some((State::Done, _)) if self.settlement == Settlement::Watermark => {
                return Arrival::Held;
            }
            Some((State::Done, _)) => return Arrival::Done,
            Some((State::Returned, _)) => self.drop_returned(sequence),
            None => {}
        }
        let is_behind_all = self.fresh.back().is_none_or(|last| last.sequence < sequence);
        if delivery.delivered == 1 && is_behind_all {
            return self.push_fresh(delivery, message, now);
        }
        self.put_aside(Entry::new(delivery, message, self.next_aside, now))
    }

    /// The stream was made anew, and `sequence` is another message now. What stands there or behind it and is older is
    /// of the former stream: nobody's any more, whatever becomes of it. Its acknowledgement would be taken for one of
    /// the new messages.
    fn orphan_from(&mut self, sequence: u64, timestamp_ns: u64) {
        let Self { aside, fresh, orphaned, held_up, .. } = self;
        let first = fresh.partition_point(|entry| entry.sequence < sequence);
        for entry in fresh.range_mut(first..).chain(aside.range_mut(sequence..).map(|(_, e)| e)) {
            if entry.timestamp_ns == timestamp_ns
                || (entry.timestamp_ns > timestamp_ns && entry.sequence > sequence)
            {
                continue;
            }
            entry.orphan(orphaned, held_up);
        }
        self.sweep_orphaned();
    }

    /// The server has delivered up to `delivered` and no further, as far as it knows: what came before `before` from beyond that
    /// was delivered by one that was killed since, and had not written it down. It comes again, as if for the first time, and
    /// with it what had come between, maybe to others. So it is nobody's any more, and takes its place behind them when it comes.
    /// The numbers of its deliveries are given to others now: their acks would be taken for those.
    pub(super) fn forget(&mut self, delivered: SequencePair, before: Arrivals) {
        let is_forgotten = |reply: &[u8]| {
            Delivery::read(reply).is_some_and(|known| {
                known.stream_sequence > delivered.stream_seq
                    || known.consumer_sequence > delivered.consumer_seq
            })
        };
        let Self { aside, fresh, orphaned, held_up, mark, .. } = self;
        if is_forgotten(&mark.reply) {
            mark.reply.clear();
        }
        for entry in fresh.iter_mut().chain(aside.values_mut()) {
            if before.is_after(entry.arrival) && is_forgotten(&entry.reply) {
                entry.orphan(orphaned, held_up);
            }
        }
        self.sweep_orphaned();
    }

    fn sweep_orphaned(&mut self) {
        self.aside.retain(|_, entry| entry.timestamp_ns != ORPHANED);
        // From the front only: what is pushed later must have an arrival of its own.
        while self.fresh.front().is_some_and(|entry| entry.timestamp_ns == ORPHANED) {
            self.fresh.pop_front();
            self.base += 1;
        }
    }

    /// What has come until now.
    pub(super) fn arrivals(&self) -> Arrivals {
        Arrivals { fresh: self.base + self.fresh.len() as u64, aside: self.next_aside }
    }

    /// How many that are held, up to this sequence, wait for their acknowledgement.
    pub(super) fn unacknowledged(&self, up_to: u64) -> usize {
        let fresh = self.fresh.iter().take_while(|entry| entry.sequence <= up_to);
        let aside = self.aside.range(..=up_to).map(|(_, entry)| entry);
        fresh.chain(aside).filter(|entry| !entry.reply.is_empty()).count()
    }

    /// Whether somebody is still to settle it.
    pub(super) fn is_open(&mut self, receipt: Receipt) -> bool {
        self.find_receipt(receipt).is_some_and(|entry| entry.state == State::Open)
    }

    /// What was orphaned since the last time.
    pub(super) fn take_orphaned(&mut self) -> Released {
        std::mem::take(&mut self.orphaned)
    }

    fn put_aside(&mut self, entry: Entry) -> Arrival {
        self.next_aside += 1;
        let receipt = entry.receipt();
        self.aside.insert(entry.sequence, entry);
        Arrival::New(receipt)
    }

    /// What was given back has come again: its former place is nobody's any more, and holds nothing up.
    fn drop_returned(&mut self, sequence: u64) {
        self.aside.remove(&sequence);
        if let Ok(at) = self.fresh.binary_search_by_key(&sequence, |entry| entry.sequence) {
            self.fresh[at].orphan(&mut self.orphaned, &mut self.held_up);
        }
    }

    /// Settles a delivery. Unknown receipts, and second settlements of one, change nothing.
    pub(super) fn settle(
        &mut self,
        receipt: Receipt,
        settle: &Settle,
        write: &mut Write<'_>,
    ) -> Released {
        let mut released = Released::default();
        let settlement = self.settlement;
        let Some(entry) = self.find_receipt(receipt) else { return released };
        if entry.state != State::Open {
            return released;
        }
        let gives_back = matches!(settle, Settle::Nak { .. } | Settle::Forget);
        entry.state = if gives_back { State::Returned } else { State::Done };
        // Under Watermark a done message is covered by the mark later, and stays till then; TERM would acknowledge
        // all before it.
        let now = settlement == Settlement::Each || gives_back;
        if now && settlement != Settlement::Nothing && !entry.reply.is_empty() {
            write_ack(&entry.reply, settle, write);
        }
        if settlement != Settlement::Watermark || gives_back {
            released.add(entry);
            entry.reply.clear();
            self.sweep_settled(receipt);
        } else {
            self.held_up += 1;
        }
        released
    }

    /// Under Watermark: the message that the mark waits for, and how many that are done wait with it.
    pub(super) fn blocked(&self) -> Option<(u64, usize)> {
        let aside = self.aside.first_key_value().map(|(sequence, _)| *sequence);
        let fresh = self.fresh.front().map(|entry| entry.sequence);
        let lowest = [aside, fresh].into_iter().flatten().min()?;
        (self.held_up > 0).then_some((lowest, self.held_up))
    }

    /// Under Watermark: acknowledges all that is done below the lowest that is not.
    pub(super) fn advance(&mut self, write: &mut Write<'_>) -> Released {
        let mut released = Released::default();
        if self.settlement != Settlement::Watermark {
            return released;
        }
        // The sequences of both only go up.
        loop {
            let done = self.done_in_fresh();
            // One that came again stands twice: its first place acknowledges nothing any more, and was released then.
            let mut last = None;
            for entry in self.fresh.range(..done).filter(|entry| !entry.reply.is_empty()) {
                released.add(entry);
                last = Some(entry);
            }
            if let Some(entry) = last {
                self.mark.move_up_to(entry);
            }
            self.fresh.drain(..done);
            self.base += done as u64;
            match self.pop_done_aside() {
                None => break,
                Some(entry) if entry.reply.is_empty() => {}
                Some(entry) => {
                    released.add(&entry);
                    self.mark.move_up_to(&entry);
                }
            }
        }
        self.held_up -= released.messages;
        self.tell_mark(write);
        released
    }

    /// Acknowledges what the mark stands for, if it has moved since the last time.
    pub(super) fn tell_mark(&mut self, write: &mut Write<'_>) {
        if std::mem::take(&mut self.mark.moved) {
            self.repeat_mark(write);
        }
    }

    /// Under Watermark: whether there is a mark that the server may know.
    pub(super) fn has_mark(&self) -> bool {
        !self.mark.reply.is_empty()
    }

    /// Under Watermark: acknowledges once more what the mark stands for, as a lost connection may have lost it.
    pub(super) fn repeat_mark(&self, write: &mut Write<'_>) {
        if !self.mark.reply.is_empty() {
            write(&self.mark.reply, b"");
        }
    }

    /// Tells the server to wait on with everything that has been held for `age` since it was last told.
    pub(super) fn keep_alive(&mut self, now: Instant, age: Duration, write: &mut Write<'_>) {
        let settlement = self.settlement;
        if settlement == Settlement::Nothing {
            return;
        }
        for entry in self.fresh.iter_mut().chain(self.aside.values_mut()) {
            let waits = entry.state == State::Open
                || (entry.state == State::Done && settlement == Settlement::Watermark);
            if waits && now.saturating_duration_since(entry.since) >= age && !entry.reply.is_empty()
            {
                write(&entry.reply, b"+WPI");
                entry.since = now;
            }
        }
    }

    /// How many entries there are, settled ones that stand behind open ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.aside.len()
    }

    fn find(&self, sequence: u64) -> Option<&Entry> {
        self.aside.get(&sequence).or_else(|| {
            let at = self.fresh.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
            self.fresh.get(at)
        })
    }

    fn find_receipt(&mut self, Receipt { arrival, sequence }: Receipt) -> Option<&mut Entry> {
        let at = arrival.checked_sub(self.base).and_then(|at| usize::try_from(at).ok());
        if let Some(at) = at.filter(|&at| at < self.fresh.len()) {
            return self.fresh.get_mut(at);
        }
        self.aside.get_mut(&sequence).filter(|entry| entry.arrival == arrival)
    }

    /// Drops what needs no place any more, after `receipt` was settled.
    fn sweep_settled(&mut self, receipt: Receipt) {
        if self.settlement == Settlement::Watermark {
            return;
        }
        if receipt.arrival < self.base || receipt.arrival >= ASIDE {
            self.aside.remove(&receipt.sequence);
            return;
        }
        while self.fresh.front().is_some_and(|entry| entry.state != State::Open) {
            self.fresh.pop_front();
            self.base += 1;
        }
    }

    /// Keeps the queue short while its oldest entry stays open and others come and go behind it.
    fn make_room(&mut self) {
        while self.settlement != Settlement::Watermark && self.fresh.len() > self.fresh_limit {
            if let Some(entry) = self.fresh.pop_front() {
                self.base += 1;
                if entry.state == State::Open {
                    self.aside.insert(entry.sequence, entry);
                }
            }
        }
    }

    /// How many in `fresh` have the lowest sequences, and are done.
    fn done_in_fresh(&self) -> usize {
        // The same sequence in both: the place in `fresh` was given back, and the one aside counts.
        let aside = self.aside.first_key_value().map_or(u64::MAX, |(sequence, _)| *sequence);
        let is_done = |entry: &&Entry| entry.state == State::Done && entry.sequence <= aside;
        self.fresh.iter().take_while(is_done).count()
    }

    /// Takes out of `aside` that with the lowest sequence, if it is done.
    fn pop_done_aside(&mut self) -> Option<Entry> {
        let first = self.aside.first_entry()?;
        let is_lowest = self.fresh.front().is_none_or(|entry| *first.key() < entry.sequence);
        (is_lowest && first.get().state == State::Done).then(|| first.remove())
    }
}

fn write_ack(reply: &[u8], settle: &Settle, write: &mut Write<'_>) {
    match settle {
        // An empty body is an ack to the server, and the shortest.
        Settle::Ack => write(reply, b""),
        Settle::Nak { delay } if delay.is_zero() => write(reply, b"-NAK"),
        Settle::Nak { delay } => {
            write(reply, format!("-NAK {{\"delay\":{}}}", delay.as_nanos()).as_bytes());
        }
        Settle::Term { reason } if reason.is_empty() => write(reply, b"+TERM"),
        Settle::Term { reason } => write(reply, format!("+TERM {reason}").as_bytes()),
        Settle::Forget => {}
    }
}
