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

/// Where the events of all topics of a listener come in: one feeder of its lanes, so that they stay in the order in which they came.
#[derive(Clone)]
pub(super) struct Inlet {
    shared: Arc<Shared>,
    feeder: Arc<Mutex<Feeder<Message>>>,
    order: OrderBy,
}

impl Inlet {
    pub(super) fn new(shared: Arc<Shared>, feeder: Feeder<Message>, order: OrderBy) -> Self {
        Self { shared, feeder: Arc::new(Mutex::new(feeder)), order }
    }

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

/// Takes the messages of one topic, on the reactor thread.
pub(super) struct ListenSink {
    inlet: Inlet,
    /// Topics of the listener by which some of these messages come as well, and are taken.
    twins: Vec<SubjectFilter>,
    arena: Arena,
    /// In this turn.
    dropped: u64,
    slow: SlowReader,
}

impl ListenSink {
    pub(super) fn new(inlet: Inlet, twins: Vec<SubjectFilter>, slow: SlowReader) -> Self {
        Self { inlet, twins, arena: Arena::new(), dropped: 0, slow }
    }
}

impl Sink for ListenSink {
    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        if self.twins.iter().any(|twin| twin.matches(message.subject())) {
            return;
        }
        match self.inlet.shared.waiting.enter(message.wire_len()) {
            true => self.inlet.push(message.to_message(&mut self.arena)),
            false => self.dropped += 1,
        }
    }

    fn turn_end(&mut self, out: &mut Out<'_>) {
        self.inlet.feeder.lock().flush();
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            self.inlet.shared.dropped.add(dropped);
            self.slow.dropped(dropped, out);
        } else if self.inlet.shared.waiting.is_half_empty() {
            self.slow.has_caught_up();
        }
    }

    fn closed(&mut self, reason: CloseReason) {
        self.inlet.feeder.lock().flush();
        self.inlet.shared.end(reason);
    }
}
