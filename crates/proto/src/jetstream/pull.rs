use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use super::PullStatus;
use crate::encode;

/// Pulls whose batch is remembered, to know what is over when one is refused. A refusal comes within a round trip, in
/// which far fewer pulls are sent.
const REMEMBERED: usize = 64;

/// The first wait after a refusal. It doubles with each refusal in a row, up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait after a refusal.
const RETRY_MOST: Duration = Duration::from_secs(5);

/// How long handled messages are counted before their rate is trusted.
const RATE_SPAN: Duration = Duration::from_millis(100);

/// The bounds and times of a [`PullScheduler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullConfig {
    /// Most messages requested or held at once. At least 1.
    pub messages: usize,
    /// Messages asked for at first, and at the least, however slowly they are handled: enough to learn the rate from. At least 1; not
    /// more than `messages` all the same.
    pub least_messages: usize,
    /// Most bytes requested or held at once. A single message larger than this is still fetched, by itself.
    pub bytes: usize,
    /// How long a pull waits in the server for messages. Must be at least twice `heartbeat` (the server refuses it
    /// otherwise).
    pub expires: Duration,
    /// How often the server reports while it has nothing to deliver. Twice this without a word means that our pulls
    /// are lost, and they are sent again.
    pub heartbeat: Duration,
    /// The consumer's ack wait. No more is requested than could be settled, at the rate seen, in a quarter of it.
    pub ack_wait: Duration,
}

/// A pull to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Names this pull; to be part of its reply subject, so that a status can be told to belong to it.
    pub id: u64,
    /// How many messages it asks for.
    pub batch: usize,
    /// How many bytes it asks for at most; `None` to get one message of any size.
    pub max_bytes: Option<usize>,
    expires: Duration,
    heartbeat: Duration,
}

impl PullRequest {
    /// Writes the request's JSON.
    #[expect(clippy::cast_possible_truncation, reason = "five hundred years of nanoseconds fit")]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"expires\":");
        encode::decimal(out, self.expires.as_nanos() as u64);
        out.extend_from_slice(b",\"batch\":");
        encode::decimal(out, self.batch as u64);
        if let Some(max_bytes) = self.max_bytes {
            out.extend_from_slice(b",\"max_bytes\":");
            encode::decimal(out, max_bytes as u64);
        }
        out.extend_from_slice(b",\"idle_heartbeat\":");
        encode::decimal(out, self.heartbeat.as_nanos() as u64);
        out.push(b'}');
    }
}

/// Something about the pulls that a user may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullEvent {
    /// A pull was refused; it is sent again after a pause.
    Refused {
        /// The server's status code.
        code: u16,
        /// The server's text.
        reason: String,
    },
    /// Nothing was heard for twice the heartbeat; all pulls are sent again.
    MissedHeartbeat,
    /// The consumer is gone, and nothing more is requested.
    Gone {
        /// The server's text.
        reason: String,
    },
}

/// Decides when to ask a consumer for how many messages: early enough that the server never waits for us, and never
/// more than can be held and settled well inside the ack wait.
///
/// Messages are *outstanding* from the request until they are delivered, *open* from there until they are handled, and
/// *held* until they are settled, which can be later. A pull is sent whenever a quarter of the window is free. What is
/// outstanding or open is kept to what can be handled well inside the ack wait. The server deals messages out to waiting
/// pulls in turn, so only the total outstanding is known, not that of each pull; a status tells how much of its
/// pull will not come any more.
///
/// Bytes are bounded in the same way: each pull asks for half of those that are free, so that the next can overlap it.
#[derive(Debug)]
pub struct PullScheduler {
    config: PullConfig,
    next_id: u64,
    /// Pulls below this are over, whatever a late status says.
    floor: u64,
    /// The newest pulls, oldest first.
    recent: VecDeque<Asked>,
    outstanding: usize,
    /// `outstanding_bytes == 0` if `outstanding == 0`.
    outstanding_bytes: usize,
    /// So many bytes were not enough for the next message; 0 if it is not known to be large.
    too_few_bytes: usize,
    /// `Some(most)`: something is recovered, and no more than this may be outstanding; the window does not count.
    recovering: Option<usize>,
    /// `open <= held`, but for messages that are settled without having been handled.
    open: usize,
    held: usize,
    held_bytes: usize,
    heard: Instant,
    retry_at: Option<Instant>,
    refusals: u32,
    /// No more is wanted: stopped by us, or the consumer is gone.
    ended: bool,
    rate: Rate,
}

/// What a pull asked for.
#[derive(Debug)]
struct Asked {
    id: u64,
    batch: usize,
    bytes: usize,
}

impl PullScheduler {
    /// A scheduler that has asked for nothing yet.
    pub fn new(config: PullConfig, now: Instant) -> Self {
        let messages = config.messages.max(1);
        let least_messages = config.least_messages.clamp(1, messages);
        let config = PullConfig { messages, least_messages, ..config };
        Self {
            config,
            next_id: 1,
            floor: 1,
            recent: VecDeque::with_capacity(REMEMBERED),
            outstanding: 0,
            outstanding_bytes: 0,
            too_few_bytes: 0,
            recovering: None,
            open: 0,
            held: 0,
            held_bytes: 0,
            heard: now,
            retry_at: None,
            refusals: 0,
            ended: false,
            rate: Rate::new(least_messages, now),
        }
    }

    /// The next pull to send now, if any. To be asked again after everything that changes something.
    pub fn poll(&mut self, now: Instant) -> Option<PullRequest> {
        if self.ended || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = None;
        let free = self.free_messages()?;
        let (batch, max_bytes) = match self.free_bytes() {
            Some(bytes) => (free, Some(bytes)),
            // What does not fit into the bound must come all the same, once it has the place to itself; and what is
            // to be recovered, as nothing may become free before it is here.
            None if self.outstanding == 0 && (self.held == 0 || self.recovering.is_some()) => {
                (1, None)
            }
            None => return None,
        };
        if self.outstanding == 0 {
            // Nothing was expected until now, so silence meant nothing.
            self.heard = now;
        }
        let id = self.next_id;
        self.next_id += 1;
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        let bytes = max_bytes.unwrap_or(0);
        self.recent.push_back(Asked { id, batch, bytes });
        self.outstanding += batch;
        self.outstanding_bytes += bytes;
        let PullConfig { expires, heartbeat, .. } = self.config;
        Some(PullRequest { id, batch, max_bytes, expires, heartbeat })
    }

    /// How many messages to ask for now, if it is worth a pull.
    fn free_messages(&self) -> Option<usize> {
        let messages = self.config.messages;
        if let Some(most) = self.recovering {
            let free = most.saturating_sub(self.outstanding).min(messages);
            return (free > 0).then_some(free);
        }
        let window = self.rate.window.min(messages);
        let free = window
            .saturating_sub(self.outstanding + self.open)
            .min(messages.saturating_sub(self.outstanding + self.held));
        (free >= window.div_ceil(4)).then_some(free)
    }

    /// How many bytes to ask for now; `None` if there is no room for what comes next.
    fn free_bytes(&self) -> Option<usize> {
        let free = self.config.bytes.saturating_sub(self.held_bytes + self.outstanding_bytes);
        // The server counts in 32 bits.
        let most = i32::MAX as usize;
        if self.too_few_bytes > 0 {
            return (free > self.too_few_bytes).then_some(free.min(most));
        }
        // Halves of halves would come to nothing: the least is a 16th of the whole, and worth a pull.
        let least = (self.config.bytes / 16).max(1);
        (free >= least).then_some((free / 2).max(least).min(most))
    }

    /// A message was delivered: `bytes` are held now, of which the server counted `counted` against our pulls.
    #[inline]
    pub fn on_message(&mut self, bytes: usize, counted: usize, now: Instant) {
        self.arrived(counted);
        self.too_few_bytes = 0;
        if self.open == 0 {
            self.rate.work_begins(now);
        }
        self.open += 1;
        self.held += 1;
        self.held_bytes += bytes;
    }

    /// A message was delivered that is handled as it comes, and never held. How many that were in a turn is told to
    /// [`PullScheduler::on_passed`].
    #[inline]
    pub fn on_passing_message(&mut self, counted: usize, now: Instant) {
        self.arrived(counted);
        self.too_few_bytes = 0;
        if self.open == 0 {
            self.rate.work_begins(now);
        }
    }

    /// `messages` that were never held were handled.
    pub fn on_passed(&mut self, messages: usize, now: Instant) {
        self.rate.count(messages, self.open, true, &self.config, now);
    }

    /// A message was delivered that is not to be handled, and not held: it was known already.
    pub fn on_known_message(&mut self, counted: usize) {
        self.arrived(counted);
    }

    /// Messages were delivered in this turn: the server is there, and accepts our pulls.
    pub fn on_heard(&mut self, now: Instant) {
        self.heard = now;
        self.refusals = 0;
    }

    /// `messages` with `bytes` in all were settled, or given back, and are held no more.
    pub fn on_settled(&mut self, messages: usize, bytes: usize) {
        self.held = self.held.saturating_sub(messages);
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    /// `messages` were handled, whether they are still held or not: how fast that goes decides how many are asked for.
    pub fn on_handled(&mut self, messages: usize, now: Instant) {
        self.open = self.open.saturating_sub(messages);
        let busy = self.open > 0;
        self.rate.count(messages, self.open, busy, &self.config, now);
    }

    /// `messages` that are held will never be handled: the server has forgotten them, and delivers them again.
    pub fn on_dropped(&mut self, messages: usize, now: Instant) {
        self.open = self.open.saturating_sub(messages);
        self.rate.count(0, self.open, self.open > 0, &self.config, now);
    }

    /// Messages may be on the server that were delivered to us and lost on the way. Until told otherwise no more than
    /// `most` are outstanding, whatever is free: the server lets no more be held than the consumer's `max_ack_pending`.
    /// `None` ends it.
    pub fn recover(&mut self, most: Option<usize>) {
        self.recovering = most;
    }

    /// A status came to the inbox of pull `id`.
    pub fn on_status(&mut self, id: u64, status: PullStatus, now: Instant) -> Option<PullEvent> {
        self.heard = now;
        if id < self.floor || id >= self.next_id {
            return None;
        }
        match status {
            PullStatus::Heartbeat => None,
            PullStatus::Ended { left, left_bytes } => {
                self.ended_with(left, left_bytes);
                None
            }
            PullStatus::TooLarge { left, left_bytes } => {
                // At least 1: it is what says that the next message is large.
                self.too_few_bytes = usize::try_from(left_bytes).unwrap_or(usize::MAX).max(1);
                self.ended_with(left, left_bytes);
                None
            }
            PullStatus::AllOver => {
                self.forget_pulls(now);
                None
            }
            PullStatus::Refused { code, reason } => {
                self.refuse(id, now);
                Some(PullEvent::Refused { code, reason })
            }
            PullStatus::NoResponders => {
                self.refuse(id, now);
                let reason = "no such stream or consumer, or none that answers now".into();
                Some(PullEvent::Refused { code: 503, reason })
            }
            PullStatus::Gone { reason } => {
                let first = !self.ended;
                self.ended = true;
                self.forget_pulls(now);
                first.then_some(PullEvent::Gone { reason })
            }
        }
    }

    /// The connection was lost, and our pulls with it. Nothing is due before there is another.
    pub fn on_disconnected(&mut self) {
        self.forget_pulls(self.heard);
        self.retry_at = None;
    }

    /// The connection was made anew: the server knows nothing of our pulls any more.
    pub fn on_reconnected(&mut self, now: Instant) {
        self.forget_pulls(now);
        self.retry_at = None;
    }

    /// When [`PullScheduler::on_time`] must be called next, if nothing else happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let silence = (self.outstanding > 0).then(|| self.heard + self.config.heartbeat * 2);
        [silence, self.retry_at].into_iter().flatten().min()
    }

    /// The time is `now`.
    pub fn on_time(&mut self, now: Instant) -> Option<PullEvent> {
        let silent = now.saturating_duration_since(self.heard) >= self.config.heartbeat * 2;
        if self.ended || self.outstanding == 0 || !silent {
            return None;
        }
        self.forget_pulls(now);
        Some(PullEvent::MissedHeartbeat)
    }

    /// Asks for nothing more. What is outstanding may still come.
    pub fn stop(&mut self) {
        self.ended = true;
    }

    /// Messages requested and not delivered.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Messages delivered and not settled.
    pub fn held(&self) -> usize {
        self.held
    }

    fn refuse(&mut self, id: u64, now: Instant) {
        // A pull too old to be remembered leaves the count too high; silence will put that right.
        if let Some(at) = self.recent.iter().position(|recent| recent.id == id)
            && let Some(Asked { batch, bytes, .. }) = self.recent.remove(at)
        {
            self.outstanding = self.outstanding.saturating_sub(batch);
            self.come_no_more(bytes);
        }
        let wait = RETRY_FIRST.saturating_mul(1 << self.refusals.min(16)).min(RETRY_MOST);
        self.refusals = self.refusals.saturating_add(1);
        self.retry_at = Some(now + wait);
    }

    fn arrived(&mut self, counted: usize) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.come_no_more(counted);
    }

    fn ended_with(&mut self, left: u64, left_bytes: u64) {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        self.outstanding = self.outstanding.saturating_sub(left);
        self.come_no_more(usize::try_from(left_bytes).unwrap_or(usize::MAX));
    }

    /// So many of the bytes asked for have come, or never will.
    fn come_no_more(&mut self, bytes: usize) {
        // Both ends count nearly, but not quite the same: without anything outstanding it is exact again.
        self.outstanding_bytes =
            if self.outstanding == 0 { 0 } else { self.outstanding_bytes.saturating_sub(bytes) };
    }

    fn forget_pulls(&mut self, now: Instant) {
        self.floor = self.next_id;
        self.recent.clear();
        (self.outstanding, self.outstanding_bytes) = (0, 0);
        self.too_few_bytes = 0;
        self.heard = now;
    }
}

/// How fast messages are handled, and the window that follows from it.
#[derive(Debug)]
struct Rate {
    /// The begin of the span, moved on by all the time in which there was nothing to do.
    since: Instant,
    /// `Some` while there is nothing to do.
    idle_since: Option<Instant>,
    handled: usize,
    window: usize,
}

impl Rate {
    fn new(window: usize, now: Instant) -> Self {
        Self { since: now, idle_since: Some(now), handled: 0, window }
    }

    /// There is something to do again: the time until now says nothing about how fast it is done.
    fn work_begins(&mut self, now: Instant) {
        if let Some(idle_since) = self.idle_since.take() {
            self.since += now.saturating_duration_since(idle_since);
        }
    }

    /// `messages` were handled. `busy` says that there was work to do all the time that counts.
    fn count(
        &mut self,
        messages: usize,
        open: usize,
        busy: bool,
        config: &PullConfig,
        now: Instant,
    ) {
        self.handled += messages;
        let span = now.saturating_duration_since(self.since);
        // A whole window handled before the span is over is reason enough to open it further at once.
        if self.handled >= self.window && span < RATE_SPAN {
            self.window = (self.window * 2).min(config.messages);
            (self.since, self.handled) = (now, 0);
        } else if span >= RATE_SPAN {
            let quarters = config.ack_wait.as_secs_f64() / 4.0 / span.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            let affordable = (self.handled as f64 * quarters) as usize;
            // Only a rate seen while there was work to do says how much could be done.
            if busy || affordable > self.window {
                self.window = affordable.clamp(config.least_messages, config.messages);
            }
            (self.since, self.handled) = (now, 0);
        }
        if open == 0 {
            // It may be idle already, if what is settled was never handled.
            let idle_since = self.idle_since.unwrap_or(now);
            self.idle_since = Some(idle_since.max(self.since));
        }
    }
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
