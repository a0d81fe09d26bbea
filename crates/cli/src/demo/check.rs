//! Every event is checked against the counter of its aggregate.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use jetlane::{Bytes, Envelope, Verdict};
use parking_lot::Mutex;

use super::publish::Clock;
use super::report::Latency;

/// What an event of the demo carries: the number of its aggregate, its counter from 1, and when it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) key: u64,
    pub(super) counter: u64,
    pub(super) published_ns: u64,
}

impl Mark {
    pub(super) fn write(self, payload_len: usize) -> Bytes {
        let mut payload = Vec::with_capacity(payload_len);
        for number in [self.key, self.counter, self.published_ns] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
        payload.resize(payload_len, b'x');
        payload.into()
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(*payload.get(at..)?.first_chunk()?));
        Some(Self { key: number(0)?, counter: number(8)?, published_ns: number(16)? })
    }
}

pub(super) struct Checker {
    clock: Clock,
    /// The last counter seen, by aggregate.
    last: Vec<AtomicU64>,
    handled: AtomicU64,
    duplicates: AtomicU64,
    out_of_order: AtomicU64,
    latency: Mutex<Latency>,
}

pub(super) struct Checked {
    pub(super) handled: u64,
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    pub(super) latency: Latency,
}

impl Checker {
    pub(super) fn new(keys: u64, clock: Clock) -> Self {
        Self {
            clock,
            last: (0..keys).map(|_| AtomicU64::new(0)).collect(),
            handled: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            out_of_order: AtomicU64::new(0),
            latency: Mutex::new(Latency::new()),
        }
    }

    pub(super) fn handle(&self, event: &Envelope) -> Verdict {
        let mark = Mark::read(event.payload());
        let known =
            mark.and_then(|mark| Some((mark, self.last.get(usize::try_from(mark.key).ok()?)?)));
        let Some((mark, last)) = known else {
            return Verdict::Reject { reason: "not an event of this demo".into() };
        };
        // Only one lane at a time handles an aggregate, so its counter is in no race.
        let before = last.load(Relaxed);
        if mark.counter == before + 1 {
            self.handled.fetch_add(1, Relaxed);
        } else if mark.counter <= before {
            self.duplicates.fetch_add(1, Relaxed);
        } else {
            self.handled.fetch_add(1, Relaxed);
            self.out_of_order.fetch_add(1, Relaxed);
        }
        last.store(before.max(mark.counter), Relaxed);
        let waited = self.clock.now_ns().saturating_sub(mark.published_ns);
        self.latency.lock().record_ns(waited);
        Verdict::Done
    }

    /// Events handled, duplicates not counted.
    pub(super) fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }

    pub(super) fn result(&self) -> Checked {
        Checked {
            handled: self.handled(),
            duplicates: self.duplicates.load(Relaxed),
            out_of_order: self.out_of_order.load(Relaxed),
            latency: self.latency.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checker_sees_what_is_wrong() {
        // (counters of one aggregate in the order handled, handled, duplicates, out of order)
        for (counters, handled, duplicates, out_of_order) in [
            (vec![1, 2, 3], 3, 0, 0),
            (vec![1, 2, 2, 3], 3, 1, 0),
            (vec![1, 3, 2], 2, 1, 1),
            (vec![2, 1], 1, 1, 1),
            (vec![1, 3], 2, 0, 1),
        ] {
            let checker = Checker::new(1, Clock::start());
            for counter in &counters {
                let mark = Mark { key: 0, counter: *counter, published_ns: 0 };
                let event = Envelope::new("a", "t", mark.write(24));
                assert_eq!(checker.handle(&event), Verdict::Done);
            }
            let result = checker.result();
            let seen = (result.handled, result.duplicates, result.out_of_order);
            assert_eq!(seen, (handled, duplicates, out_of_order), "{counters:?}");
        }
    }

    #[test]
    fn other_events_are_rejected() {
        let checker = Checker::new(1, Clock::start());
        let wrong_key = Mark { key: 1, counter: 1, published_ns: 0 };
        for payload in [Bytes::new(), Bytes::from_static(b"short"), wrong_key.write(24)] {
            let event = Envelope::new("a", "t", payload);
            assert!(matches!(checker.handle(&event), Verdict::Reject { .. }));
        }
    }
}
