use std::sync::Arc;

use jetlane_client::CloseReason;
use jetlane_jetstream::{Held, PullEvent, Taker};
use jetlane_lanes::{Feeder, Key};

use super::order::OrderBy;
use super::policy::Job;
use super::shared::Shared;

/// Spreads the events of a consumer over the lanes, on the reactor thread.
#[derive(Debug)]
pub(super) struct LaneTaker {
    /// `None` once it is over.
    feeder: Option<Feeder<Job>>,
    order: OrderBy,
    shared: Arc<Shared>,
}

impl LaneTaker {
    pub(super) fn new(feeder: Feeder<Job>, order: OrderBy, shared: Arc<Shared>) -> Self {
        Self { feeder: Some(feeder), order, shared }
    }
}

impl Taker for LaneTaker {
    fn take(&mut self, held: Held) {
        let key = self.order.key(&held.message).map(|key| Key::of(&key));
        let receipt = held.receipt;
        let taken = match &mut self.feeder {
            Some(feeder) => feeder.push(key, Job::new(held)).is_ok(),
            None => false,
        };
        // Lanes that are being drained take nothing: the event goes back with what they have not begun, in order. They are
        // never full: what bounds them is what the consumption holds.
        match taken {
            true => self.shared.meters.took(),
            false => self.shared.refuse(receipt),
        }
    }

    fn turn_end(&mut self) {
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
