use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane_jetstream::Settle;
use jetlane_lanes::Step;

use super::breaker::{Admission, Breaker, Turn};
use super::handler::{Handled, Handlers, OnBatch, RawEvent};
use super::letter::Writer;
use super::order::OrderBy;
use super::policy::{Job, Phase, Policy, Steps};
use super::shared::Shared;
use crate::letters::redrive::Redrive;
use crate::{Verdict, seeing};

/// An event that no handler here is for goes back for this long: another process may have one.
const NOT_OURS: Duration = Duration::from_secs(1);
/// How soon it is looked again whether others wait for an event that waits itself.
const CROWD_LOOK: Duration = Duration::from_millis(5);
/// The server has this long to take note of a pause, or of its end.
const PAUSE_WAIT: Duration = Duration::from_secs(1);

/// What a lane does: handles events, and settles each as soon as its handler has returned.
#[derive(Debug)]
pub(super) struct Worker {
    lane: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) task: Arc<Task>,
}

/// What all lanes of a subscription do.
pub(super) struct Task {
    pub(super) name: String,
    pub(super) stream: String,
    pub(super) handlers: Handlers,
    pub(super) order: OrderBy,
    pub(super) policy: Policy,
    pub(super) writer: Writer,
    /// Where parked events are: the stream, and what the subjects begin with.
    pub(super) parking: Option<ParkingPlace>,
}

/// Where the parked events of a subscription are.
#[derive(Clone, Debug)]
pub(super) struct ParkingPlace {
    pub(super) stream: String,
    pub(super) prefix: String,
}

impl Worker {
    pub(super) fn new(lane: usize, shared: Arc<Shared>, task: Arc<Task>) -> Self {
        Self { lane, shared, task }
    }

    /// What is to be done with an event before its handler is asked; `None` if nothing is.
    #[inline]
    fn prepare(&self, job: &mut Job) -> Option<Step> {
        let redrive = Redrive::of(&job.held.message);
        let is_tired = self.task.policy.has_had_its_chances(job.held.delivery.delivered);
        match redrive.is_some() || is_tired || self.shared.parked.any() || job.can_be_split() {
            false => None,
            true => self.prepare_special(job),
        }
    }

    /// Handles an event, or a batch, unless nobody here is for it.
    #[inline]
    fn handle(&self, job: &Job) -> Handled<'_> {
        let event = RawEvent::delivered_by(&job.held);
        match self.task.handlers.handle(&event, &self.shared.meters) {
            Handled::Batch(handler) => Handled::With(self.handle_batch(job, handler)),
            handled => handled,
        }
    }

    /// Handles a batch, or the next one of those that go one by one.
    fn handle_batch(&self, job: &Job, handler: &OnBatch) -> Verdict {
        let together = job.behind().take(job.count() - 1);
        let all = [&job.held].into_iter().chain(together);
        let events: Vec<_> = all.map(RawEvent::delivered_by).collect();
        let _span = seeing::enter_raw(&self.task.name, &events[0]);
        let _time = self.shared.meters.begin(Some(job.held.delivery.timestamp_ns));
        handler(&events, self.task.handlers.decompress_up_to())
    }

    fn conclude(&self, job: &mut Job, verdict: Verdict) -> Step {
        let counts = &self.shared.counts;
        match verdict {
            Verdict::Done => {
                counts.handled.add(job.count() as u64);
                self.tell_breaker(|breaker| breaker.succeeded());
                self.settle(job, Settle::Ack)
            }
            // Which of them it is is found out one by one.
            Verdict::Reject { .. } if job.can_be_split() => {
                self.abstain();
                job.split();
                Step::Again { after: Duration::ZERO }
            }
            Verdict::Reject { reason } => {
                counts.rejected.add_one();
                // Whatever it needs was there to say so.
                self.tell_breaker(|breaker| breaker.succeeded());
                self.shared.note_error(&reason);
                if let Some(kind) = self.task.policy.rejects_to() {
                    self.fail(job, &reason);
                    job.leave(kind, reason);
                    return self.send_off(job);
                }
                // The reason becomes part of a protocol line's payload and of an advisory: one line is enough.
                let reason = reason.replace(['\r', '\n'], " ");
                self.settle(job, Settle::Term { reason })
            }
            Verdict::Retry { after, reason } => self.retry(job, after, reason),
        }
    }

    #[cold]
    fn retry(&self, job: &mut Job, after: Option<Duration>, reason: String) -> Step {
        let policy = &self.task.policy;
        self.shared.note_error(&reason);
        let now = Instant::now();
        // That which opens it counts, so that an event which fails alone and for good goes in the end.
        let was_open = self.shared.breaker.as_ref().is_some_and(Breaker::is_open);
        self.tell_breaker(|breaker| breaker.failed(now));
        if was_open {
            // That nothing works is not the fault of this event.
            self.shared.stalled.note(&job.held, job.failures(), &reason);
            return Step::Again { after: Duration::ZERO };
        }
        let failures = self.fail(job, &reason);
        if let Some(kind) = policy.gives_up(failures, self.shared.holds_up(job.held.receipt)) {
            if job.can_be_split() {
                job.split();
                return Step::Again { after: Duration::ZERO };
            }
            job.leave(kind, reason);
            return self.send_off(job);
        }
        self.shared.counts.retried.add_one();
        let after = after.unwrap_or_else(|| policy.pace.after(failures));
        // The clock can not count further than that.
        let until = now.checked_add(after).unwrap_or(now + Duration::from_secs(86_400));
        job.try_again(failures, until, reason);
        self.wait(job, now)
    }

    /// Takes note of a failure; how many there were.
    fn fail(&self, job: &mut Job, reason: &str) -> u32 {
        let failures = job.failures().saturating_add(1);
        self.shared.stalled.note(&job.held, failures, reason);
        job.try_again(failures, Instant::now(), String::new());
        failures
    }

    /// Waits for the next attempt. Events that others can not be acknowledged before look up meanwhile.
    fn wait(&self, job: &mut Job, now: Instant) -> Step {
        let can_be_split = job.can_be_split();
        let Phase::Retrying(retry) = &mut job.phase else {
            return Step::Again { after: Duration::ZERO };
        };
        let left = retry.until.saturating_duration_since(now);
        let policy = &self.task.policy;
        if !policy.is_in_a_hurry() {
            return Step::Again { after: left };
        }
        match policy.gives_up(retry.failures, self.shared.holds_up(job.held.receipt)) {
            None => Step::Again { after: left.min(CROWD_LOOK) },
            Some(_) if can_be_split => {
                job.split();
                Step::Again { after: Duration::ZERO }
            }
            Some(kind) => {
                let reason = std::mem::take(&mut retry.reason);
                job.leave(kind, reason);
                self.send_off(job)
            }
        }
    }

    #[inline]
    fn tell_breaker(&self, tell: impl FnOnce(&Breaker) -> Turn) {
        if let Some(breaker) = &self.shared.breaker {
            match tell(breaker) {
                Turn::Stays => {}
                turn => self.turn_consumer(turn),
            }
        }
    }

    /// Nothing was learned about whether handlers work.
    #[inline]
    fn abstain(&self) {
        if let Some(breaker) = &self.shared.breaker {
            breaker.abstained();
        }
    }

    /// Pauses the consumer for all processes that share it, or lets it go on. If the server can not be told, then this process still
    /// keeps to it.
    #[cold]
    fn turn_consumer(&self, turn: Turn) {
        let Task { name, stream, writer, .. } = &*self.task;
        let Ok(bus) = writer.bus() else { return };
        let js = bus.jetstream();
        let mut call = match turn {
            Turn::Opens(pause) => {
                let until = std::time::SystemTime::now() + pause;
                js.pause_consumer(stream, name, until)
            }
            _ => js.resume_consumer(stream, name),
        };
        if let Some(Err(error)) = call.wait_timeout(PAUSE_WAIT) {
            self.shared.note_error(&format!("the consumer can not be paused or resumed: {error}"));
        }
    }

    /// Settles an event, or all of a batch. Of a batch that goes one by one the next one is on.
    #[inline]
    pub(super) fn settle(&self, job: &mut Job, settle: Settle) -> Step {
        self.shared.stalled.resolve(&job.held);
        match job.is_alone() {
            true => {
                self.shared.end_work(self.lane, job.held.receipt, settle);
                Step::Done
            }
            false => self.settle_batch(job, settle),
        }
    }

    #[cold]
    fn settle_batch(&self, job: &mut Job, settle: Settle) -> Step {
        if job.pace() == Steps::Together {
            self.shared.end_batch(self.lane, job, &settle);
            return Step::Done;
        }
        self.shared.end_work(self.lane, job.held.receipt, settle);
        job.advance();
        Step::Again { after: Duration::ZERO }
    }
}

impl jetlane_lanes::Worker for Worker {
    type Job = Job;

    fn run(&mut self, job: &mut Job, _: u32) -> Step {
        self.shared.begin_work(self.lane, job);
        match &job.phase {
            Phase::Fresh => {
                if let Some(step) = self.prepare(job) {
                    return step;
                }
            }
            Phase::Retrying(retry) => {
                let (until, now) = (retry.until, Instant::now());
                if now < until {
                    return self.wait(job, now);
                }
            }
            Phase::Leaving(_) => return self.send_off(job),
        }
        if let Some(Admission::Wait(after)) = self.shared.breaker.as_ref().map(Breaker::admit) {
            return Step::Again { after };
        }
        match self.handle(job) {
            Handled::With(verdict) => self.conclude(job, verdict),
            // It is for others, who get it by a consumer of their own.
            Handled::OtherType => {
                self.abstain();
                self.shared.counts.passed_over.add_one();
                self.settle(job, Settle::Ack)
            }
            Handled::OtherTopic | Handled::Batch(_) => {
                self.abstain();
                self.settle(job, Settle::Nak { delay: NOT_OURS })
            }
        }
    }

    fn panicked(&mut self, job: &mut Job, _: u32, message: &str) -> Step {
        self.shared.counts.panics.add_one();
        let reason = format!("the handler panicked: {message}");
        self.conclude(job, Verdict::Retry { after: None, reason })
    }

    // Nothing gathers here.
    fn pause(&mut self) {}
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("name", &self.name).field("handlers", &self.handlers).finish()
    }
}
