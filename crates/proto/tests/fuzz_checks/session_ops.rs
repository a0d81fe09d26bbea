//! What must hold of a session, whatever happens to it and whenever: it says what the model says, gives every flush
//! back once and in order, and notices a peer that has fallen silent.
//!
//! An input is three bytes for the times of the session, and then what happens to it: see [`super::ops`].

use std::time::Instant;

use jetlane_proto::{ServerError, ServerInfo, Session, SessionError, SessionTimeout};

use super::ops::{Op, ops, take_config};
use super::session_model::Model;

/// Checks a session from its beginning to its end.
pub(crate) fn check(data: &[u8]) {
    let Some((config, bytes)) = take_config(data) else { return };
    let now = Instant::now();
    let mut run = Run {
        session: Session::new(config, now),
        model: Model::new(config, now),
        now,
        sent: 0,
        back: Vec::new(),
    };
    let end = ops(bytes).find_map(|op| {
        let result = run.step(op);
        run.compare();
        result.err()
    });
    if end.is_none() {
        run.fall_silent();
    }
    run.take_flushes();
    assert_eq!(run.back, (0..run.sent).collect::<Vec<_>>(), "flushes, once and in order");
}

/// A session, what it should be, and what was seen of it.
struct Run {
    session: Session<u32>,
    model: Model,
    now: Instant,
    /// How many flushes were sent, numbered from 0.
    sent: u32,
    /// Those that were given back.
    back: Vec<u32>,
}

impl Run {
    /// Something happens. An error is the end of the connection.
    fn step(&mut self, op: Op<'_>) -> Result<(), SessionError> {
        match op {
            Op::Info(json) => self.receive_info(json),
            Op::Error(text) => self.receive_error(text),
            Op::Pong => {
                self.receive_pong();
                Ok(())
            }
            Op::Flush => {
                self.session.on_flush_sent(self.sent);
                self.model.on_flush_sent(self.sent);
                self.sent += 1;
                Ok(())
            }
            Op::TakeFlushes => {
                self.take_flushes();
                Ok(())
            }
            Op::Pass(time) => {
                self.now += time;
                Ok(())
            }
            Op::Turn(time) => {
                self.now += time;
                self.look_at_time()
            }
            Op::Wait => self.wait(),
        }
    }

    fn receive_info(&mut self, json: &[u8]) -> Result<(), SessionError> {
        let result = self.session.on_info(json);
        let expected = ServerInfo::read(json).map(|_| self.model.on_info());
        assert_eq!(result, expected.map_err(SessionError::Info));
        result.map(|_| ())
    }

    /// Only a session that is ready lives on, and only after errors that do not close it.
    fn receive_error(&mut self, text: &[u8]) -> Result<(), SessionError> {
        let error = ServerError::read(text);
        let result = self.session.on_error(text);
        assert_eq!(result.is_ok(), self.model.is_ready() && !error.closes(), "{error}");
        match &result {
            Ok(same) => assert_eq!(*same, error),
            Err(same) => assert_eq!(*same, SessionError::Server(error)),
        }
        result.map(|_| ())
    }

    fn receive_pong(&mut self) {
        let pong = self.session.on_pong(self.now);
        assert_eq!(pong, self.model.on_pong(self.now));
        if let jetlane_proto::Pong::Flushed(flush) = pong {
            self.back.push(flush);
        }
    }

    fn take_flushes(&mut self) {
        let taken: Vec<_> = self.session.take_flushes().collect();
        assert_eq!(taken, self.model.take_flushes());
        self.back.extend(taken);
    }

    fn look_at_time(&mut self) -> Result<(), SessionError> {
        let result = self.session.on_time(self.now);
        assert_eq!(result, self.model.on_time(self.now));
        result.map(|_| ())
    }

    /// The time comes that the session waits for, or has come already; then something must happen.
    fn wait(&mut self) -> Result<(), SessionError> {
        let due = self.session.next_timeout();
        self.now = self.now.max(due);
        let result = self.session.on_time(self.now);
        assert_eq!(result, self.model.on_time(self.now));
        let later = self.session.next_timeout() > due;
        assert!(result != Ok(SessionTimeout::None) || later, "woken for nothing");
        result.map(|_| ())
    }

    /// Nothing comes any more, so the connection must be given up in time.
    fn fall_silent(&mut self) {
        let Some(deadline) = self.model.given_up_at(self.now) else { return };
        for _ in 0..self.model.patience() {
            if self.wait().is_err() {
                assert!(self.now <= deadline, "{:?} too late", self.now - deadline);
                return;
            }
            self.compare();
        }
        panic!("not given up after {} timeouts", self.model.patience());
    }

    /// What can be asked at any time.
    fn compare(&self) {
        assert_eq!(self.session.is_ready(), self.model.is_ready());
        assert_eq!(self.session.expect_greeted().is_ok(), self.model.is_greeted());
        assert_eq!(self.session.next_timeout(), self.model.next_timeout());
        assert!(!self.model.is_ready() || self.model.is_greeted(), "ready without INFO");
    }
}
