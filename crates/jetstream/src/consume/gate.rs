//! Whether messages may be missing: delivered to us by the server, and lost on the way.
//!
//! What a lost connection swallowed, or a predecessor held when it died, is *pending* in the server: delivered and not
//! acknowledged. It comes again after the ack wait, and meanwhile the server would deliver newer messages: handled
//! before the missing ones, they turn the order round; acknowledged by a watermark, they acknowledge the missing ones
//! unseen. So whenever something may be missing the gate closes. The server is asked how much is pending, and how far it
//! has delivered; once no more is pending than what is held here up to there, nothing is missing, and the gate opens. What
//! is held from beyond a server that was killed has forgotten: that comes again, behind what else it forgot, and is not
//! held any more ([`HeldTable::forget`](super::held::HeldTable::forget)).
//!
//! While it is closed only as much is pulled as is missing. The server delivers what it delivers again before anything
//! new; so once something new comes there is nothing to recover for now, and no more is pulled until the ack wait has
//! brought back the rest. All that comes meanwhile is held back, and handed on in the order of the stream.

use std::time::{Duration, Instant};

/// How long after an answer the server is asked again. Acks are applied when the server comes to it.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long an answer is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How long after the ack wait the server has everything in its queue that it will deliver again.
const SLACK: Duration = Duration::from_millis(500);

/// What a gate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing: it is always open.
    Nothing,
    /// The order in which messages are handled.
    Order,
    /// The order, and what a watermark acknowledges.
    Watermark,
}

/// What the server says about the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// So many messages are delivered and not acknowledged that are not held here.
    Missing(usize),
    /// It can not say now.
    Unavailable,
    /// The question was refused. Pulls will be, too, and say why.
    Refused,
}

#[derive(Debug)]
pub(super) struct Gate {
    guard: Guard,
    ack_wait: Duration,
    /// `None` while it is open.
    closed: Option<Closed>,
    /// The number of the last question.
    asked: u64,
}

#[derive(Debug)]
struct Closed {
    /// From here on the server has all that is missing in its queue.
    all_queued_at: Instant,
    ask_at: Instant,
    /// How many messages are missing, by the last answer.
    missing: Option<usize>,
    /// Something new came: there was nothing then that the server wanted to deliver again.
    drained: bool,
    /// What comes is handed on again. Of a watermark, which itself stays where it is until nothing is missing.
    passing: bool,
}

impl Gate {
    pub(super) fn new(guard: Guard, ack_wait: Duration) -> Self {
        Self { guard, ack_wait, closed: None, asked: 0 }
    }

    /// Something may be missing from now on.
    pub(super) fn close(&mut self, now: Instant) {
        if self.guard != Guard::Nothing {
            // An answer to what was asked before says nothing about what is missing now.
            self.asked += 1;
            self.closed = Some(Closed {
                all_queued_at: now + self.ack_wait + SLACK,
                ask_at: now,
                missing: None,
                drained: false,
                passing: false,
            });
        }
    }

    /// Whether nothing is missing, as far as is known.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Nothing is missing, or nothing can be done about it.
    pub(super) fn open(&mut self) {
        self.closed = None;
    }

    /// The number of the question to ask now, if one is due.
    pub(super) fn ask(&mut self, now: Instant) -> Option<u64> {
        let closed = self.closed.as_mut().filter(|closed| now >= closed.ask_at)?;
        closed.ask_at = now + ANSWER_WAIT;
        self.asked += 1;
        Some(self.asked)
    }

    /// Something was said to the server that its answer has to take in: it is asked at once.
    pub(super) fn ask_again(&mut self, now: Instant) {
        if let Some(closed) = &mut self.closed {
            closed.ask_at = now;
        }
    }

    /// Whether nothing is known yet of what may be missing.
    pub(super) fn is_unanswered(&self) -> bool {
        self.closed.as_ref().is_some_and(|closed| closed.missing.is_none())
    }

    /// Whether this question waits for its answer.
    pub(super) fn waits_for(&self, number: u64) -> bool {
        self.closed.is_some() && number == self.asked
    }

    /// The answer to question `number`.
    pub(super) fn on_answer(&mut self, number: u64, answer: Answer, now: Instant) {
        let Some(closed) = self.closed.as_mut().filter(|_| number == self.asked) else { return };
        closed.ask_at = now + ASK_EVERY;
        match answer {
            // A pull that is refused says so to the user.
            Answer::Missing(0) | Answer::Refused => self.closed = None,
            Answer::Missing(missing) => closed.missing = Some(missing),
            Answer::Unavailable => closed.missing = closed.missing.or(Some(1)),
        }
    }

    /// Something came that had been delivered before, and is not held.
    pub(super) fn on_redelivered(&mut self, now: Instant) {
        let Some(closed) = &mut self.closed else { return };
        if let Some(missing) = closed.missing.as_mut().filter(|missing| **missing > 0) {
            *missing -= 1;
            if *missing == 0 {
                // That may have been all; but an answer that still waits was given before.
                closed.ask_at = now;
            }
        }
    }

    /// Something new came, or the server says that it has nothing to deliver.
    pub(super) fn on_drained(&mut self, now: Instant) {
        let Some(closed) = &mut self.closed else { return };
        closed.drained = true;
        if now < closed.all_queued_at {
            return;
        }
        // All that was missing has come, but for what waits longer than the ack wait: given back with a delay, or held by
        // another process.
        let unanswered = closed.missing.is_none();
        if self.guard == Guard::Watermark && !unanswered {
            closed.passing = true;
        } else {
            self.closed = None;
        }
    }

    /// The time is `now`.
    pub(super) fn on_time(&mut self, now: Instant) {
        let Some(closed) = self.closed.as_mut().filter(|closed| closed.missing.is_none()) else {
            return;
        };
        // Nobody says how much is missing; to ask for it may not be allowed. The server has had the time to deliver it
        // before all that is new, and is given as much again before a watermark moves.
        if now < closed.all_queued_at {
            return;
        }
        closed.passing = true;
        if self.guard == Guard::Order || now >= closed.all_queued_at + self.ack_wait {
            self.closed = None;
        }
    }

    /// How many messages may be outstanding: `None` for as many as the window allows.
    pub(super) fn most_outstanding(&self, now: Instant) -> Option<usize> {
        let closed = self.closed.as_ref()?;
        let all_queued = now >= closed.all_queued_at;
        match closed.missing {
            None if all_queued => None,
            Some(missing) if all_queued || !closed.drained => Some(missing),
            _ => Some(0),
        }
    }

    /// Whether what comes is to be held back.
    pub(super) fn holds_back(&self) -> bool {
        self.closed.as_ref().is_some_and(|closed| !closed.passing)
    }

    /// Whether a watermark may move.
    pub(super) fn lets_acknowledge(&self) -> bool {
        self.guard != Guard::Watermark || self.closed.is_none()
    }

    /// When [`Gate::ask`] and [`Gate::most_outstanding`] will say something else by themselves.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let closed = self.closed.as_ref()?;
        let all_queued_at = Some(closed.all_queued_at).filter(|&at| at > now);
        [Some(closed.ask_at), all_queued_at].into_iter().flatten().min()
    }
}
