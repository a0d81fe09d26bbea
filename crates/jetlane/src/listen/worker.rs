use std::fmt;
use std::sync::Arc;

use jetlane_client::{Containment, Message};
use jetlane_lanes::Step;

use super::shared::Shared;
use crate::letters::redrive::Redrive;
use crate::subscribe::{Handled, Handlers};
use crate::{RawEvent, Verdict};

pub(super) type OnFailure = dyn Fn(&RawEvent<'_>, &str) + Send + Sync;

/// What a lane does: handles events, once each.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) task: Arc<Task>,
}

/// What all lanes of a listener do.
pub(super) struct Task {
    pub(super) handlers: Handlers,
    pub(super) on_failure: Option<Box<OnFailure>>,
    pub(super) containment: Containment,
}

impl Worker {
    fn handle(&self, event: &RawEvent<'_>) {
        match self.task.handlers.handle(event, &self.shared.meters) {
            Handled::With(Verdict::Done) => self.shared.handled.add_one(),
            Handled::With(Verdict::Retry { reason, .. } | Verdict::Reject { reason }) => {
                self.fail(event, &reason);
            }
            _ => self.shared.passed_over.add_one(),
        }
    }

    #[cold]
    fn fail(&self, event: &RawEvent<'_>, reason: &str) {
        self.shared.failed.add_one();
        self.shared.note_error(reason);
        if let Some(on_failure) = &self.task.on_failure {
            self.task.containment.call(|| on_failure(event, reason));
        }
    }

    fn finish(&self, message: &Message) -> Step {
        self.shared.waiting.leave(message.wire_len());
        self.shared.meters.settled();
        Step::Done
    }
}

impl jetlane_lanes::Worker for Worker {
    type Job = Message;

    fn run(&mut self, message: &mut Message, _: u32) -> Step {
        // What is redriven is for one subscription, and is no news.
        match Redrive::of(message).is_some() {
            true => self.shared.passed_over.add_one(),
            false => self.handle(&RawEvent::heard(message)),
        }
        self.finish(message)
    }

    fn panicked(&mut self, message: &mut Message, _: u32, what: &str) -> Step {
        self.shared.panics.add_one();
        let reason = format!("the handler panicked: {what}");
        self.fail(&RawEvent::heard(message), &reason);
        self.finish(message)
    }

    // Nothing gathers here.
    fn pause(&mut self) {}
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("handlers", &self.handlers).finish_non_exhaustive()
    }
}
