use std::thread;
use std::time::{Duration, Instant};

use jetlane_client::State;

use crate::EventBus;

/// How often it is looked whether the last acks have come.
const LOOK: Duration = Duration::from_millis(1);

/// The server has this long to confirm the last acks, even if the time is up: else nobody would know of those that
/// were just given back.
const CONFIRM: Duration = Duration::from_millis(100);

/// What was not finished when the time of a close was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error(
    "the bus was closed with {returned} events returned unhandled, {lost} events of listeners lost, {stuck} handlers still running, \
     {unpublished} events of publishers and {unacknowledged} publishes without an outcome and {unwritten} bytes unwritten{}",
    if self.unconfirmed { "; the server did not confirm the last acks" } else { "" }
)]
#[non_exhaustive]
pub struct CloseError {
    /// Events that were delivered and not handled: they were given back, for others or for later.
    pub returned: usize,
    /// Events that had come to listeners ([`EventBus::listen`]) and were not handled: nobody will.
    pub lost: usize,
    /// Lanes whose handler did not return, and **may still be running**. Their events were given back as well, before those
    /// behind them: they are delivered again, whatever comes of the handler. (Those of listeners are not.)
    pub stuck: usize,
    /// Events that publishers ([`crate::Publisher`]) had accepted and that had no outcome yet. What of them was not sent ends as
    /// [`crate::NotPublished::Closed`], and the rest as `Unknown`.
    pub unpublished: usize,
    /// Publishes that had no outcome yet, those of publishers among them; their tickets end as `Unknown`.
    pub unacknowledged: u32,
    /// Bytes of frames that were queued and never written.
    pub unwritten: usize,
    /// True if the server did not say that it has all acks of handled events: there was no connection, it was lost
    /// meanwhile, or the time was up. Events that were handled may be delivered again.
    pub unconfirmed: bool,
}

impl EventBus {
    /// Ends the bus: requests no more events, handles and settles those that are here, lets publishers finish what they have accepted,
    /// waits for the outcome of all publishes, and closes the connection. All of it within `timeout`, and a few tenths of a second for what is cut short.
    ///
    /// Handlers may publish until the last of them has ended. Returns `Ok` if nothing was left undone.
    ///
    /// # Errors
    /// [`CloseError`] counts what was not finished in time. Events among it were given back or will be delivered again. A bus
    /// that is closed twice has nothing left to tell the second time.
    pub fn close(&self, timeout: Duration) -> Result<(), CloseError> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400));
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut undone = CloseError::default();
        let subscriptions = std::mem::take(&mut *self.subscriptions().lock());
        let listeners = std::mem::take(&mut *self.listeners().lock());
        let has_ended = subscriptions.is_empty() && listeners.is_empty();
        let was_closed = self.client().state() == State::Closed && has_ended;
        let reconnects = self.client().stats().reconnects;
        // All stop before the first is waited for.
        subscriptions.iter().for_each(|running| running.stop_pulling());
        listeners.iter().for_each(|listener| listener.stop());
        for running in &subscriptions {
            let ended = running.drain(self.jetstream(), deadline);
            undone.returned += ended.returned;
            undone.stuck += ended.stuck;
        }
        for listener in &listeners {
            let ended = listener.drain(self.client(), deadline);
            undone.lost += ended.lost;
            undone.stuck += ended.stuck;
        }
        let publishers = self.publishers();
        publishers.iter().for_each(|publisher| publisher.close());
        for publisher in &publishers {
            undone.unpublished += publisher.finish(deadline);
        }
        while self.jetstream().pending_acks() > 0 && left() > Duration::ZERO {
            thread::park_timeout(LOOK.min(left()));
        }
        undone.unacknowledged = self.jetstream().pending_acks();
        // The server has all acks of events once it answers this, unless they were lost with an earlier connection.
        let flushed = self.client().flush().wait_timeout(left().max(CONFIRM));
        let flushed = matches!(flushed, Some(Ok(())));
        let same_connection = self.client().stats().reconnects == reconnects;
        undone.unconfirmed = !(was_closed || (flushed && same_connection));
        if let Err(closed) = self.client().close(left()) {
            undone.unwritten = closed.unwritten;
        }
        if undone == CloseError::default() { Ok(()) } else { Err(undone) }
    }
}
