//! What a publisher, its thread and whoever reads its outcomes have in common.

use std::collections::VecDeque;
use std::mem;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::Instant;

use jetlane_client::{Subject, Watched, WatchedGuard};
use jetlane_jetstream::{Ticket, Unknown};

use super::{PublishError, Published};
use crate::Envelope;

/// Two locks that nobody holds at once.
pub(super) struct Shared<T> {
    /// On the way to the thread.
    pub(super) intake: Watched<Intake<T>>,
    /// On the way from it.
    pub(super) told: Watched<Told<T>>,
    /// The bound of [`Intake::used`].
    pub(super) most: usize,
    thread: OnceLock<ThreadId>,
}

pub(super) struct Intake<T> {
    pub(super) accepted: VecDeque<Accepted<T>>,
    /// Events that were accepted and whose outcome nobody has taken. `used <= most`
    used: usize,
    /// Events that were accepted and whose outcome was not told: in the queue for its reader, or to a callback that has returned.
    pub(super) untold: usize,
    /// How many outcomes were taken since the start.
    pub(super) taken: u64,
    pub(super) stage: Stage,
    /// Outcomes have come.
    pub(super) has_rung: bool,
    /// The thread sleeps, and nothing but what is accepted will wake it.
    pub(super) is_idle: bool,
    /// Threads that wait for room.
    waiting: usize,
}

/// How far a publisher has come. It only goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Takes events.
    #[default]
    Open,
    /// Takes no more, and finishes what it has.
    Closing,
    /// Waits only for what is on its way.
    Cut,
}

pub(super) struct Told<T> {
    pub(super) outcomes: Vec<Published<T>>,
    /// No more will come.
    pub(super) has_ended: bool,
    /// Nobody will read them.
    pub(super) is_abandoned: bool,
}

/// An event on its way to the thread.
pub(super) enum Accepted<T> {
    /// To be published.
    Event(Box<Event<T>>),
    /// Published by the caller already.
    Flying(Ticket, T),
}

pub(super) struct Event<T> {
    pub(super) topic: Subject,
    pub(super) envelope: Envelope,
    pub(super) token: T,
    /// How many outcomes had been taken when it was accepted.
    pub(super) taken: u64,
    /// How often it was published.
    pub(super) attempts: u32,
    /// When its turn came first.
    pub(super) since: Option<Instant>,
    /// An attempt after which it may be stored.
    pub(super) unknown: Option<Unknown>,
}

impl<T> Shared<T> {
    pub(super) fn new(most: usize) -> Self {
        let intake = Intake {
            accepted: VecDeque::new(),
            used: 0,
            untold: 0,
            taken: 0,
            stage: Stage::Open,
            has_rung: false,
            is_idle: false,
            waiting: 0,
        };
        let told = Told { outcomes: Vec::new(), has_ended: false, is_abandoned: false };
        Self {
            intake: Watched::new(intake),
            told: Watched::new(told),
            most,
            thread: OnceLock::new(),
        }
    }

    /// To be called by the publisher's thread before anything else.
    pub(super) fn is_this_thread(&self) {
        let _ = self.thread.set(thread::current().id());
    }

    pub(super) fn on_its_thread(&self) -> bool {
        self.thread.get() == Some(&thread::current().id())
    }

    /// Takes room for an event and its outcome; waits for room until `deadline`, if there is one.
    pub(super) fn reserve(
        &self,
        deadline: Option<Instant>,
    ) -> Result<WatchedGuard<'_, Intake<T>>, PublishError> {
        let mut intake = self.intake.lock();
        if intake.used >= self.most
            && intake.stage == Stage::Open
            && let Some(deadline) = deadline
        {
            intake.waiting += 1;
            drop(intake);
            let is_ready =
                |intake: &Intake<T>| intake.used < self.most || intake.stage != Stage::Open;
            intake = self.intake.wait(Some(deadline), is_ready);
            intake.waiting -= 1;
        }
        if intake.stage != Stage::Open {
            return Err(closed());
        }
        if intake.used >= self.most {
            return Err(PublishError::Outcomes { most: self.most });
        }
        intake.used += 1;
        intake.untold += 1;
        Ok(intake)
    }

    /// An event that was accepted is none after all.
    pub(super) fn take_back(&self) {
        self.intake.change(|intake| {
            intake.used -= 1;
            intake.untold -= 1;
        });
    }

    /// Accepts an event that is to be published.
    pub(super) fn enter(
        &self,
        mut event: Box<Event<T>>,
        deadline: Option<Instant>,
    ) -> Result<(), PublishError> {
        let intake = self.reserve(deadline)?;
        event.taken = intake.taken;
        self.push(intake, Accepted::Event(event));
        Ok(())
    }

    /// The caller has published an event that room was taken for.
    pub(super) fn fly(&self, ticket: Ticket, token: T) {
        self.push(self.intake.lock(), Accepted::Flying(ticket, token));
    }

    /// Wakes the thread only if nothing else will: under load that is once a burst.
    fn push(&self, mut intake: WatchedGuard<'_, Intake<T>>, accepted: Accepted<T>) {
        intake.accepted.push_back(accepted);
        let wakes = mem::take(&mut intake.is_idle);
        drop(intake);
        if wakes {
            self.intake.change(|_| ());
        }
    }

    /// Somebody has so many outcomes in hand: there is room for as many events.
    pub(super) fn release(&self, count: usize) {
        let somebody_waits = {
            let mut intake = self.intake.lock();
            intake.used -= count;
            intake.taken += count as u64;
            intake.waiting > 0
        };
        if somebody_waits {
            self.intake.change(|_| ());
        }
    }

    pub(super) fn go_on_to(&self, stage: Stage) {
        self.intake.change(|intake| intake.stage = intake.stage.max(stage));
    }

    /// Waits until every event has its outcome, and cuts short what has none at `deadline`: returns how many those are.
    pub(super) fn finish(&self, deadline: Instant) -> usize {
        self.go_on_to(Stage::Closing);
        // Its own thread would wait for itself.
        if !self.on_its_thread() {
            drop(self.told.wait(Some(deadline), |told| told.has_ended));
        }
        let untold = self.intake.lock().untold;
        if untold > 0 {
            self.go_on_to(Stage::Cut);
        }
        untold
    }
}

pub(super) fn closed() -> PublishError {
    jetlane_jetstream::PublishError::from(jetlane_client::PublishError::Closed).into()
}

/// A publisher of any kind of token, as its bus sees it.
pub(crate) trait Finish: Send + Sync {
    /// Accepts nothing more.
    fn close(&self);
    /// As [`Shared::finish`].
    fn finish(&self, deadline: Instant) -> usize;
}

impl<T: Send> Finish for Shared<T> {
    fn close(&self) {
        self.go_on_to(Stage::Closing);
    }

    fn finish(&self, deadline: Instant) -> usize {
        Shared::finish(self, deadline)
    }
}
