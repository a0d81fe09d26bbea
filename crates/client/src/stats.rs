use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The first connection does not stand yet. What is published is queued, up to `Limits::reconnect_bytes`.
    Connecting,
    /// The server is there.
    Connected,
    /// The connection was lost, and another one is tried. What is published is queued, as above.
    Reconnecting,
    /// It is being drained, and closed then: see [`crate::Client::drain`].
    Draining,
    /// Closed for good.
    Closed,
}

/// What a connection has done since it was opened, as ADR-40 counts: bytes on sockets, and messages with or without headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages published: queued by users, and written by the layers above, as acks and pull requests.
    pub messages_out: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Messages received, known subscription or not.
    pub messages_in: u64,
    /// Bytes read from sockets.
    pub bytes_in: u64,
    /// How often the connection was made anew after a loss. Moves off a lame-duck server do not count.
    pub reconnects: u64,
    /// Messages that a queued subscription had no room for.
    pub dropped: u64,
    /// How often a queued subscription was found to be too slow ([`crate::Event::SlowConsumer`]).
    pub slow_consumers: u64,
    /// Panics of inline callbacks, contained.
    pub callback_panics: u64,
}

/// The counters, written by the reactor (and by sinks on its thread) only.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Published by sinks.
    pub(crate) messages_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) slow_consumers: AtomicU64,
    pub(crate) callback_panics: AtomicU64,
    state: AtomicU8,
}

/// Adds to a counter that only this thread writes: no locked instruction.
#[inline]
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

impl Counters {
    /// `queued` are the messages that users have queued.
    pub(crate) fn read(&self, queued: u64) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            messages_out: queued + load(&self.messages_out),
            bytes_out: load(&self.bytes_out),
            messages_in: load(&self.messages_in),
            bytes_in: load(&self.bytes_in),
            reconnects: load(&self.reconnects),
            dropped: load(&self.dropped),
            slow_consumers: load(&self.slow_consumers),
            callback_panics: load(&self.callback_panics),
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Connecting,
            1 => State::Connected,
            2 => State::Reconnecting,
            3 => State::Draining,
            _ => State::Closed,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        let code = match state {
            State::Connecting => 0,
            State::Connected => 1,
            State::Reconnecting => 2,
            State::Draining => 3,
            State::Closed => 4,
        };
        self.state.store(code, Ordering::Release);
    }
}
