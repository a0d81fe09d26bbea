use std::sync::Arc;

use jetlane_client::CloseReason;
use jetlane_jetstream::{Held, PullEvent, Taker};
use jetlane_lanes::{Feeder, Key};

use super::batch::Groups;
use super::policy::Job;
use super::shared::Shared;
use super::worker::Task;
use crate::letters::redrive::Redrive;

/// Spreads the events of a consumer over the lanes, on the reactor thread.
#[derive(Debug)]
pub(super) struct LaneTaker {
    /// `None` once it is over.
    feeder: Option<Feeder<Job>>,
    task: Arc<Task>,
    shared: Arc<Shared>,
    groups: Groups,
}

impl LaneTaker {
    pub(super) fn new(feeder: Feeder<Job>, task: Arc<Task>, shared: Arc<Shared>) -> Self {
        Self { feeder: Some(feeder), task, shared, groups: Groups::default() }
    }

    #[inline]
    fn push(&mut self, key: Option<Key>, job: Job) {
        let events = job.count();
        // Lanes that are being drained take nothing: the event goes back with what they have not begun, in order. They are
        // never full: what bounds them is what the consumption holds.
        let refused = match &mut self.feeder {
            Some(feeder) => match feeder.push(key, job) {
                Ok(()) => return (0..events).for_each(|_| self.shared.meters.took()),
                Err(refused) => refused.into_job(),
            },
            None => job,
        };
        refused.receipts().for_each(|receipt| self.shared.refuse(receipt));
    }

    /// Where some handlers take several events at once: those of one key that come together go together.
    fn gather(&mut self, key: Option<Key>, held: Held) {
        // What was redriven is not like the others: it may have to be handled while they are parked.
        let batch = match Redrive::of(&held.message) {
            Some(_) => None,
            None => self.task.handlers.find_batch(held.message.subject_bytes()),
        };
        let ready = match batch {
            Some((handler, most)) => self.groups.add(key, handler, most, held),
            None => {
                if let Some((key, before)) = self.groups.close(key) {
                    self.push(key, before);
                }
                Some((key, Job::new(held)))
            }
        };
        if let Some((key, job)) = ready {
            self.push(key, job);
        }
    }
}

impl Taker for LaneTaker {
    #[inline]
    fn take(&mut self, held: Held) {
        let key = self.task.order.key(&held.message).map(|key| Key::of(&key));
        match self.task.handlers.has_batches() {
            false => self.push(key, Job::new(held)),
            true => self.gather(key, held),
        }
    }

    fn turn_end(&mut self) {
        if self.task.handlers.has_batches() {
            let ready: Vec<_> = self.groups.take_all().collect();
            ready.into_iter().for_each(|(key, job)| self.push(key, job));
        }
        if let Some(feeder) = &mut self.feeder {
            feeder.flush();
        }
    }

    fn event(&mut self, event: PullEvent) {
        self.shared.note_error(&format!("{event:?}"));
    }

    fn closed(&mut self, _: CloseReason) {
        self.feeder = None;
    }
}
