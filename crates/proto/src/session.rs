use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use crate::{InfoError, ServerError, ServerInfo};

/// The times of a [`Session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long the handshake may take, from the first byte to the PONG that ends it. Default 5 s.
    pub handshake_timeout: Duration,
    /// How often a PING is sent to see that the server is there. Default 20 s.
    pub ping_interval: Duration,
    /// How many of those PINGs may be unanswered; at the next one the connection is given up. Default 2. So a dead
    /// peer is noticed within `ping_interval * (max_pings_out + 1)`.
    pub max_pings_out: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(20),
            max_pings_out: 2,
        }
    }
}

/// Why a connection can not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The server said so.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server's INFO made no sense.
    #[error(transparent)]
    Info(#[from] InfoError),
    /// The server began with something else than INFO, or sent a message before the handshake ended: it is no NATS server.
    #[error("the peer did not begin with INFO: it may not be a NATS server")]
    NotNats,
    /// The handshake took longer than [`SessionConfig::handshake_timeout`].
    #[error("the server did not finish the handshake in time")]
    HandshakeTimeout,
    /// The server left too many PINGs unanswered.
    #[error("the server did not answer {pings} PINGs")]
    Stale {
        /// How many.
        pings: u32,
    },
}

/// What the time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTimeout {
    /// Nothing yet.
    None,
    /// Send PING.
    Ping,
}

/// The state of one connection: from INFO to the end. It does no I/O and reads no clock.
///
/// `F` is what the caller wants back with the PONG that ends a flush.
#[derive(Debug)]
pub struct Session<F> {
    config: SessionConfig,
    phase: Phase,
    info: ServerInfo,
    /// Our PINGs on the wire, oldest first. The server answers in order.
    pings: VecDeque<Sent<F>>,
    /// How many of `pings` are of kind `Alive`, and how many of those were sent before the server was heard last.
    alive_out: u32,
    excused: u32,
    /// What the caller has sent so far, by its own count, and how much of that a PONG has confirmed.
    sent: u64,
    confirmed: u64,
    /// When the handshake must have ended, or the next PING is due.
    due: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitInfo,
    AwaitPong,
    Ready,
}

/// A PING, and what was sent before it.
#[derive(Debug)]
struct Sent<F> {
    ping: Ping<F>,
    before: u64,
}

#[derive(Debug)]
enum Ping<F> {
    Handshake,
    Alive,
    Flush(F),
}

/// What a PONG answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Pong<F> {
    /// The PING of the handshake: the connection is ready.
    Ready,
    /// The PING of a flush: the server has processed all that was sent before it.
    Flushed(F),
    /// A PING to see that the server is there, or none of ours.
    Alive,
}

/// What an INFO means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The first INFO: send CONNECT and PING.
    Connect,
    /// A later one: [`Session::info`] has changed.
    Update,
}

impl<F> Session<F> {
    /// A connection whose socket has just been opened.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        Self {
            config,
            phase: Phase::AwaitInfo,
            info: ServerInfo::default(),
            pings: VecDeque::new(),
            alive_out: 0,
            excused: 0,
            sent: 0,
            confirmed: 0,
            due: after(now, config.handshake_timeout),
        }
    }

    /// True once the handshake has ended.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The newest INFO.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// An INFO came.
    ///
    /// # Errors
    /// [`SessionError::Info`] if it can not be read.
    pub fn on_info(&mut self, json: &[u8]) -> Result<Greeting, SessionError> {
        let info = ServerInfo::read(json)?;
        let greeting = match self.phase {
            Phase::AwaitInfo => {
                self.phase = Phase::AwaitPong;
                self.push(Ping::Handshake);
                Greeting::Connect
            }
            Phase::AwaitPong | Phase::Ready => Greeting::Update,
        };
        self.info = self.merge(info);
        Ok(greeting)
    }

    /// Checks that a frame other than INFO may come now.
    ///
    /// # Errors
    /// [`SessionError::NotNats`] before INFO.
    #[inline]
    pub fn expect_greeted(&self) -> Result<(), SessionError> {
        if self.phase == Phase::AwaitInfo { Err(SessionError::NotNats) } else { Ok(()) }
    }

    /// A PONG came.
    pub fn on_pong(&mut self, now: Instant) -> Pong<F> {
        let Some(Sent { ping, before }) = self.pings.pop_front() else { return Pong::Alive };
        self.confirmed = self.confirmed.max(before);
        match ping {
            Ping::Handshake => {
                self.phase = Phase::Ready;
                self.due = after(now, self.config.ping_interval);
                Pong::Ready
            }
            Ping::Flush(flush) => Pong::Flushed(flush),
            Ping::Alive => {
                self.alive_out -= 1;
                self.excused = self.excused.saturating_sub(1);
                Pong::Alive
            }
        }
    }

    /// An `-ERR` came. `Ok` if the connection goes on.
    ///
    /// # Errors
    /// [`SessionError::Server`] if the server closes the connection after it, or it came during the handshake.
    pub fn on_error(&mut self, text: &[u8]) -> Result<ServerError, SessionError> {
        let error = ServerError::read(text);
        if error.closes() || !self.is_ready() { Err(error.into()) } else { Ok(error) }
    }

    /// A PING that ends a flush was put behind all that was sent before.
    pub fn on_flush_sent(&mut self, flush: F) {
        self.push(Ping::Flush(flush));
    }

    /// `count` of what only a PONG can confirm was sent so far, on this connection and those before it: a PING counts as sent behind
    /// that.
    pub fn on_sent(&mut self, count: u64) {
        self.sent = count;
    }

    /// What [`Session::on_sent`] was last told.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// `count` of what is counted by [`Session::on_sent`] needs no PONG of this connection.
    pub fn on_confirmed(&mut self, count: u64) {
        self.confirmed = self.confirmed.max(count);
    }

    /// True if something was sent that may be lost when the connection is, without anybody being told: no PONG has confirmed it, and no
    /// flush that `tells` waits behind it.
    pub fn has_untold(&self, tells: impl Fn(&F) -> bool) -> bool {
        let told = self.pings.iter().filter_map(|sent| match &sent.ping {
            Ping::Flush(flush) if tells(flush) => Some(sent.before),
            _ => None,
        });
        self.sent > told.fold(self.confirmed, u64::max)
    }

    /// The flushes whose PONG will not come any more.
    pub fn take_flushes(&mut self) -> impl Iterator<Item = F> + '_ {
        (self.alive_out, self.excused) = (0, 0);
        self.pings.drain(..).filter_map(|sent| match sent.ping {
            Ping::Flush(flush) => Some(flush),
            Ping::Handshake | Ping::Alive => None,
        })
    }

    /// Bytes came, whatever they say: the server is there, even if its PONG is far behind them.
    #[inline]
    pub fn on_heard(&mut self) {
        self.excused = self.alive_out;
    }

    /// When [`Session::on_time`] must be called next.
    pub fn next_timeout(&self) -> Instant {
        self.due
    }

    /// The time is `now`.
    ///
    /// # Errors
    /// [`SessionError::HandshakeTimeout`] or [`SessionError::Stale`] if the server has been silent for too long.
    pub fn on_time(&mut self, now: Instant) -> Result<SessionTimeout, SessionError> {
        if now < self.due {
            return Ok(SessionTimeout::None);
        }
        if self.phase != Phase::Ready {
            return Err(SessionError::HandshakeTimeout);
        }
        let pings = self.alive_out - self.excused;
        if pings >= self.config.max_pings_out {
            return Err(SessionError::Stale { pings });
        }
        self.alive_out += 1;
        self.push(Ping::Alive);
        self.due = after(now, self.config.ping_interval);
        Ok(SessionTimeout::Ping)
    }

    fn push(&mut self, ping: Ping<F>) {
        self.pings.push_back(Sent { ping, before: self.sent });
    }

    /// A later INFO (as `connect_info` of server 2.12+) is a whole one; but one without a limit leaves the limit.
    fn merge(&self, mut newer: ServerInfo) -> ServerInfo {
        if newer.max_payload == 0 {
            newer.max_payload = self.info.max_payload;
        }
        newer
    }
}

/// An interval too long for the clock means never, which is a hundred years.
fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(Duration::from_secs(100 * 365 * 86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = br#"{"server_id":"a","max_payload":100,"headers":true}"#;

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn ready(start: Instant) -> Session<u8> {
        let mut session = Session::new(SessionConfig::default(), start);
        assert_eq!(session.on_info(FIRST), Ok(Greeting::Connect));
        assert_eq!(session.on_pong(start), Pong::Ready);
        session
    }

    #[test]
    fn handshake() {
        let start = Instant::now();
        let mut session = Session::<u8>::new(SessionConfig::default(), start);
        assert_eq!(session.expect_greeted(), Err(SessionError::NotNats));
        assert_eq!(session.on_info(FIRST), Ok(Greeting::Connect));
        assert_eq!(session.expect_greeted(), Ok(()));
        assert!(!session.is_ready());
        assert_eq!(session.on_pong(start), Pong::Ready);
        assert!(session.is_ready());
        assert_eq!(session.on_info(br#"{"max_payload":50}"#), Ok(Greeting::Update));
        assert_eq!(session.info().max_payload, 50);
        assert_eq!(session.on_info(b"{}"), Ok(Greeting::Update));
        assert_eq!(session.info().max_payload, 50, "an INFO without a limit leaves the limit");
    }

    #[test]
    fn a_silent_handshake_ends() {
        let start = Instant::now();
        let mut session = Session::<u8>::new(SessionConfig::default(), start);
        assert_eq!(session.on_time(seconds(start, 4)), Ok(SessionTimeout::None));
        session.on_info(FIRST).unwrap();
        assert_eq!(session.next_timeout(), seconds(start, 5));
        assert_eq!(session.on_time(seconds(start, 5)), Err(SessionError::HandshakeTimeout));
    }

    #[test]
    fn a_dead_peer_is_noticed_after_three_intervals() {
        let start = Instant::now();
        let mut session = ready(start);
        assert_eq!(session.on_time(seconds(start, 20)), Ok(SessionTimeout::Ping));
        assert_eq!(session.on_pong(seconds(start, 21)), Pong::Alive);
        assert_eq!(session.on_time(seconds(start, 40)), Ok(SessionTimeout::Ping));
        assert_eq!(session.on_time(seconds(start, 60)), Ok(SessionTimeout::Ping));
        assert_eq!(session.on_time(seconds(start, 80)), Err(SessionError::Stale { pings: 2 }));
    }

    #[test]
    fn a_peer_that_is_heard_is_not_dead_however_late_its_pongs() {
        let start = Instant::now();
        let mut session = ready(start);
        for n in 1..100 {
            assert_eq!(session.on_time(seconds(start, 20 * n)), Ok(SessionTimeout::Ping));
            session.on_heard();
        }
        assert_eq!(session.on_pong(start), Pong::Alive);
        for n in 100..102 {
            assert_eq!(session.on_time(seconds(start, 20 * n)), Ok(SessionTimeout::Ping));
        }
        let silent = session.on_time(seconds(start, 20 * 102));
        assert_eq!(silent, Err(SessionError::Stale { pings: 2 }));
    }

    #[test]
    fn endless_intervals_do_not_overflow() {
        let start = Instant::now();
        let config = SessionConfig {
            handshake_timeout: Duration::MAX,
            ping_interval: Duration::MAX,
            max_pings_out: 0,
        };
        let mut session = Session::<u8>::new(config, start);
        session.on_info(FIRST).unwrap();
        session.on_pong(start);
        assert_eq!(session.on_time(seconds(start, 1_000_000)), Ok(SessionTimeout::None));
    }

    #[test]
    fn pongs_answer_pings_in_order() {
        let start = Instant::now();
        let mut session = ready(start);
        session.on_flush_sent(1);
        session.on_time(seconds(start, 20)).unwrap();
        session.on_flush_sent(2);
        session.on_flush_sent(3);
        assert_eq!(session.on_pong(start), Pong::Flushed(1));
        assert_eq!(session.on_pong(start), Pong::Alive);
        assert_eq!(session.on_pong(start), Pong::Flushed(2));
        assert_eq!(session.take_flushes().collect::<Vec<_>>(), [3]);
        assert_eq!(session.on_pong(start), Pong::Alive, "a PONG too many is nobody's");
    }

    #[test]
    fn what_no_pong_has_confirmed_may_be_lost_untold() {
        let start = Instant::now();
        let mut session = ready(start);
        let untold = |session: &Session<u8>| session.has_untold(|&flush| flush < 10);
        assert!(!untold(&session), "nothing was sent");
        session.on_confirmed(4);
        session.on_sent(5);
        assert!(untold(&session));
        session.on_flush_sent(10);
        assert!(untold(&session), "a barrier that tells nobody");
        session.on_flush_sent(1);
        assert!(!untold(&session), "the flush would fail");
        session.on_sent(6);
        assert!(untold(&session), "sent behind the flush");
        session.on_time(seconds(start, 20)).unwrap();
        for confirms in [false, false, true] {
            session.on_pong(start);
            assert_eq!(!untold(&session), confirms);
        }
        session.on_confirmed(3);
        assert!(!untold(&session));
    }

    #[test]
    fn errors_end_the_handshake_but_not_always_the_connection() {
        let start = Instant::now();
        let mut session = ready(start);
        assert!(session.on_error(b"Permissions Violation for Publish to \"a\"").is_ok());
        assert!(session.on_error(b"Stale Connection").is_err());
        let mut session = Session::<u8>::new(SessionConfig::default(), start);
        assert!(session.on_error(b"anything").is_err());
    }
}
