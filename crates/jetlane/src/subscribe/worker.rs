use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jetlane_jetstream::{Held, Settle};
use jetlane_lanes::Step;

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
}

/// What a lane does: handles events, and settles each as soon as its handler has returned.
#[derive(Debug)]
pub(super) struct Worker {
    lane: usize,
    handlers: Arc<Handlers>,
    shared: Arc<Shared>,
    pace: Pace,
}

impl Worker {
    pub(super) fn new(
        lane: usize,
        handlers: Arc<Handlers>,
        shared: Arc<Shared>,
        pace: Pace,
    ) -> Self {
        Self { lane, handlers, shared, pace }
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

    fn conclude(&self, job: &Job, attempt: u32, verdict: Verdict) -> Step {
        let counts = &self.shared.counts;
        match verdict {
            Verdict::Done => {
                counts.handled.fetch_add(1, Relaxed);
                self.settle(job, Settle::Ack)
            }
            Verdict::Reject { reason } => {
                counts.rejected.fetch_add(1, Relaxed);
                self.shared.note_error(&reason);
                // The reason becomes part of a protocol line's payload and of an advisory: one line is enough.
                let reason = reason.replace(['\r', '\n'], " ");
                self.settle(job, Settle::Term { reason })
            }
            Verdict::Retry { after, reason } => {
                counts.retried.fetch_add(1, Relaxed);
                self.shared.note_error(&reason);
                Step::Again { after: after.unwrap_or_else(|| self.pace.after(attempt)) }
            }
        }
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
