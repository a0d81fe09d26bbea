// Where user threads leave what the reactor is to do: encoded frames, and commands about them. One lock covers both, so
// of a SUB and a PUB from one thread the reactor sees both in order, and never a SUB without its route.

use std::time::Instant;

use jetlane_proto::Limits;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::pending::Resolver;
use crate::reactor::Route;
use crate::{FlushError, SubmitError};

/// What the reactor is to do, besides writing frames.
#[derive(Debug)]
pub(crate) enum Command {
    /// A new subscription; its SUB stands among the frames.
    Subscribe { sid: u64, route: Route },
    /// The end of one; its UNSUB stands among the frames.
    Unsubscribe { sid: u64 },
    /// Somebody waits for the PONG to the PING that stands among the frames.
    Flush { done: Resolver<Result<(), FlushError>> },
    /// The sink of `sid` has something to do.
    Nudge { sid: u64 },
}

#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<OutboxState>,
    /// Signalled when `bytes` was taken, or the outbox was closed.
    room: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
pub(crate) struct OutboxState {
    /// Whole frames. `bytes.len() <= limit`, but for a single larger frame.
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: Vec<Command>,
    pub(crate) sids: Sids,
    /// Messages published since the connection was opened.
    pub(crate) published: u64,
    /// Set when no more is accepted: by when what is queued must have been written.
    pub(crate) closing: Option<Instant>,
    /// Threads that wait for room.
    waiting: usize,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        let sids = Sids { limit: limits.subscriptions, ..Sids::default() };
        Self {
            state: Mutex::new(OutboxState { sids, ..OutboxState::default() }),
            room: Condvar::new(),
            limit: limits.outbox_bytes,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock()
    }

    /// Lets `encode` append frames of about `len` bytes, if there is room.
    #[inline]
    pub(crate) fn try_submit<R, E>(
        &self,
        len: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<R, E>,
    ) -> Result<R, SubmitError<E>> {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Err(SubmitError::Closed);
        }
        if state.is_full(len, self.limit) {
            return Err(SubmitError::Full);
        }
        let result = encode(&mut state.bytes).map_err(SubmitError::Encode)?;
        state.published += 1;
        Ok(result)
    }

    /// Sleeps until frames of `len` bytes may fit, or `deadline` has passed. False if it has.
    #[cold]
    pub(crate) fn wait_for_room(&self, len: usize, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.closing.is_none() && state.is_full(len, self.limit) {
            state.waiting += 1;
            let timed_out = self.room.wait_until(&mut state, deadline).timed_out();
            state.waiting -= 1;
            if timed_out {
                return false;
            }
        }
        true
    }

    /// Appends a command with its frames, whether there is room or not: they are few and small.
    pub(crate) fn command<R>(
        &self,
        make: impl FnOnce(&mut OutboxState) -> Result<R, Closed>,
    ) -> Result<R, Closed> {
        let mut state = self.state.lock();
        if state.closing.is_some() { Err(Closed) } else { make(&mut state) }
    }

    /// Takes all frames into `bytes`, which is empty, and all commands into `commands`.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>, commands: &mut Vec<Command>) {
        debug_assert!(bytes.is_empty());
        let mut state = self.state.lock();
        std::mem::swap(&mut state.bytes, bytes);
        commands.append(&mut state.commands);
        self.notify_room(&state);
    }

    /// Takes the commands only.
    pub(crate) fn take_commands(&self, commands: &mut Vec<Command>) {
        commands.append(&mut self.state.lock().commands);
    }

    /// Accepts nothing more from now on. What is queued is to be written until `deadline`.
    pub(crate) fn close(&self, deadline: Instant) {
        let mut state = self.state.lock();
        // The first one to close decides how long it may take, the later ones may shorten it.
        state.closing = Some(state.closing.map_or(deadline, |earlier| earlier.min(deadline)));
        self.room.notify_all();
    }

    pub(crate) fn notify_room(&self, state: &OutboxState) {
        if state.waiting > 0 {
            self.room.notify_all();
        }
    }
}

/// The outbox accepts nothing any more.
#[derive(Debug)]
pub(crate) struct Closed;

impl OutboxState {
    #[inline]
    fn is_full(&self, len: usize, limit: usize) -> bool {
        // A frame larger than the limit must go somehow: alone.
        self.bytes.len() + len > limit && !self.bytes.is_empty()
    }
}

/// Hands out subscription numbers. The lower 20 bits are the place of the route in its table; the rest counts how
/// often the place was used, so that late messages of a former subscription are told apart.
#[derive(Debug, Default)]
pub(crate) struct Sids {
    free: Vec<u64>,
    used: u64,
    limit: usize,
}

const INDEX_BITS: u32 = 20;

impl Sids {
    /// A number for a new subscription; `None` if there are too many. Places begin at 1: nobody expects a sid of 0.
    pub(crate) fn take(&mut self) -> Option<u64> {
        if let Some(sid) = self.free.pop() {
            return Some(sid);
        }
        let next = self.used + 1;
        if usize::try_from(self.used).is_ok_and(|used| used >= self.limit)
            || next >> INDEX_BITS != 0
        {
            return None;
        }
        self.used = next;
        Some(next)
    }

    /// `sid` is used no more; its place may be, with another number.
    pub(crate) fn give_back(&mut self, sid: u64) {
        self.free.push(sid.wrapping_add(1 << INDEX_BITS));
    }

    pub(crate) fn index(sid: u64) -> usize {
        usize::try_from(sid & ((1 << INDEX_BITS) - 1)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_are_dense_and_never_mistaken_for_their_predecessors() {
        let mut sids = Sids { limit: 3, ..Sids::default() };
        let first: Vec<_> = (0..3).map(|_| sids.take().unwrap()).collect();
        assert_eq!(first, [1, 2, 3]);
        assert_eq!(sids.take(), None);
        sids.give_back(2);
        let again = sids.take().unwrap();
        assert_ne!(again, 2);
        assert_eq!(Sids::index(again), 2);
    }
}
