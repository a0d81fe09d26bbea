//! The end of a connection in order: no more messages are asked for, those that come are read, and then it is closed.

use std::time::{Duration, Instant};

use super::{Barrier, Reactor};

/// How often a drain looks whether the user has read everything.
pub(super) const DRAIN_TICK: Duration = Duration::from_millis(5);

/// A drain of the whole connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// When it must have ended.
    pub(super) deadline: Instant,
    pub(super) stage: DrainStage,
}

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainStage {
    /// What was queued before it is not taken yet: the socket stands still.
    Waits,
    /// It can begin.
    Due,
    /// The server was told, and answers when it has sent its last message.
    Told,
    /// No more messages come: only those that the user has not read yet are waited for.
    AllCame,
}

impl Reactor {
    /// Tells the server to send no more, behind all that was queued before.
    fn begin_drain(&mut self) {
        self.stop_moving();
        if let Some(link) = self.link.as_mut().filter(|link| link.is_ready()) {
            link.output.append(|frames| self.routes.unsubscribe_all(frames));
            link.output.ping();
        }
        self.set_up(Barrier::AllDrained);
    }

    /// Goes on with a drain, and closes the connection once it has come to its end.
    pub(super) fn keep_draining(&mut self) {
        // A move under way brings what is to be drained.
        let moves = self.moving.is_some();
        let due = |drain: &&mut Drain| drain.stage == DrainStage::Due && !moves;
        if let Some(drain) = self.drain.as_mut().filter(due) {
            drain.stage = DrainStage::Told;
            self.begin_drain();
        }
        let Some(Drain { deadline, stage }) = self.drain else { return };
        let is_read_out = stage == DrainStage::AllCame && self.routes.are_read_out();
        if is_read_out || self.now >= deadline {
            self.drain = None;
            self.undrained = !is_read_out;
            self.shared.write_queue.close(deadline);
        }
    }
}
