use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jetlane_client::proto::jetstream::Delivery;
use jetlane_client::{Arena, Message, MessageRef};

use super::held::{Arrival, HeldTable, Released};
use super::{Receipt, Settle, Settlement};
use crate::SequencePair;

/// A delivery of `sequence`, stored at `stored_ns`, the `delivered`th time.
fn delivery(sequence: u64, delivered: u64, stored_ns: u64) -> (Delivery, Message) {
    let reply = format!("$JS.ACK.S.C.{delivered}.{sequence}.{sequence}.{stored_ns}.0");
    let frame = format!("MSG s 1 {reply} 1\r\nx\r\n");
    let message = MessageRef::read(frame.as_bytes()).unwrap().to_message(&mut Arena::new());
    (Delivery::read(reply.as_bytes()).unwrap(), message)
}

struct Bed {
    table: HeldTable,
    now: Instant,
    /// What was written: sequence, delivered, body.
    written: Vec<(u64, u64, String)>,
}

impl Bed {
    fn new(settlement: Settlement, window: usize) -> Self {
        Self { table: HeldTable::new(settlement, window), now: Instant::now(), written: Vec::new() }
    }

    fn insert(&mut self, sequence: u64, delivered: u64) -> Arrival {
        self.insert_of(sequence, delivered, sequence)
    }

    fn insert_of(&mut self, sequence: u64, delivered: u64, stored_ns: u64) -> Arrival {
        let (delivery, message) = delivery(sequence, delivered, stored_ns);
        self.table.insert(&delivery, &message.as_message_ref(), self.now)
    }

    fn take(&mut self, sequence: u64, delivered: u64) -> Receipt {
        match self.insert(sequence, delivered) {
            Arrival::New(receipt) => receipt,
            other => panic!("{sequence} is {other:?}"),
        }
    }

    /// The first delivery of a message of a stream that was made anew.
    fn take_anew(&mut self, sequence: u64) -> Receipt {
        match self.insert_of(sequence, 1, ANEW + sequence) {
            Arrival::New(receipt) => receipt,
            other => panic!("{sequence} is {other:?}"),
        }
    }

    /// Settles one and lets the mark move; how many messages are released.
    fn settle(&mut self, receipt: Receipt, settle: Settle) -> usize {
        let Self { table, written, .. } = self;
        let mut write = writer(written);
        let Released { messages: settled, .. } = table.settle(receipt, &settle, &mut write);
        settled + table.advance(&mut write).messages
    }

    fn written(&mut self) -> Vec<(u64, u64, String)> {
        std::mem::take(&mut self.written)
    }
}

/// The server has delivered up to this.
fn delivered(sequence: u64) -> SequencePair {
    SequencePair { consumer_seq: sequence, stream_seq: sequence }
}

fn writer(written: &mut Vec<(u64, u64, String)>) -> impl FnMut(&[u8], &[u8]) + '_ {
    |reply, body| {
        let delivery = Delivery::read(reply).unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        written.push((delivery.stream_sequence, delivery.delivered, body));
    }
}

/// Everything in the second stream is younger than all in the first.
const ANEW: u64 = 1_000_000;

fn ack(sequence: u64) -> (u64, u64, String) {
    (sequence, 1, String::new())
}

#[test]
fn each_settlement_has_its_body() {
    let nak = |delay| Settle::Nak { delay };
    let term = |reason: &str| Settle::Term { reason: reason.into() };
    for (settle, body) in [
        (Settle::Ack, Some("")),
        (nak(Duration::ZERO), Some("-NAK")),
        (nak(Duration::from_secs(1)), Some("-NAK {\"delay\":1000000000}")),
        (term(""), Some("+TERM")),
        (term("no such order"), Some("+TERM no such order")),
        (Settle::Forget, None),
    ] {
        let mut bed = Bed::new(Settlement::Each, 10);
        let receipt = bed.take(5, 1);
        assert_eq!(bed.settle(receipt, settle.clone()), 1, "{settle:?}");
        let expected: Vec<_> = body.map(|body| (5, 1, body.to_string())).into_iter().collect();
        assert_eq!(bed.written(), expected, "{settle:?}");
        assert_eq!(bed.settle(receipt, Settle::Ack), 0, "a receipt settles once");
        assert_eq!(bed.written(), [], "{settle:?}");
        assert_eq!(bed.table.len(), 0);
    }
}

#[test]
fn each_acknowledges_in_any_order() {
    let mut bed = Bed::new(Settlement::Each, 10);
    let receipts: Vec<_> = (1..=4).map(|sequence| bed.take(sequence, 1)).collect();
    for at in [2, 0, 3, 1] {
        assert_eq!(bed.settle(receipts[at], Settle::Ack), 1);
    }
    assert_eq!(bed.written(), [ack(3), ack(1), ack(4), ack(2)]);
    assert_eq!(bed.table.len(), 0);
}

#[test]
fn an_open_message_at_the_front_does_not_let_the_table_grow() {
    let mut bed = Bed::new(Settlement::Each, 10);
    let stuck = bed.take(1, 1);
    for sequence in 2..1000 {
        let receipt = bed.take(sequence, 1);
        assert_eq!(bed.settle(receipt, Settle::Ack), 1);
        assert!(bed.table.len() <= 21, "{}", bed.table.len());
    }
    bed.written();
    assert_eq!(bed.insert(1, 2), Arrival::Held);
    assert_eq!(bed.settle(stuck, Settle::Ack), 1);
    assert_eq!(bed.written(), [ack(1)]);
}

#[test]
fn redeliveries_are_recognised() {
    let mut bed = Bed::new(Settlement::Each, 10);
    let first = bed.take(1, 1);
    let second = bed.take(2, 1);
    assert_eq!(bed.insert(1, 2), Arrival::Held, "still at it");
    bed.settle(second, Settle::Ack);
    assert_eq!(bed.insert(2, 2), Arrival::Done, "the ack was lost");
    bed.settle(first, Settle::Nak { delay: Duration::ZERO });
    let again = bed.take(1, 2);
    bed.written();
    bed.settle(first, Settle::Ack);
    assert_eq!(bed.written(), [], "the first receipt is used up");
    bed.settle(again, Settle::Ack);
    assert_eq!(bed.written(), [(1, 2, String::new())]);
    // One from before our time.
    let old = bed.take(77, 9);
    assert_eq!(bed.insert(77, 10), Arrival::Held);
    assert_eq!(bed.settle(old, Settle::Ack), 1);
}

#[test]
fn the_watermark_stops_at_the_lowest_message_that_is_not_done() {
    let mut bed = Bed::new(Settlement::Watermark, 10);
    let receipts: Vec<_> = (1..=5).map(|sequence| bed.take(sequence, 1)).collect();
    assert_eq!(bed.settle(receipts[1], Settle::Ack), 0);
    assert_eq!(bed.settle(receipts[2], Settle::Term { reason: "bad".into() }), 0);
    assert_eq!(bed.written(), [], "1 is not done");
    assert_eq!(bed.settle(receipts[0], Settle::Ack), 3);
    assert_eq!(bed.written(), [ack(3)]);
    assert_eq!(bed.settle(receipts[4], Settle::Ack), 0);
    assert_eq!(bed.insert(5, 2), Arrival::Held, "done, and still to be acknowledged");
    assert_eq!(bed.insert(2, 2), Arrival::Done, "acknowledged by the mark");
    assert_eq!(bed.settle(receipts[3], Settle::Ack), 2);
    assert_eq!(bed.written(), [ack(5)]);
    assert_eq!(bed.table.len(), 0);
}

#[test]
fn the_watermark_waits_for_what_was_given_back() {
    let mut bed = Bed::new(Settlement::Watermark, 10);
    let receipts: Vec<_> = (1..=3).map(|sequence| bed.take(sequence, 1)).collect();
    assert_eq!(bed.settle(receipts[0], Settle::Nak { delay: Duration::ZERO }), 1);
    assert_eq!(bed.settle(receipts[1], Settle::Ack), 0);
    assert_eq!(bed.settle(receipts[2], Settle::Ack), 0);
    assert_eq!(bed.written(), [(1, 1, "-NAK".to_string())]);
    let again = bed.take(1, 2);
    assert_eq!(bed.settle(again, Settle::Ack), 3);
    assert_eq!(bed.written(), [ack(3)]);
    assert_eq!(bed.table.len(), 0);
}

#[test]
fn what_is_held_long_is_kept_alive_message_by_message() {
    for (settlement, expected) in [
        (Settlement::Each, vec![2]),
        // Done, but its acknowledgement waits for message 2.
        (Settlement::Watermark, vec![2, 3]),
        (Settlement::Nothing, vec![]),
    ] {
        let mut bed = Bed::new(settlement, 10);
        let age = Duration::from_secs(5);
        let receipts: Vec<_> = (1..=3).map(|sequence| bed.take(sequence, 1)).collect();
        bed.settle(receipts[0], Settle::Ack);
        bed.settle(receipts[2], Settle::Ack);
        bed.written();
        for (wait, expected) in [(4, vec![]), (1, expected.clone()), (4, vec![]), (1, expected)] {
            bed.now += Duration::from_secs(wait);
            let mut written = Vec::new();
            bed.table.keep_alive(bed.now, age, &mut writer(&mut written));
            let kept: Vec<_> = written
                .iter()
                .map(|(sequence, _, body)| {
                    assert_eq!(body, "+WPI");
                    *sequence
                })
                .collect();
            assert_eq!(kept, expected, "{settlement:?}");
        }
    }
}

#[test]
fn a_stream_made_anew_starts_over() {
    let mut bed = Bed::new(Settlement::Each, 10);
    let old = bed.take(100, 1);
    let new = bed.take(1, 1);
    assert_eq!(bed.settle(new, Settle::Ack), 1);
    assert_eq!(bed.settle(old, Settle::Ack), 1);
    assert_eq!(bed.written(), [ack(1), ack(100)]);
}

#[test]
fn what_a_killed_server_delivers_again_as_if_for_the_first_time_is_recognised() {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let mut bed = Bed::new(settlement, 10);
        let receipts: Vec<_> = (1..=5).map(|sequence| bed.take(sequence, 1)).collect();
        bed.settle(receipts[0], Settle::Ack);
        bed.settle(receipts[3], Settle::Ack);
        bed.written();
        let done = |sequence: u64| settlement == Settlement::Each || sequence == 1;
        for (sequence, open) in [(1, false), (2, true), (3, true), (4, false), (5, true)] {
            let expected = if !open && done(sequence) { Arrival::Done } else { Arrival::Held };
            // The front of the queue was swept: that it was done is not known any more, and it is done again.
            if settlement == Settlement::Each && sequence == 1 {
                continue;
            }
            assert_eq!(bed.insert(sequence, 1), expected, "{settlement:?} {sequence}");
        }
        let six = bed.take(6, 1);
        for receipt in [receipts[1], receipts[2], receipts[4], six] {
            bed.settle(receipt, Settle::Ack);
        }
        assert_eq!(bed.written().last(), Some(&ack(6)), "{settlement:?}");
        assert_eq!(bed.table.len(), 0, "{settlement:?}");
    }
}

#[test]
fn an_open_redelivery_is_recognised_in_a_first_delivery() {
    let mut bed = Bed::new(Settlement::Each, 10);
    let old = bed.take(5, 2);
    assert_eq!(bed.insert(5, 1), Arrival::Held);
    assert_eq!(bed.settle(old, Settle::Ack), 1);
}

#[test]
fn a_message_of_a_stream_made_anew_replaces_its_namesake() {
    for (settlement, acks) in [
        (Settlement::Each, vec![ack(1), ack(2), ack(3)]),
        (Settlement::Watermark, vec![ack(1), ack(2), ack(3)]),
    ] {
        let mut bed = Bed::new(settlement, 10);
        let old: Vec<_> = (1..=3).map(|sequence| bed.take(sequence, 1)).collect();
        let new: Vec<_> = (1..=3).map(|sequence| bed.take_anew(sequence)).collect();
        let orphaned = bed.table.take_orphaned();
        assert_eq!(orphaned.messages, 3, "{settlement:?}: their credit is released");
        assert!(orphaned.bytes > 0);
        for receipt in old {
            assert_eq!(bed.settle(receipt, Settle::Ack), 0, "{settlement:?}");
            assert_eq!(bed.settle(receipt, Settle::Nak { delay: Duration::ZERO }), 0);
        }
        assert_eq!(bed.written(), [], "{settlement:?}: an ack would be for the new ones");
        for receipt in new {
            assert_eq!(bed.settle(receipt, Settle::Ack), 1, "{settlement:?}");
        }
        assert_eq!(bed.written(), acks, "{settlement:?}");
        assert_eq!(bed.table.take_orphaned().messages, 0);
        assert_eq!(bed.table.len(), 0, "{settlement:?}");
    }
}

#[test]
fn the_mark_starts_over_with_a_stream_made_anew() {
    let mut bed = Bed::new(Settlement::Watermark, 10);
    let old: Vec<_> = (1..=9).map(|sequence| bed.take(sequence, 1)).collect();
    for receipt in &old[..5] {
        bed.settle(*receipt, Settle::Ack);
    }
    bed.settle(old[7], Settle::Ack);
    bed.written();
    assert_eq!(bed.insert(5, 1), Arrival::Done, "of the same stream");
    let new: Vec<_> = (1..=9).map(|sequence| bed.take_anew(sequence)).collect();
    assert_eq!(bed.table.take_orphaned().messages, 4);
    assert_eq!(bed.insert_of(1, 2, ANEW + 1), Arrival::Held);
    bed.settle(old[5], Settle::Ack);
    assert_eq!(bed.settle(new[1], Settle::Ack), 0, "the first is not done");
    assert_eq!(bed.written(), []);
    assert_eq!(bed.settle(new[0], Settle::Ack), 2);
    assert_eq!(bed.written(), [ack(2)]);
    assert_eq!(bed.insert_of(2, 2, ANEW + 2), Arrival::Done);
}

#[test]
fn what_passes_is_settled_without_being_held() {
    let nak = Settle::Nak { delay: Duration::ZERO };
    for (settlement, settle, passes, acks) in [
        (Settlement::Each, Settle::Ack, true, vec![ack(5)]),
        (Settlement::Each, nak.clone(), true, vec![(5, 1, "-NAK".into())]),
        (Settlement::Each, Settle::Forget, true, vec![]),
        (Settlement::Watermark, Settle::Ack, true, vec![ack(5)]),
        (Settlement::Watermark, Settle::Term { reason: String::new() }, true, vec![ack(5)]),
        (Settlement::Watermark, nak, false, vec![]),
        (Settlement::Watermark, Settle::Forget, false, vec![]),
        (Settlement::Nothing, Settle::Ack, true, vec![]),
    ] {
        let case = format!("{settlement:?} {settle:?}");
        let mut bed = Bed::new(settlement, 10);
        let (delivery, message) = delivery(5, 1, 5);
        let Bed { table, written, .. } = &mut bed;
        let mut write = writer(written);
        assert!(table.is_next(&delivery), "{case}");
        let passed = table.pass(&delivery, message.reply().unwrap(), &settle, &mut write);
        assert_eq!(passed, passes, "{case}");
        assert_eq!(table.advance(&mut write), Released::default(), "{case}");
        assert_eq!(table.advance(&mut write), Released::default(), "told once: {case}");
        drop(write);
        assert_eq!((bed.table.len(), bed.written()), (0, acks), "{case}");
    }
}

#[test]
fn only_what_is_new_and_waits_for_nothing_may_pass() {
    for settlement in [Settlement::Each, Settlement::Watermark, Settlement::Nothing] {
        let mut bed = Bed::new(settlement, 10);
        let is_next = |bed: &Bed, sequence, delivered| {
            bed.table.is_next(&delivery(sequence, delivered, sequence).0)
        };
        assert!(is_next(&bed, 5, 1), "{settlement:?}: the first");
        assert!(!is_next(&bed, 5, 2), "{settlement:?}: delivered again");
        let held = bed.take(5, 1);
        assert!(!is_next(&bed, 5, 1), "{settlement:?}: held");
        assert!(!is_next(&bed, 4, 1), "{settlement:?}: older than what is held");
        let behind_a_held_one = is_next(&bed, 6, 1);
        assert_eq!(behind_a_held_one, settlement != Settlement::Watermark, "{settlement:?}");
        bed.settle(held, Settle::Ack);
        assert!(is_next(&bed, 6, 1), "{settlement:?}: nothing is held");
        let aside = bed.take(6, 2);
        assert!(!is_next(&bed, 7, 1), "{settlement:?}: a redelivery is held");
        bed.settle(aside, Settle::Ack);
        assert!(is_next(&bed, 7, 1), "{settlement:?}: nothing is held again");
    }
    let mut bed = Bed::new(Settlement::Watermark, 10);
    let held = bed.take(5, 1);
    bed.settle(held, Settle::Ack);
    assert!(!bed.table.is_next(&delivery(5, 1, 5).0), "acknowledged by the mark");
}

#[test]
fn a_mark_that_passing_messages_moved_is_told_even_while_it_may_not_move_on() {
    let mut bed = Bed::new(Settlement::Watermark, 10);
    let Bed { table, written, .. } = &mut bed;
    let mut write = writer(written);
    for sequence in 1..=3 {
        let (delivery, message) = delivery(sequence, 1, sequence);
        assert!(table.pass(&delivery, message.reply().unwrap(), &Settle::Ack, &mut write));
    }
    table.tell_mark(&mut write);
    table.tell_mark(&mut write);
    drop(write);
    assert_eq!(bed.written(), [ack(3)], "told, and once");
}

#[test]
fn what_holds_a_watermark_up_is_known_and_how_many_wait_behind_it() {
    let mut bed = Bed::new(Settlement::Watermark, 8);
    let receipts: Vec<_> = (1..=5).map(|sequence| bed.take(sequence, 1)).collect();
    assert_eq!(bed.table.blocked(), None, "nothing that is done waits");
    bed.settle(receipts[1], Settle::Ack);
    bed.settle(receipts[3], Settle::Ack);
    assert_eq!(bed.table.blocked(), Some((1, 2)));
    // It comes again before those behind it, and holds them up as before.
    bed.settle(receipts[0], Settle::Nak { delay: Duration::ZERO });
    assert_eq!(bed.table.blocked(), Some((1, 2)));
    let again = bed.take(1, 2);
    bed.settle(again, Settle::Ack);
    assert_eq!(bed.table.blocked(), Some((3, 1)));
    bed.settle(receipts[2], Settle::Ack);
    assert_eq!(bed.table.blocked(), None);
    // What a stream that was made anew has orphaned waits for nothing.
    bed.take(6, 1);
    let done = bed.take(7, 1);
    bed.settle(done, Settle::Ack);
    bed.take_anew(6);
    assert_eq!(bed.table.blocked(), None);
    // By explicit acks nothing holds up anything.
    let mut bed = Bed::new(Settlement::Each, 8);
    let receipts: Vec<_> = (1..=2).map(|sequence| bed.take(sequence, 1)).collect();
    bed.settle(receipts[1], Settle::Ack);
    assert_eq!(bed.table.blocked(), None);
}

#[test]
fn what_the_server_has_forgotten_comes_again() {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let mut bed = Bed::new(settlement, 10);
        let receipts: Vec<_> = (1..=5).map(|sequence| bed.take(sequence, 1)).collect();
        let aside = bed.take(4_000, 2);
        bed.settle(receipts[0], Settle::Ack);
        bed.settle(receipts[4], Settle::Ack);
        bed.written();
        let asked = bed.table.arrivals();
        let since = [bed.take(4_001, 1), bed.take(3_999, 2)];
        bed.table.forget(delivered(3), asked);
        let open_or_held_up = if settlement == Settlement::Each { 2 } else { 3 };
        assert_eq!(bed.table.take_orphaned().messages, open_or_held_up, "{settlement:?}");
        bed.table.forget(delivered(3), asked);
        assert_eq!(bed.table.take_orphaned().messages, 0, "{settlement:?}: only once");
        assert_eq!([3, 4_000].map(|up_to| bed.table.unacknowledged(up_to)), [2, 3]);
        for receipt in [receipts[3], aside] {
            assert!(!bed.table.is_open(receipt));
            assert_eq!(bed.settle(receipt, Settle::Ack), 0, "{settlement:?}: nobody waits for it");
        }
        assert_eq!(bed.written(), [], "{settlement:?}");
        // What is known still is recognised, and what is not is new.
        assert_eq!(bed.insert(3, 2), Arrival::Held, "{settlement:?}");
        let mut again = vec![bed.take(4, 1), bed.take(4_000, 1)];
        match settlement {
            Settlement::Each => assert_eq!(bed.insert(5, 1), Arrival::Done),
            _ => again.insert(1, bed.take(5, 1)),
        }
        assert_eq!(bed.insert(4_001, 1), Arrival::Held, "{settlement:?}: came since");
        for receipt in [receipts[1], receipts[2]].into_iter().chain(again).chain(since) {
            assert!(bed.table.is_open(receipt), "{settlement:?} {receipt:?}");
            bed.settle(receipt, Settle::Ack);
        }
        assert_eq!(bed.table.len(), 0, "{settlement:?}");
        let acknowledged: Vec<_> =
            bed.written().into_iter().map(|(sequence, ..)| sequence).collect();
        match settlement {
            Settlement::Each => assert_eq!(acknowledged, [2, 3, 4, 4_000, 4_001, 3_999]),
            _ => assert_eq!(acknowledged, [2, 3, 4, 5, 4_001], "3 999 held it up until the end"),
        }
    }
}

#[test]
fn a_mark_that_the_server_has_forgotten_is_not_told_again() {
    let mut bed = Bed::new(Settlement::Watermark, 10);
    let receipts: Vec<_> = (1..=5).map(|sequence| bed.take(sequence, 1)).collect();
    receipts.into_iter().for_each(|receipt| _ = bed.settle(receipt, Settle::Ack));
    for (delivered, told) in [(5, vec![ack(5)]), (4, vec![])] {
        bed.written();
        bed.table.forget(self::delivered(delivered), bed.table.arrivals());
        bed.table.repeat_mark(&mut writer(&mut bed.written));
        assert_eq!(bed.written(), told, "delivered up to {delivered}");
    }
    assert_eq!(bed.insert(5, 1), Arrival::Done, "it is done all the same");
}

#[test]
fn what_was_given_back_holds_nothing_up_once_it_comes_as_new() {
    let mut bed = Bed::new(Settlement::Watermark, 10);
    let again = bed.take(5, 2);
    bed.settle(again, Settle::Nak { delay: Duration::ZERO });
    bed.written();
    // By a server that was killed, and has forgotten that it was delivered.
    let receipts: Vec<_> = (5..=7).map(|sequence| bed.take(sequence, 1)).collect();
    receipts.into_iter().for_each(|receipt| _ = bed.settle(receipt, Settle::Ack));
    assert_eq!(bed.written().pop(), Some(ack(7)));
    assert_eq!(bed.table.len(), 0);
}

/// A consumer under Watermark as its server sees it, and the handlers of what it delivers.
struct Random {
    bed: Bed,
    random: fastrand::Rng,
    /// How often each message was delivered, as far as the server knows. The first is number 1.
    deliveries: Vec<u64>,
    acknowledged: u64,
    handled: BTreeSet<u64>,
    open: Vec<(u64, Receipt)>,
}

impl Random {
    fn deliver(&mut self, sequence: u64) {
        let count = &mut self.deliveries[usize::try_from(sequence).unwrap() - 1];
        *count += 1;
        match self.bed.insert(sequence, *count) {
            Arrival::New(receipt) => self.open.push((sequence, receipt)),
            Arrival::Held => {}
            Arrival::Done => assert!(self.handled.contains(&sequence), "{sequence} is not done"),
        }
    }

    fn settle(&mut self, at: usize, settle: Settle) {
        let (sequence, receipt) = self.open.swap_remove(at);
        if settle == Settle::Ack {
            self.handled.insert(sequence);
        }
        self.bed.settle(receipt, settle);
        for (sequence, _, body) in self.bed.written() {
            if body.is_empty() {
                let is_handled = |sequence| self.handled.contains(&sequence);
                assert!((1..=sequence).all(is_handled), "{sequence} stands for one that is not");
                self.acknowledged = self.acknowledged.max(sequence);
            }
        }
    }

    /// It is killed, and does not know of what it delivered last.
    fn forget(&mut self) {
        let known = self.random.u64(self.acknowledged..=self.deliveries.len() as u64);
        self.deliveries.truncate(usize::try_from(known).unwrap());
        self.bed.table.forget(delivered(known), self.bed.table.arrivals());
    }

    fn step(&mut self) {
        let newest = self.deliveries.len() as u64;
        match self.random.u8(0..20) {
            0..8 if newest < 30 => {
                self.deliveries.push(0);
                self.deliver(newest + 1);
            }
            8..11 if self.acknowledged < newest => {
                let sequence = self.random.u64(self.acknowledged + 1..=newest);
                self.deliver(sequence);
            }
            11..19 if !self.open.is_empty() => {
                let nak = Settle::Nak { delay: Duration::ZERO };
                let settle = [Settle::Ack, Settle::Ack, Settle::Ack, nak, Settle::Forget];
                let settle = self.random.choice(settle).unwrap();
                let at = self.random.usize(..self.open.len());
                self.settle(at, settle);
            }
            19 => self.forget(),
            _ => {}
        }
    }
}

/// Whatever comes in whatever order: nothing is acknowledged that is not handled, and in the end all is.
#[test]
fn the_watermark_never_lies_and_never_stops() {
    for seed in 0..2_000 {
        let bed = Bed::new(Settlement::Watermark, 100);
        let random = fastrand::Rng::with_seed(seed);
        let (deliveries, handled, open) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut model = Random { bed, random, deliveries, acknowledged: 0, handled, open };
        (0..150).for_each(|_| model.step());
        // All that is in the stream, what was forgotten as well.
        model.deliveries.resize(30, 0);
        for _ in 0..2 {
            while !model.open.is_empty() {
                model.settle(0, Settle::Ack);
            }
            (model.acknowledged + 1..=30).for_each(|sequence| model.deliver(sequence));
        }
        assert_eq!(model.acknowledged, 30, "seed {seed}");
        assert_eq!((model.bed.table.len(), model.bed.table.blocked()), (0, None), "seed {seed}");
    }
}
