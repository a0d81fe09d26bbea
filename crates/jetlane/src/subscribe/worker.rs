use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jetlane_jetstream::{Held, Settle, Ticket};
use jetlane_lanes::Step;

use super::dead::{Dying, LOOK, Writer};
use super::handler::{Handler, Handlers, RawEvent};
use super::shared::Shared;
use crate::{Envelope, Verdict};

/// An event that no handler here is for goes back for this long: another process may have one.
const NOT_OURS: Duration = Duration::from_secs(1);

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
    fn after(self, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }
}

/// An event on its lane.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) held: Held,
    /// Set once it is given up, and its dead letter is to be written.
    dying: Option<Dying>,
}

impl Job {
    pub(super) fn new(held: Held) -> Self {
        Self { held, dying: None }
    }
}

/// What a lane does: handles events, and settles each as soon as its handler has returned.
#[derive(Debug)]
pub(super) struct Worker {
    lane: usize,
    handlers: Arc<Handlers>,
    shared: Arc<Shared>,
    failure: Failure,
}

/// What becomes of events that fail.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) pace: Pace,
    /// `None` where they are tried for ever.
    pub(super) dead: Option<Writer>,
}

impl Worker {
    pub(super) fn new(
        lane: usize,
        handlers: Arc<Handlers>,
        shared: Arc<Shared>,
        failure: Failure,
    ) -> Self {
        Self { lane, handlers, shared, failure }
    }

    fn handle(handler: &Handler, held: &Held) -> Verdict {
        match handler {
            Handler::Envelope(handler) => match Envelope::read(&held.message) {
                Ok(event) => handler(&event),
                Err(error) => Verdict::Reject { reason: error.to_string() },
            },
            Handler::Raw(handler) => {
                let delivery = &held.delivery;
                let (sequence, delivered) = (delivery.stream_sequence, delivery.delivered);
                handler(&RawEvent::new(&held.message, sequence, delivered))
            }
        }
    }

    fn conclude(&self, job: &mut Job, attempt: u32, verdict: Verdict) -> Step {
        let counts = &self.shared.counts;
        let Failure { pace, dead } = &self.failure;
        match verdict {
            Verdict::Done => {
                counts.handled.fetch_add(1, Relaxed);
                self.settle(job, Settle::Ack)
            }
            Verdict::Reject { reason } => {
                counts.rejected.fetch_add(1, Relaxed);
                self.shared.note_error(&reason);
                if let Some(writer) = dead {
                    job.dying = Some(Dying::new(reason, attempt));
                    return self.bury(job, writer);
                }
                // The reason becomes part of a protocol line's payload and of an advisory: one line is enough.
                let reason = reason.replace(['\r', '\n'], " ");
                self.settle(job, Settle::Term { reason })
            }
            Verdict::Retry { after, reason } => {
                self.shared.note_error(&reason);
                if let Some(writer) = dead.as_ref().filter(|writer| writer.takes_after(attempt)) {
                    job.dying = Some(Dying::new(reason, attempt));
                    return self.bury(job, writer);
                }
                counts.retried.fetch_add(1, Relaxed);
                Step::Again { after: after.unwrap_or_else(|| pace.after(attempt)) }
            }
        }
    }

    /// Writes the dead letter of an event, and settles the event once the letter is stored: not before, as nothing may be lost
    /// between the two. Meanwhile its key waits, and the lane does not.
    fn bury(&self, job: &mut Job, writer: &Writer) -> Step {
        let Some(dying) = &mut job.dying else { return Step::Done };
        if dying.ticket.is_none() {
            match writer.write(&job.held, dying) {
                Ok(ticket) => dying.ticket = Some(ticket),
                Err(error) => return self.bury_later(dying, &error),
            }
        }
        match dying.ticket.as_mut().and_then(Ticket::try_take) {
            None => Step::Again { after: LOOK },
            Some(Ok(_)) => {
                self.shared.counts.dead_lettered.fetch_add(1, Relaxed);
                self.settle(job, Settle::Ack)
            }
            Some(Err(error)) => self.bury_later(dying, &error.to_string()),
        }
    }

    fn bury_later(&self, dying: &mut Dying, error: &str) -> Step {
        self.shared.note_error(&format!("the dead letter can not be stored: {error}"));
        dying.ticket = None;
        dying.failed = dying.failed.saturating_add(1);
        Step::Again { after: self.failure.pace.after(dying.failed) }
    }

    fn settle(&self, job: &Job, settle: Settle) -> Step {
        self.shared.end_work(self.lane, job.held.receipt, settle);
        Step::Done
    }
}

impl jetlane_lanes::Worker for Worker {
    type Job = Job;

    fn run(&mut self, job: &mut Job, attempt: u32) -> Step {
        self.shared.begin_work(self.lane, job.held.receipt);
        if let (Some(_), Some(writer)) = (&job.dying, &self.failure.dead) {
            return self.bury(job, writer);
        }
        let verdict = match self.handlers.find(job.held.message.subject_bytes()) {
            Some(handler) => Self::handle(handler, &job.held),
            None => return self.settle(job, Settle::Nak { delay: NOT_OURS }),
        };
        self.conclude(job, attempt, verdict)
    }

    fn panicked(&mut self, job: &mut Job, attempt: u32, message: &str) -> Step {
        self.shared.counts.panics.fetch_add(1, Relaxed);
        let reason = format!("the handler panicked: {message}");
        self.conclude(job, attempt, Verdict::Retry { after: None, reason })
    }

    // Nothing gathers here.
    fn pause(&mut self) {}
}
