//! What becomes of an event that fails.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jetlane_jetstream::{Held, Receipt, Settlement, Ticket};

use super::dead::DeadLetters;
use super::letter::{Kind, Story};
use super::park::Parking;
use crate::letters::token::{NO_KEY, token};

/// The pace of retries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(30) }
    }
}

impl Pace {
    pub(super) fn after(self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }
}

/// An event on its lane, or several of one key that are handled together. It is moved from hand to hand on its way, so what it seldom has is in boxes.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) held: Held,
    /// Those behind it, for a handler of batches.
    more: Option<Box<More>>,
    pub(super) phase: Phase,
}

/// What is behind the first event of a job.
#[derive(Debug)]
struct More {
    events: VecDeque<Held>,
    pace: Steps,
}

/// How a job with several events goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// All at once.
    Together,
    /// One after the other: something is wrong with one of them.
    OneByOne,
}

/// How far an event has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its handler was not called, or not yet to an end.
    Fresh,
    /// Its handler has failed, and is called again.
    Retrying(Box<Retry>),
    /// It is not tried any more: its letter is to be stored.
    Leaving(Box<Leaving>),
}

/// Another attempt at an event.
#[derive(Debug)]
pub(super) struct Retry {
    /// How often its handler has failed.
    pub(super) failures: u32,
    pub(super) until: Instant,
    /// Why it failed last.
    pub(super) reason: String,
}

/// An event on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) story: Story,
    /// `None` until its letter is published, and after a publish that failed.
    pub(super) ticket: Option<Ticket>,
    /// How often its letter could not be stored.
    pub(super) failed: u32,
}

impl Job {
    pub(super) fn new(held: Held) -> Self {
        Self { held, more: None, phase: Phase::Fresh }
    }

    pub(super) fn batch(held: Held, more: VecDeque<Held>) -> Self {
        let more = More { events: more, pace: Steps::Together };
        let more = (!more.events.is_empty()).then(|| Box::new(more));
        Self { more, ..Self::new(held) }
    }

    /// Those behind the first.
    pub(super) fn behind(&self) -> impl Iterator<Item = &Held> {
        self.more.iter().flat_map(|more| more.events.iter())
    }

    /// Whether there is nothing behind the first.
    #[inline]
    pub(super) fn is_alone(&self) -> bool {
        self.more.as_ref().is_none_or(|more| more.events.is_empty())
    }

    pub(super) fn pace(&self) -> Steps {
        self.more.as_ref().map_or(Steps::Together, |more| more.pace)
    }

    /// How many events are handled at the next call.
    pub(super) fn count(&self) -> usize {
        match &self.more {
            Some(more) if more.pace == Steps::Together => 1 + more.events.len(),
            _ => 1,
        }
    }

    /// Whether it is several events that could be handled one by one.
    pub(super) fn can_be_split(&self) -> bool {
        self.count() > 1
    }

    /// From now on one by one, as if none had been tried.
    pub(super) fn split(&mut self) {
        self.phase = Phase::Fresh;
        if let Some(more) = &mut self.more {
            more.pace = Steps::OneByOne;
        }
    }

    /// The next one, when one by one the first is settled.
    pub(super) fn advance(&mut self) -> bool {
        match self.more.as_mut().and_then(|more| more.events.pop_front()) {
            Some(next) => {
                (self.held, self.phase) = (next, Phase::Fresh);
                true
            }
            None => false,
        }
    }

    pub(super) fn receipts(&self) -> impl Iterator<Item = Receipt> {
        [&self.held].into_iter().chain(self.behind()).map(|held| held.receipt)
    }

    /// How often its handler has failed.
    pub(super) fn failures(&self) -> u32 {
        match &self.phase {
            Phase::Fresh => 0,
            Phase::Retrying(retry) => retry.failures,
            Phase::Leaving(leaving) => leaving.story.attempts,
        }
    }

    pub(super) fn leave(&mut self, kind: Kind, reason: String) {
        let story = Story { kind, reason, attempts: self.failures() };
        self.phase = Phase::Leaving(Box::new(Leaving { story, ticket: None, failed: 0 }));
    }

    pub(super) fn try_again(&mut self, failures: u32, until: Instant, reason: String) {
        self.phase = Phase::Retrying(Box::new(Retry { failures, until, reason }));
    }
}

/// What a subscription does with events that fail.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) pace: Pace,
    pub(super) dead: Option<DeadLetters>,
    pub(super) parking: Option<Parking>,
    pub(super) settlement: Settlement,
    /// Most events held at once.
    pub(super) window: usize,
}

impl Policy {
    /// Where an event goes whose handler has failed so often; `None` while it is tried again.
    pub(super) fn gives_up(&self, failures: u32, holds_up: usize) -> Option<Kind> {
        let (kind, attempts) = match (&self.parking, &self.dead) {
            (Some(parking), _) => (Kind::Parked, parking.attempts),
            (None, Some(dead)) => (Kind::Dead, dead.attempts),
            (None, None) => return None,
        };
        let is_crowded = holds_up.saturating_mul(2) >= self.window;
        (failures >= attempts.get() || is_crowded).then_some(kind)
    }

    /// Where an event goes that can never be handled; `None` if it is just not delivered again.
    pub(super) fn rejects_to(&self) -> Option<Kind> {
        match (&self.dead, &self.parking) {
            (Some(_), _) => Some(Kind::Dead),
            (None, Some(_)) => Some(Kind::Parked),
            (None, None) => None,
        }
    }

    /// Whether an event that waits for its next attempt may have to go sooner, as others can not be acknowledged before it.
    pub(super) fn is_in_a_hurry(&self) -> bool {
        self.settlement == Settlement::Watermark && self.rejects_to().is_some()
    }

    /// Whether an event is not to be tried, since it was delivered so often.
    pub(super) fn has_had_its_chances(&self, delivered: u64) -> bool {
        let most = self.dead.as_ref().and_then(|dead| dead.deliveries);
        most.is_some_and(|most| delivered > most)
    }

    /// The subject of a letter.
    pub(super) fn letter_subject(&self, kind: Kind, subject: &[u8], parked: &str) -> String {
        match (kind, &self.dead) {
            (Kind::Dead, Some(dead)) => dead.letter_subject(subject),
            _ => parked.into(),
        }
    }
}

/// The token of an event's key.
pub(super) fn token_of(key: Option<&[u8]>) -> String {
    key.map_or_else(|| NO_KEY.into(), token)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn an_event_goes_after_its_attempts_or_when_too_many_wait_for_it() {
        let attempts = NonZeroU32::new(3).unwrap();
        let dead = || Some(DeadLetters::to("dead").attempts(attempts));
        let parking = || Some(Parking::to("parked").attempts(attempts));
        for (dead, parking, kind) in [
            (None, None, None),
            (dead(), None, Some(Kind::Dead)),
            (None, parking(), Some(Kind::Parked)),
            (dead(), parking(), Some(Kind::Parked)),
        ] {
            let (pace, settlement) = (Pace::default(), Settlement::Watermark);
            let policy = Policy { pace, dead, parking, settlement, window: 100 };
            for (failures, holds_up, goes) in
                [(1, 0, false), (2, 49, false), (3, 0, true), (1, 50, true), (9, 99, true)]
            {
                let expected = kind.filter(|_| goes);
                assert_eq!(policy.gives_up(failures, holds_up), expected, "{failures} {holds_up}");
            }
        }
    }
}
