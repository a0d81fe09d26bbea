// What the handles and the reactor of one connection share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jetlane_proto::{Limits, ServerInfo};
use jetlane_ring::WakeGate;
use parking_lot::Mutex;

use crate::outbox::{Command, Outbox, OutboxState, Refusal};
use crate::stats::Counters;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) outbox: Outbox,
    pub(crate) gate: WakeGate,
    waker: mio::Waker,
    /// The server's limit for headers and payload.
    pub(crate) max_payload: AtomicUsize,
    pub(crate) info: Mutex<Arc<ServerInfo>>,
    pub(crate) counters: Counters,
    /// Why the connection was last lost, in words.
    pub(crate) last_error: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(limits: Limits, waker: mio::Waker) -> Self {
        Self {
            outbox: Outbox::new(&limits),
            limits,
            gate: WakeGate::new(),
            waker,
            max_payload: AtomicUsize::new(usize::MAX),
            info: Mutex::default(),
            counters: Counters::default(),
            last_error: Mutex::default(),
        }
    }

    /// Wakes the reactor if it sleeps. To be called after the outbox was changed, and its lock released.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.gate.must_wake() {
            self.wake_now();
        }
    }

    #[cold]
    pub(crate) fn wake_now(&self) {
        // It can only fail when the eventfd is gone, and the reactor with it.
        let _ = self.waker.wake();
    }

    /// Appends a command and wakes the reactor.
    pub(crate) fn command<R>(
        &self,
        make: impl FnOnce(&mut OutboxState) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let result = self.outbox.command(make)?;
        self.wake();
        Ok(result)
    }

    /// Asks the reactor to call the sink of `sid`.
    pub(crate) fn nudge(&self, sid: u64) {
        // A closed connection has no sinks left to nudge.
        let _ = self.command(|state| {
            state.commands.push(Command::Nudge { sid });
            Ok(())
        });
    }

    pub(crate) fn set_info(&self, info: &ServerInfo) {
        let max = usize::try_from(info.max_payload).unwrap_or(usize::MAX);
        self.max_payload.store(if max == 0 { usize::MAX } else { max }, Ordering::Relaxed);
        *self.info.lock() = Arc::new(info.clone());
    }
}
