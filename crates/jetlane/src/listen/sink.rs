use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jetlane_client::{
    Arena, CloseReason, Message, MessageRef, Out, Sink, SlowReader, SubjectFilter,
};
use jetlane_lanes::{Feeder, Key};
use parking_lot::Mutex;

use super::shared::Shared;
use crate::OrderBy;

/// Spreads the events of one topic of a listener over the lanes, on the reactor thread.
pub(super) struct ListenSink {
    /// Its topics before this one: what they stand for comes by them as well.
    pub(super) before: Vec<SubjectFilter>,
    /// All topics feed the same lanes, in the order in which events come.
    pub(super) feeder: Arc<Mutex<Feeder<Message>>>,
    pub(super) order: OrderBy,
    pub(super) shared: Arc<Shared>,
    pub(super) slow: SlowReader,
    pub(super) arena: Arena,
    /// In this turn.
    pub(super) dropped: u64,
    pub(super) is_stopped: bool,
}

impl ListenSink {
    fn push(&self, message: Message) {
        let key = self.order.key(&message).map(|key| Key::of(&key));
        match self.feeder.lock().push(key, message) {
            Ok(()) => self.shared.meters.took(),
            // It is being drained: nothing more is begun.
            Err(refused) => {
                self.shared.waiting.leave(refused.into_job().wire_len());
                self.shared.refused.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Sink for ListenSink {
    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        if self.before.iter().any(|topic| topic.matches(message.subject())) {
            return;
        }
        match self.shared.waiting.enter(message.wire_len()) {
            true => {
                let message = message.to_message(&mut self.arena);
                self.push(message);
            }
            false => self.dropped += 1,
        }
    }

    fn turn_end(&mut self, out: &mut Out<'_>) {
        self.feeder.lock().flush();
        if !self.is_stopped && self.shared.is_stopped.load(Relaxed) {
            self.is_stopped = true;
            out.unsubscribe();
        }
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            self.shared.dropped.add(dropped);
            self.slow.dropped(dropped, out);
        } else if self.shared.waiting.is_half_empty() {
            self.slow.has_caught_up();
        }
    }

    fn wants_more(&self) -> bool {
        !self.is_stopped
    }

    fn closed(&mut self, reason: CloseReason) {
        self.feeder.lock().flush();
        self.shared.end(reason);
    }
}
