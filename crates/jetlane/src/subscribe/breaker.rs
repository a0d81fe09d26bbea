//! The circuit breaker: while a dependency of the handlers is down, nobody tries events in vain.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How soon it is looked again whether the event that is tried has succeeded.
const LOOK: Duration = Duration::from_millis(20);

/// When a subscription pauses because nothing succeeds any more: see [`crate::Subscribe::circuit_breaker`]. Failures while it is open are
/// nobody's fault: they do not count as attempts of their event. So `failures` should be no fewer than the attempts after which events
/// leave ([`crate::DeadLetters::attempts`]): else one that fails for good, while nothing else comes, keeps it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "to be given to Subscribe::circuit_breaker"]
pub struct CircuitBreaker {
    failures: NonZeroU32,
    first: Duration,
    most: Duration,
}

impl CircuitBreaker {
    /// Pauses after so many failures in a row, of whatever events; for a second at first, and twice as long every time that the
    /// event tried then fails, too, up to a minute.
    pub fn after(failures: NonZeroU32) -> Self {
        Self { failures, first: Duration::from_secs(1), most: Duration::from_secs(60) }
    }

    /// How long it pauses: `first`, doubling up to `most`. Default from one second to a minute.
    pub fn pause(mut self, first: Duration, most: Duration) -> Self {
        (self.first, self.most) = (first, most.max(first));
        self
    }
}

/// The state of a circuit breaker, as [`crate::SubscriptionHealth`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Events are handled.
    Closed,
    /// Nothing is handled for so long.
    Open {
        /// The time that is left.
        left: Duration,
    },
    /// One event is tried; the others wait for what comes of it.
    Trying,
}

/// What an event may do that is about to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Go,
    Wait(Duration),
}

/// What is to be told to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing has changed.
    Stays,
    /// Pause the consumer for so long.
    Opens(Duration),
    /// Let the consumer go on.
    Closes,
}

/// The breaker of a subscription that runs. All lanes share it; while all is well that is one load an event.
#[derive(Debug)]
pub(super) struct Breaker {
    config: CircuitBreaker,
    /// Failures in a row, while it is closed; [`OPEN`] while it is not.
    failures: AtomicU32,
    open: Mutex<Option<Open>>,
}

const OPEN: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    trying: bool,
}

impl Breaker {
    pub(super) fn new(config: CircuitBreaker) -> Self {
        Self { config, failures: AtomicU32::new(0), open: Mutex::new(None) }
    }

    #[inline]
    pub(super) fn admit(&self) -> Admission {
        match self.failures.load(Relaxed) {
            OPEN => self.admit_at(Instant::now()),
            _ => Admission::Go,
        }
    }

    #[cold]
    fn admit_at(&self, now: Instant) -> Admission {
        let mut open = self.open.lock();
        match &mut *open {
            None => Admission::Go,
            Some(open) if now < open.until => Admission::Wait(open.until - now),
            Some(open) if open.trying => Admission::Wait(LOOK),
            Some(open) => {
                open.trying = true;
                Admission::Go
            }
        }
    }

    /// An event was handled.
    #[inline]
    pub(super) fn succeeded(&self) -> Turn {
        match self.failures.load(Relaxed) {
            0 => Turn::Stays,
            OPEN => self.close(),
            _ => {
                // Another lane may open it just now: then it stays open, and this success was before.
                let reset = |failures| (failures != OPEN).then_some(0);
                let _ = self.failures.fetch_update(Relaxed, Relaxed, reset);
                Turn::Stays
            }
        }
    }

    #[cold]
    fn close(&self) -> Turn {
        let mut open = self.open.lock();
        // What began before it opened says nothing about now.
        if !open.is_some_and(|open| open.trying) {
            return Turn::Stays;
        }
        *open = None;
        self.failures.store(0, Relaxed);
        Turn::Closes
    }

    /// The event that was let go came to no handler: another one is to be tried in its place.
    pub(super) fn abstained(&self) {
        if self.is_open()
            && let Some(open) = &mut *self.open.lock()
        {
            open.trying = false;
        }
    }

    /// A handler has failed.
    #[cold]
    pub(super) fn failed(&self, now: Instant) -> Turn {
        let mut open = self.open.lock();
        let pause = match *open {
            // It began before it opened.
            Some(open) if !open.trying => return Turn::Stays,
            Some(open) => open.pause.saturating_mul(2).min(self.config.most),
            None => {
                let failures = self.failures.load(Relaxed).saturating_add(1).min(OPEN - 1);
                if failures < self.config.failures.get() {
                    self.failures.store(failures, Relaxed);
                    return Turn::Stays;
                }
                self.config.first
            }
        };
        *open = Some(Open { until: now + pause, pause, trying: false });
        self.failures.store(OPEN, Relaxed);
        Turn::Opens(pause)
    }

    pub(super) fn is_open(&self) -> bool {
        self.failures.load(Relaxed) == OPEN
    }

    pub(super) fn state(&self) -> BreakerState {
        let now = Instant::now();
        match *self.open.lock() {
            None => BreakerState::Closed,
            Some(open) if open.trying => BreakerState::Trying,
            Some(open) => BreakerState::Open { left: open.until.saturating_duration_since(now) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(failures: u32) -> Breaker {
        let config = CircuitBreaker::after(NonZeroU32::new(failures).unwrap());
        Breaker::new(config.pause(SECOND, 3 * SECOND))
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row() {
        let (breaker, now) = (breaker(3), Instant::now());
        for turn in [Turn::Stays, Turn::Stays] {
            assert_eq!(breaker.failed(now), turn);
        }
        assert_eq!(breaker.succeeded(), Turn::Stays);
        for turn in [Turn::Stays, Turn::Stays, Turn::Opens(SECOND)] {
            assert_eq!(breaker.admit(), Admission::Go);
            assert_eq!(breaker.failed(now), turn);
        }
        assert_eq!(breaker.admit_at(now), Admission::Wait(SECOND));
        assert!(matches!(breaker.state(), BreakerState::Open { .. }));
    }

    #[test]
    fn one_event_is_tried_and_decides() {
        let (breaker, now) = (breaker(1), Instant::now());
        assert_eq!(breaker.failed(now), Turn::Opens(SECOND));
        // Those that were at work when it opened decide nothing.
        assert_eq!(breaker.failed(now), Turn::Stays);
        assert_eq!(breaker.succeeded(), Turn::Stays);
        let later = now + SECOND;
        assert_eq!(breaker.admit_at(later), Admission::Go);
        assert_eq!(breaker.admit_at(later), Admission::Wait(LOOK));
        assert_eq!(breaker.state(), BreakerState::Trying);
        // Each time that it fails the pause is longer.
        for pause in [2 * SECOND, 3 * SECOND, 3 * SECOND] {
            assert_eq!(breaker.failed(later), Turn::Opens(pause));
            assert_eq!(breaker.admit_at(later), Admission::Wait(pause));
            assert_eq!(breaker.admit_at(later + pause), Admission::Go);
        }
        // An event that came to no handler decides nothing, and holds up nothing.
        breaker.abstained();
        assert_eq!(breaker.admit_at(later + 60 * SECOND), Admission::Go);
        assert_eq!(breaker.succeeded(), Turn::Closes);
        breaker.abstained();
        assert_eq!((breaker.admit(), breaker.state()), (Admission::Go, BreakerState::Closed));
    }
}
