// Where user threads leave what the reactor is to do: encoded frames, and commands about them. One lock covers both, so
// of a SUB and a PUB from one thread the reactor sees both in order, and never a SUB without its route.

use std::mem;
use std::time::Instant;

use jetlane_proto::Limits;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::reactor::{Barrier, Route};
use crate::sids::Sids;
use crate::sink::keep_publishes;
use crate::{ServerUrl, SubmitError};

/// Commands that may wait besides frames. More only come while the connection is down or stands still.
const MAX_COMMANDS: usize = 100_000;

/// What the reactor is to do, besides writing frames.
#[derive(Debug)]
pub(crate) enum Command {
    /// A new subscription; its SUB stands among the frames.
    Subscribe { sid: u64, route: Route },
    /// The end of one; its UNSUB stands among the frames.
    Unsubscribe { sid: u64 },
    /// An end after so many messages; its UNSUB stands among the frames.
    UnsubscribeAfter { sid: u64, most: u64 },
    /// Something is to be done at the PONG to the PING that stands among the frames.
    Barrier(Barrier),
    /// All subscriptions are to be drained, and the connection closed, by then at the latest.
    Drain { deadline: Instant },
    /// What was queued before that drain has been taken.
    DrainNow,
    /// The connection is to be made anew.
    Reconnect,
    /// The servers to connect to from now on.
    SetServers(Vec<ServerUrl>),
    /// The sink of `sid` has something to do.
    Nudge { sid: u64 },
    /// Whoever drives the reactor has something to look at.
    EndTurn,
}

impl Command {
    /// True if no frames stand for it in the write queue.
    pub(crate) fn is_bare(&self) -> bool {
        match self {
            Self::Drain { .. } | Self::Reconnect | Self::SetServers(_) => true,
            Self::Nudge { .. } | Self::EndTurn => true,
            Self::Subscribe { .. } | Self::Unsubscribe { .. } | Self::UnsubscribeAfter { .. } => {
                false
            }
            Self::Barrier(_) | Self::DrainNow => false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct WriteQueue {
    state: Mutex<WriteQueueState>,
    /// Signalled when there is room again, or the write queue was closed.
    room: Condvar,
    limits: Bounds,
}

/// How many bytes may be queued.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    connected: usize,
    down: usize,
}

#[derive(Debug, Default)]
pub(crate) struct WriteQueueState {
    /// Whole frames. `bytes.len() + held_back <= limit`, but for a single larger frame while connected.
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: Vec<Command>,
    pub(crate) sids: Sids,
    /// How many bytes may be queued now.
    limit: usize,
    /// Bytes that a lost connection left unwritten, and that go before `bytes`.
    pub(crate) held_back: usize,
    /// Messages published since the connection was opened.
    pub(crate) published: u64,
    /// Those among them that nothing but a flush confirms.
    pub(crate) plain: u64,
    /// Some of those may have been lost with a connection, and nobody was told: the next flush tells.
    pub(crate) lost: bool,
    /// Set when no more is accepted: by when what is queued must have been written.
    pub(crate) closing: Option<Instant>,
    /// Threads that wait for room.
    waiting: usize,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The write queue accepts nothing any more.
    Closed,
    /// Too many commands wait.
    Full,
}

impl WriteQueue {
    pub(crate) fn new(limits: &Limits) -> Self {
        let sids = Sids::new(limits.subscriptions);
        Self {
            state: Mutex::new(WriteQueueState {
                sids,
                limit: limits.reconnect_bytes,
                ..WriteQueueState::default()
            }),
            room: Condvar::new(),
            limits: Bounds {
                connected: limits.write_queue_bytes.max(1),
                down: limits.reconnect_bytes,
            },
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, WriteQueueState> {
        self.state.lock()
    }

    /// Lets `encode` append the frames of a message, of about `len` bytes, if there is room.
    #[inline]
    pub(crate) fn try_submit<R, E>(
        &self,
        len: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<R, E>,
    ) -> Result<R, SubmitError<E>> {
        self.try_submit_many::<false, _, _>(len, |bytes, _| Ok((encode(bytes)?, 1)))
    }

    /// As [`WriteQueue::try_submit`], for a message that nothing but a flush confirms.
    #[inline]
    pub(crate) fn try_publish<R, E>(
        &self,
        len: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<R, E>,
    ) -> Result<R, SubmitError<E>> {
        self.try_submit_many::<true, _, _>(len, |bytes, _| Ok((encode(bytes)?, 1)))
    }

    /// Lets `encode` append frames, at least one of about `len` bytes, if there is room: as many as fit into the bytes it is told. It
    /// says how many messages it has appended, which are `PLAIN` if nothing but a flush confirms them.
    #[inline]
    pub(crate) fn try_submit_many<const PLAIN: bool, R, E>(
        &self,
        len: usize,
        encode: impl FnOnce(&mut Vec<u8>, usize) -> Result<(R, u64), E>,
    ) -> Result<R, SubmitError<E>> {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Err(SubmitError::Closed);
        }
        if state.is_full(len) {
            return Err(if state.limit == 0 {
                SubmitError::Disconnected
            } else {
                SubmitError::Full
            });
        }
        let room = state.limit.saturating_sub(state.bytes.len() + state.held_back);
        let mut frames = Frames { len: state.bytes.len(), bytes: &mut state.bytes };
        let (result, messages) = encode(frames.bytes, room).map_err(SubmitError::Encode)?;
        frames.len = frames.bytes.len();
        drop(frames);
        state.published += messages;
        state.plain += if PLAIN { messages } else { 0 };
        Ok(result)
    }

    /// Sleeps until frames of `len` bytes may fit, or `deadline` has passed. False if it has.
    #[cold]
    pub(crate) fn wait_for_room(&self, len: usize, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.closing.is_none() && state.is_full(len) {
            state.waiting += 1;
            let timed_out = self.room.wait_until(&mut state, deadline).timed_out();
            state.waiting -= 1;
            if timed_out {
                return false;
            }
        }
        true
    }

    /// Appends a command however many wait, with its frames: for those that nobody makes many of, and that must not get lost.
    /// False if nothing is accepted any more.
    pub(crate) fn tell(&self, append: impl FnOnce(&mut WriteQueueState)) -> bool {
        let mut state = self.state.lock();
        let is_open = state.closing.is_none();
        if is_open {
            append(&mut state);
        }
        is_open
    }

    /// Appends a command with its frames, unless too many wait. They are small: only their number is bounded.
    pub(crate) fn command<R>(
        &self,
        make: impl FnOnce(&mut WriteQueueState) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Err(Refusal::Closed);
        }
        if state.commands.len() >= MAX_COMMANDS {
            return Err(Refusal::Full);
        }
        make(&mut state)
    }

    /// Takes all frames into `bytes`, which is empty, and all commands into `commands`. Returns how many messages that only a flush
    /// confirms were taken so far.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>, commands: &mut Vec<Command>) -> u64 {
        debug_assert!(bytes.is_empty());
        let mut state = self.state.lock();
        mem::swap(&mut state.bytes, bytes);
        commands.append(&mut state.commands);
        self.notify_room(&state);
        state.plain
    }

    /// Takes the commands that have no frames. For a socket that stands still: what a new subscription's sink writes at once must
    /// not overtake its SUB.
    pub(crate) fn take_ready_commands(&self, commands: &mut Vec<Command>) {
        let mut state = self.state.lock();
        if state.commands.iter().any(Command::is_bare) {
            let (bare, others) =
                mem::take(&mut state.commands).into_iter().partition(Command::is_bare);
            state.commands = others;
            commands.extend::<Vec<_>>(bare);
        }
    }

    /// Takes the commands while there is no connection, and drops their frames: the next one is told by the routes.
    pub(crate) fn take_commands(&self, commands: &mut Vec<Command>) {
        let mut state = self.state.lock();
        if !state.commands.is_empty() {
            commands.append(&mut state.commands);
            let frames = mem::take(&mut state.bytes);
            keep_publishes(&mut state.bytes, &frames);
        }
    }

    /// Accepts nothing more from now on. What is queued is to be written until `deadline`.
    pub(crate) fn close(&self, deadline: Instant) {
        let mut state = self.state.lock();
        // The first one to close decides how long it may take, the later ones may shorten it.
        state.closing = Some(state.closing.map_or(deadline, |earlier| earlier.min(deadline)));
        self.room.notify_all();
    }

    /// The connection stands, or does not: another limit holds.
    pub(crate) fn set_connected(&self, state: &mut WriteQueueState, connected: bool) {
        state.limit = if connected { self.limits.connected } else { self.limits.down };
        self.notify_room(state);
    }

    fn notify_room(&self, state: &WriteQueueState) {
        if state.waiting > 0 {
            self.room.notify_all();
        }
    }
}

impl WriteQueueState {
    #[inline]
    fn is_full(&self, len: usize) -> bool {
        // A frame larger than the limit must go somehow: alone.
        let queued = self.bytes.len() + self.held_back;
        queued + len > self.limit && (queued > 0 || self.limit == 0)
    }
}

/// The frames under an encoder's hands. What it has written is cut off again unless it ended well: half a frame would
/// cost the whole connection, and every message behind it.
struct Frames<'a> {
    bytes: &'a mut Vec<u8>,
    /// Whole frames.
    len: usize,
}

impl Drop for Frames<'_> {
    #[inline]
    fn drop(&mut self) {
        self.bytes.truncate(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_socket_stands_still_only_commands_without_frames_are_taken() {
        let write_queue = WriteQueue::new(&Limits::default());
        let queued = write_queue.command(|state| {
            // Its UNSUB stays among the frames, as the SUB of a new subscription does: nothing may overtake it.
            state.bytes.extend_from_slice(b"UNSUB 1\r\n");
            state.commands.push(Command::Unsubscribe { sid: 1 });
            state.commands.push(Command::Nudge { sid: 2 });
            state.commands.push(Command::EndTurn);
            Ok(())
        });
        assert_eq!(queued, Ok(()));
        let mut taken = Vec::new();
        write_queue.take_ready_commands(&mut taken);
        assert!(matches!(taken[..], [Command::Nudge { sid: 2 }, Command::EndTurn]), "{taken:?}");
        let (mut frames, mut rest) = (Vec::new(), Vec::new());
        write_queue.take(&mut frames, &mut rest);
        assert_eq!(frames, b"UNSUB 1\r\n");
        assert!(matches!(rest[..], [Command::Unsubscribe { sid: 1 }]), "{rest:?}");
    }
}
