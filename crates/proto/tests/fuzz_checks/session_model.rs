//! A session told from its history: all the PINGs ever sent, and how many of them were answered.

use std::time::{Duration, Instant};

use jetlane_proto::{Greeting, Pong, SessionConfig, SessionError, SessionTimeout};

/// Longer than this is never.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What a [`jetlane_proto::Session`] should say.
pub(crate) struct Model {
    config: SessionConfig,
    begun: Instant,
    /// When the PONG of the handshake came.
    ready: Option<Instant>,
    /// Every PING sent, of which the first `answered` need no answer any more.
    sent: Vec<Ping>,
    answered: usize,
}

enum Ping {
    Handshake,
    Alive(Instant),
    Flush(u32),
}

impl Model {
    pub(crate) fn new(config: SessionConfig, begun: Instant) -> Self {
        Self { config, begun, ready: None, sent: Vec::new(), answered: 0 }
    }

    pub(crate) fn is_greeted(&self) -> bool {
        self.sent.iter().any(|ping| matches!(ping, Ping::Handshake))
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    pub(crate) fn on_info(&mut self) -> Greeting {
        if self.is_greeted() {
            return Greeting::Update;
        }
        self.sent.push(Ping::Handshake);
        Greeting::Connect
    }

    pub(crate) fn on_pong(&mut self, now: Instant) -> Pong<u32> {
        let Some(ping) = self.sent.get(self.answered) else { return Pong::Alive };
        self.answered += 1;
        match *ping {
            Ping::Handshake => {
                self.ready = Some(now);
                Pong::Ready
            }
            Ping::Alive(_) => Pong::Alive,
            Ping::Flush(flush) => Pong::Flushed(flush),
        }
    }

    pub(crate) fn on_flush_sent(&mut self, flush: u32) {
        self.sent.push(Ping::Flush(flush));
    }

    pub(crate) fn take_flushes(&mut self) -> Vec<u32> {
        let unanswered = &self.sent[self.answered..];
        self.answered = self.sent.len();
        let flush = |ping: &Ping| if let Ping::Flush(flush) = ping { Some(*flush) } else { None };
        unanswered.iter().filter_map(flush).collect()
    }

    /// An interval behind the last sign of time: the last PING of the kind, or the end of the handshake.
    pub(crate) fn next_timeout(&self) -> Instant {
        let Some(ready) = self.ready else {
            return self.begun + self.config.handshake_timeout.min(CENTURY);
        };
        let last_ping = self.sent.iter().rev().find_map(|ping| match ping {
            Ping::Alive(at) => Some(*at),
            Ping::Handshake | Ping::Flush(_) => None,
        });
        last_ping.unwrap_or(ready) + self.config.ping_interval.min(CENTURY)
    }

    pub(crate) fn on_time(&mut self, now: Instant) -> Result<SessionTimeout, SessionError> {
        if now < self.next_timeout() {
            return Ok(SessionTimeout::None);
        }
        if !self.is_ready() {
            return Err(SessionError::HandshakeTimeout);
        }
        let unanswered = &self.sent[self.answered..];
        let out = unanswered.iter().filter(|ping| matches!(ping, Ping::Alive(_))).count();
        let pings = u32::try_from(out).expect("few PINGs");
        if pings >= self.config.max_pings_out {
            return Err(SessionError::Stale { pings });
        }
        self.sent.push(Ping::Alive(now));
        Ok(SessionTimeout::Ping)
    }

    /// When a peer that says nothing from `now` on must have been given up; none if so many PINGs are allowed that
    /// nobody would wait for it.
    pub(crate) fn given_up_at(&self, now: Instant) -> Option<Instant> {
        if !self.is_ready() {
            return Some(self.next_timeout().max(now));
        }
        let intervals = self.config.max_pings_out.checked_add(1)?;
        Some(now + self.config.ping_interval.min(CENTURY) * intervals)
    }

    /// How many timeouts that takes at most.
    pub(crate) fn patience(&self) -> u32 {
        if self.is_ready() { self.config.max_pings_out.saturating_add(1) } else { 1 }
    }
}
