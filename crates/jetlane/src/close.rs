use std::thread;
use std::time::{Duration, Instant};

use crate::EventBus;

/// How often it is looked whether the last acks have come.
const LOOK: Duration = Duration::from_millis(1);

/// What was not finished when the time of a close was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error(
    "the bus was closed with {returned} events returned unhandled, {stuck} handlers still running, \
     {unacknowledged} publishes without an outcome and {unwritten} bytes unwritten"
)]
#[non_exhaustive]
pub struct CloseError {
    /// Events that were delivered and not handled: they were given back, for others or for later.
    pub returned: usize,
    /// Lanes whose handler did not return. Their events will be delivered again.
    pub stuck: usize,
    /// Publishes that had no outcome yet; their tickets end as `Unknown`.
    pub unacknowledged: u32,
    /// Bytes of frames that were queued and never written.
    pub unwritten: usize,
}

impl EventBus {
    /// Ends the bus: requests no more events, handles and settles those that are here, waits for the outcome of all
    /// publishes, and closes the connection. All of it within `timeout`, and a few tenths of a second for what is cut short.
    ///
    /// Handlers may publish until the last of them has ended. Returns `Ok` if nothing was left undone.
    ///
    /// # Errors
    /// [`CloseError`] counts what was not finished in time. Events among it were given back or will be delivered again.
    pub fn close(&self, timeout: Duration) -> Result<(), CloseError> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400));
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut undone = CloseError::default();
        let subscriptions = std::mem::take(&mut *self.subscriptions().lock());
        // All stop before the first is waited for.
        subscriptions.iter().for_each(|running| running.stop_pulling());
        for running in &subscriptions {
            let ended = running.drain(self.jetstream(), deadline);
            undone.returned += ended.returned;
            undone.stuck += ended.stuck;
        }
        while self.jetstream().pending_acks() > 0 && left() > Duration::ZERO {
            thread::park_timeout(LOOK.min(left()));
        }
        undone.unacknowledged = self.jetstream().pending_acks();
        // The server has all acks of events once it answers this.
        let _ = self.client().flush().wait_timeout(left());
        if let Err(closed) = self.client().close(left()) {
            undone.unwritten = closed.unwritten;
        }
        if undone == CloseError::default() { Ok(()) } else { Err(undone) }
    }
}
