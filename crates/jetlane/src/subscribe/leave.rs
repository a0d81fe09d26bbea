//! The ways of an event that is not handled here, or not now: to a letter, or past.

use std::time::Duration;

use jetlane_jetstream::{Held, Settle, Ticket};
use jetlane_lanes::Step;

use super::letter::{Kind, Leaver};
use super::park::{self, Way};
use super::policy::{Job, Phase, token_of};
use super::worker::Worker;
use crate::letters::redrive::Redrive;
use crate::letters::token::NO_KEY;

/// How soon the ack of a letter is looked for.
const ACK_LOOK: Duration = Duration::from_millis(2);

impl Worker {
    /// What is to be done with an event that may be none for a handler; `None` if it is one.
    #[cold]
    pub(super) fn prepare_special(&self, job: &mut Job) -> Option<Step> {
        let policy = &self.task.policy;
        let is_tired = |held: &Held| policy.has_had_its_chances(held.delivery.delivered);
        // Events that are no others' business, or leave, are looked at one by one.
        let is_any_tired = || [&job.held].into_iter().chain(job.behind()).any(is_tired);
        if job.can_be_split() && (self.shared.parked.any() || is_any_tired()) {
            job.split();
        }
        let redrive = Redrive::of(&job.held.message);
        if let Some(redrive) = redrive {
            if redrive.subscription != self.task.name.as_bytes() {
                self.shared.counts.passed_over.add_one();
                return Some(self.settle(job, Settle::Ack));
            }
            if let Some(through) = redrive.end {
                return Some(self.end_redrive(job, through));
            }
        }
        let way = way(redrive);
        if self.task.parking.is_some() && self.shared.parked.takes(&self.token(job), way) {
            job.leave(Kind::Parked, "an earlier event of its aggregate is parked".into());
            return Some(self.send_off(job));
        }
        let delivered = job.held.delivery.delivered;
        if self.task.policy.has_had_its_chances(delivered) {
            let earlier = delivered.saturating_sub(1);
            let reason = format!("it was delivered {earlier} times, and never settled");
            job.leave(Kind::Dead, reason);
            return Some(self.send_off(job));
        }
        None
    }

    /// The marker behind what was redriven of a parked key.
    fn end_redrive(&self, job: &mut Job, through: u64) -> Step {
        let (Some(place), token) = (&self.task.parking, self.token(job)) else {
            return self.settle(job, Settle::Ack);
        };
        if token == NO_KEY {
            // Events without a key are parked each by itself: they are not what this marker is about.
            self.shared.note_error("a marker of a redrive has no key");
            return self.settle(job, Settle::Ack);
        }
        let forgotten = self.task.writer.bus().and_then(|bus| {
            let subject = format!("{}.{token}", place.prefix);
            let forgotten = park::forget(bus.jetstream(), &place.stream, &subject, through);
            forgotten.map_err(|error| error.to_string())
        });
        match forgotten {
            Ok(()) => {
                self.shared.parked.end_redrive(&token, through);
                self.settle(job, Settle::Ack)
            }
            Err(error) => {
                self.shared.note_error(&format!("parked events can not be deleted: {error}"));
                Step::Again { after: self.task.policy.pace.first }
            }
        }
    }

    /// Writes the letter of an event, and settles the event once the letter is stored: not before, as nothing may be lost
    /// between the two. Meanwhile its key waits, and the lane does not.
    #[cold]
    pub(super) fn send_off(&self, job: &mut Job) -> Step {
        // A letter is of one event, and settles no other.
        if job.can_be_split() {
            job.split();
            return Step::Again { after: Duration::ZERO };
        }
        let key = self.task.order.key(&job.held.message);
        let token = token_of(key.as_deref());
        let leaver = Leaver::held(&job.held, key.as_deref());
        let Phase::Leaving(leaving) = &mut job.phase else { return Step::Done };
        let kind = leaving.story.kind;
        if leaving.ticket.is_none() {
            let parked =
                self.task.parking.as_ref().map(|place| format!("{}.{token}", place.prefix));
            let parked = parked.unwrap_or_default();
            let subject = self.task.policy.letter_subject(kind, leaver.subject, &parked);
            match self.task.writer.write(&subject, &leaver, &leaving.story) {
                Ok(ticket) => leaving.ticket = Some(ticket),
                Err(error) => return self.send_off_later(job, &error),
            }
        }
        let Phase::Leaving(leaving) = &mut job.phase else { return Step::Done };
        match leaving.ticket.as_mut().and_then(Ticket::try_take) {
            None => Step::Again { after: ACK_LOOK },
            Some(Ok(stored)) => {
                let way = way(Redrive::of(&job.held.message));
                let counts = &self.shared.counts;
                match kind {
                    Kind::Dead => counts.dead_lettered.add_one(),
                    Kind::Parked => {
                        self.shared.parked.note(&token, stored.sequence, way);
                        counts.parked.add_one()
                    }
                };
                self.settle(job, Settle::Ack)
            }
            Some(Err(error)) => self.send_off_later(job, &error.to_string()),
        }
    }

    fn send_off_later(&self, job: &mut Job, error: &str) -> Step {
        self.shared.note_error(&format!("a letter can not be stored: {error}"));
        let Phase::Leaving(leaving) = &mut job.phase else { return Step::Done };
        leaving.ticket = None;
        leaving.failed = leaving.failed.saturating_add(1);
        let after = self.task.policy.pace.after(leaving.failed);
        let reason = format!("{} (its letter can not be stored: {error})", leaving.story.reason);
        self.shared.stalled.note(&job.held, leaving.story.attempts, &reason);
        Step::Again { after }
    }

    /// The token of the event's key.
    fn token(&self, job: &Job) -> String {
        token_of(self.task.order.key(&job.held.message).as_deref())
    }
}

fn way(redrive: Option<Redrive<'_>>) -> Way {
    match redrive {
        // A dead letter that was redriven stands behind nothing.
        Some(redrive) => Way::Redriven { through: redrive.through.unwrap_or(u64::MAX) },
        None => Way::Fresh,
    }
}
