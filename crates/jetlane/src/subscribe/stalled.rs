//! The events that hold their aggregate up, for those who look.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use jetlane_jetstream::Held;
use parking_lot::Mutex;

use crate::Envelope;

/// An event that has failed and is not settled yet: the later events of its aggregate wait behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StalledEvent {
    /// The aggregate that waits; `None` for an event without one.
    pub aggregate_id: Option<String>,
    /// The subject it was published to.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// How often its handler has failed.
    pub attempts: u32,
    /// Since when: how long ago its handler has failed for the first time here.
    pub since: Duration,
    /// Why it has failed last, in words.
    pub reason: String,
}

/// The stalled events of a subscription. Only events that fail touch it.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    /// How many there are: nearly always none, and then nothing is locked.
    count: AtomicUsize,
    /// By their place in the stream.
    events: Mutex<BTreeMap<u64, (Instant, StalledEvent)>>,
}

impl Stalled {
    pub(super) fn note(&self, held: &Held, attempts: u32, reason: &str) {
        let sequence = held.delivery.stream_sequence;
        let mut events = self.events.lock();
        let (_, event) = events.entry(sequence).or_insert_with(|| {
            let aggregate_id = Envelope::aggregate_id_of(&held.message);
            let event = StalledEvent {
                aggregate_id: aggregate_id.map(|id| String::from_utf8_lossy(&id).into_owned()),
                subject: String::from_utf8_lossy(held.message.subject_bytes()).into_owned(),
                sequence,
                attempts: 0,
                since: Duration::ZERO,
                reason: String::new(),
            };
            (Instant::now(), event)
        });
        event.attempts = attempts;
        event.reason = reason.into();
        self.count.store(events.len(), Relaxed);
    }

    /// It is settled. An event is noted and settled on the same lane, so who has noted one finds it here.
    #[inline]
    pub(super) fn resolve(&self, held: &Held) {
        if self.count.load(Relaxed) > 0 {
            let mut events = self.events.lock();
            events.remove(&held.delivery.stream_sequence);
            self.count.store(events.len(), Relaxed);
        }
    }

    pub(super) fn clear(&self) {
        self.events.lock().clear();
        self.count.store(0, Relaxed);
    }

    /// The oldest first.
    pub(super) fn list(&self) -> Vec<StalledEvent> {
        let events = self.events.lock();
        let told = events.values().map(|(since, event)| {
            let mut event = event.clone();
            event.since = since.elapsed();
            event
        });
        told.collect()
    }
}
