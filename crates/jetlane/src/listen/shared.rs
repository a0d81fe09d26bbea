//! What the lanes, the reactor and the handle of a listener share.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use jetlane_client::CloseReason;
use parking_lot::Mutex;

use crate::seeing::{Count, Meters, Outcome};

/// Most that may wait for the lanes, or be handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) handled: Count,
    pub(super) failed: Count,
    pub(super) passed_over: Count,
    pub(super) dropped: Count,
    pub(super) panics: Count,
    pub(super) meters: Meters,
    pub(super) waiting: Waiting,
    /// Events that the lanes did not take any more.
    pub(super) refused: AtomicU64,
    last_error: Mutex<Option<String>>,
    end: Mutex<Option<CloseReason>>,
}

impl Shared {
    pub(super) fn new(name: &str, bounds: Bounds) -> Self {
        let count = |outcome| Count::new(outcome, name);
        Self {
            handled: count(Outcome::Handled),
            failed: count(Outcome::Failed),
            passed_over: count(Outcome::PassedOver),
            dropped: count(Outcome::Dropped),
            panics: count(Outcome::Panicked),
            meters: Meters::new(name),
            waiting: Waiting { events: AtomicUsize::new(0), bytes: AtomicUsize::new(0), bounds },
            refused: AtomicU64::new(0),
            last_error: Mutex::default(),
            end: Mutex::default(),
        }
    }

    pub(super) fn note_error(&self, error: &str) {
        *self.last_error.lock() = Some(error.into());
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    /// No more events come for one of its topics.
    pub(super) fn end(&self, reason: CloseReason) {
        self.end.lock().get_or_insert(reason);
    }

    pub(super) fn end_reason(&self) -> Option<CloseReason> {
        *self.end.lock()
    }
}

/// What has come and is not handled. Only the reactor adds to it, so its bounds are exact.
#[derive(Debug)]
pub(super) struct Waiting {
    /// `events <= bounds.events`
    events: AtomicUsize,
    /// `bytes <= bounds.bytes`
    bytes: AtomicUsize,
    bounds: Bounds,
}

impl Waiting {
    /// An event of so many bytes comes. False if there is no room for it.
    #[inline]
    pub(super) fn enter(&self, bytes: usize) -> bool {
        let has_room = self.events.load(Acquire) < self.bounds.events
            && self.bytes.load(Acquire).saturating_add(bytes) <= self.bounds.bytes;
        if has_room {
            self.events.fetch_add(1, Relaxed);
            self.bytes.fetch_add(bytes, Relaxed);
        }
        has_room
    }

    /// It is done with.
    #[inline]
    pub(super) fn leave(&self, bytes: usize) {
        self.events.fetch_sub(1, Release);
        self.bytes.fetch_sub(bytes, Release);
    }

    pub(super) fn is_half_empty(&self) -> bool {
        self.events() <= self.bounds.events / 2 && self.bytes() <= self.bounds.bytes / 2
    }

    pub(super) fn events(&self) -> usize {
        self.events.load(Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_the_bounds_say_in_events_and_in_bytes() {
        let shared = Shared::new("l", Bounds { events: 3, bytes: 10 });
        let waiting = &shared.waiting;
        for (bytes, expected) in
            [(11, false), (4, true), (4, true), (3, false), (2, true), (0, false)]
        {
            assert_eq!(waiting.enter(bytes), expected, "{bytes}: {waiting:?}");
        }
        assert_eq!((waiting.events(), waiting.bytes()), (3, 10));
        assert!(!waiting.is_half_empty());
        waiting.leave(4);
        assert!(!waiting.is_half_empty());
        waiting.leave(4);
        assert!(waiting.is_half_empty() && waiting.enter(8));
    }
}
