//! What happens when a connection is lost, and until the next one stands.

use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dial::{self, Found};
use super::link::{Link, Way};
use super::pool::Verdict;
use super::{Barrier, Reactor};
use crate::contain::contain;
use crate::error::LinkError;
use crate::sink::{Unsent, keep_publishes};
use crate::stats::State;
use crate::write_queue::Command;
use crate::{Event, FlushError, ServerUrl};

/// A connection that stood this long was a good one: the next attempt comes at once again.
const STEADY: Duration = Duration::from_secs(5);

impl Reactor {
    /// The link is lost: settles what died with it, and plans the next attempt.
    pub(super) fn lost(&mut self, error: LinkError) {
        let Some(mut link) = self.link.take() else { return };
        self.stop_moving();
        link.shut(&self.poll);
        let lifted = mem::take(&mut link.lifted);
        if link.is_finished() {
            // We ended it, and the server has read to the end: nothing is lost. The close tells all who still wait.
            self.end_turn_of_sinks();
            self.lift(lifted);
            return;
        }
        if link.is_ready() {
            link.output.keep_unwritten(error.blames_a_frame(), &mut self.backlog.bytes);
        }
        // What the last read brought before it failed is handed on as well.
        self.end_turn_of_sinks();
        self.lift(lifted);
        if link.is_ready() {
            self.disconnect(&mut link);
            // A server that takes us and drops us at once is to be tried as rarely as one that does not take us.
            if link.age(self.now) >= STEADY {
                self.pool.on_steady_end();
            }
            let (server, reason) = (link.server.to_string(), error.to_string());
            self.shared.tell_error(&reason);
            let said = error.said().cloned();
            self.shared.emit(&Event::Disconnected { server, reason, said });
            self.plan(Some(link.address), error, true);
        } else {
            self.failed(&link.server, Some(link.address), error);
        }
    }

    /// A connection to `server` did not come to be.
    fn failed(&mut self, server: &ServerUrl, address: Option<SocketAddr>, error: LinkError) {
        let (server, reason) = (server.to_string(), error.to_string());
        self.shared.tell_error(&reason);
        let said = error.said().cloned();
        self.shared.emit(&Event::ConnectFailed { server, reason, said });
        self.plan(address, error, false);
    }

    /// Plans the next attempt, after one that failed or the loss of a connection.
    fn plan(&mut self, address: Option<SocketAddr>, error: LinkError, was_connected: bool) {
        if !self.addresses.is_empty() {
            // The same server by another address.
            self.retry_at = Some(self.now);
            if let Some(address) = address.filter(|_| !error.is_io()) {
                self.telling = Some((address, error));
            }
            return;
        }
        // What a server said counts for more than that nobody was there at the last address.
        let (address, error) = match self.telling.take() {
            Some((address, telling)) if error.is_io() => (Some(address), telling),
            _ => (address, error),
        };
        self.server = None;
        let refusal = error.refusal().cloned();
        let verdict = match was_connected {
            true => self.pool.on_loss(refusal),
            false => self.pool.on_failure(refusal),
        };
        let has_failed = verdict == Verdict::GiveUp || self.pool.have_all_failed();
        match self.first.take_if(|_| has_failed) {
            Some(first) if self.options.retry_first && verdict != Verdict::GiveUp => {
                first.resolve(Ok(()));
            }
            Some(first) => {
                let timeout = self.options.session.handshake_timeout;
                first.resolve(Err(error.into_connect_error(address, timeout)));
                return self.shared.write_queue.close(self.now);
            }
            None => {}
        }
        match verdict {
            Verdict::GiveUp => self.shared.write_queue.close(self.now),
            Verdict::Next { rounds, waits } => {
                let wait = if waits { self.wait_before(rounds) } else { Duration::ZERO };
                self.retry_at = Some(self.now + wait);
            }
        }
    }

    fn wait_before(&self, rounds: u32) -> Duration {
        let usual = || self.options.backoff.delay(rounds, fastrand::u32(..));
        match &self.options.hooks.delay {
            Some(delay) => contain(&self.shared.counters, || delay(rounds))
                .map_or_else(usual, |wait| wait.min(super::LONGEST_SLEEP * 60)),
            None => usual(),
        }
    }

    /// The user wants another connection.
    pub(super) fn force_reconnect(&mut self) {
        self.pool.on_steady_end();
        match self.link {
            Some(_) => self.lost(LinkError::Forced),
            None if self.search.is_none() => self.retry_at = Some(self.now),
            None => {}
        }
    }

    /// Settles what died with a connection that stood. While the write queue is locked nobody can publish, so what is in it or
    /// in the backlog now is exactly what will still be sent.
    fn disconnect(&mut self, link: &mut Link) {
        self.tell_state(State::Reconnecting);
        let untold = link.session.has_untold(Barrier::is_flush);
        let mut broken: Vec<Barrier> = link.session.take_flushes().collect();
        {
            let mut write_queue = self.shared.write_queue.lock();
            let queued = mem::take(&mut write_queue.bytes);
            if self.options.limits.reconnect_bytes > 0 {
                keep_publishes(&mut self.backlog.bytes, &queued);
            } else {
                // Nothing waits for the next connection, and whoever asked for an answer learns of it now.
                self.backlog.bytes.clear();
                write_queue.lost |= write_queue.plain > link.session.sent();
            }
            self.routes.disconnected(&mut Unsent { bytes: &mut self.backlog.bytes });
            write_queue.held_back = self.backlog.bytes.len();
            self.shared.write_queue.set_connected(&mut write_queue, false);
            // What was written before them may be lost, so barriers that somebody waits for are broken. That of a drain is passed
            // when its turn comes: its subscription may stand before it.
            let (failed, commands): (Vec<_>, Vec<_>) = mem::take(&mut write_queue.commands)
                .into_iter()
                .partition(|command| matches!(command, Command::Barrier(b) if b.is_awaited()));
            write_queue.commands = commands;
            let told =
                failed.iter().any(|command| matches!(command, Command::Barrier(b) if b.is_flush()));
            write_queue.lost |= untold && !told;
            broken.extend(failed.into_iter().filter_map(|command| match command {
                Command::Barrier(barrier) => Some(barrier),
                _ => None,
            }));
        }
        // Waking others only now: they may want the write queue.
        self.end_turn_of_sinks();
        for barrier in broken {
            if let Some(more) = barrier.break_off(FlushError::Disconnected) {
                self.pass(more);
            }
        }
    }

    /// When there is something to do for the next connection.
    pub(super) fn next_dial(&self) -> Option<Instant> {
        self.search.as_ref().map(|search| search.due(self.now)).or(self.retry_at)
    }

    /// Goes on with connecting, if it is time.
    pub(super) fn keep_dialing(&mut self) {
        if let Some(found) = self.search.as_ref().and_then(|search| search.look(self.now)) {
            self.search = None;
            self.on_found(found);
        }
        if self.retry_at.is_some_and(|at| self.now >= at) {
            self.retry_at = None;
            match self.addresses.pop() {
                Some(address) => self.try_address(address),
                None => self.try_next_server(),
            }
        }
    }

    fn try_next_server(&mut self) {
        let Some(server) = self.pool.next().cloned() else {
            return self.shared.write_queue.close(self.now);
        };
        self.server = Some(server.clone());
        if let Some(address) = dial::literal_address(&server, &self.options.hooks) {
            return self.try_address(address);
        }
        let deadline =
            self.now + self.options.session.handshake_timeout.min(super::LONGEST_SLEEP * 60);
        match dial::search(&server, &self.options.hooks, &self.shared, deadline) {
            Ok(search) => self.search = Some(search),
            Err(source) => {
                let host = server.host.clone();
                self.failed(&server, None, LinkError::Resolve { host, source });
            }
        }
    }

    fn on_found(&mut self, found: std::io::Result<Found>) {
        let Some(server) = self.server.clone() else { return };
        match found {
            Ok(Found::Addresses(mut addresses)) => {
                dial::arrange(&mut addresses, self.options.socket.addresses);
                addresses.reverse();
                self.addresses = addresses;
                self.retry_at = Some(self.now);
            }
            Ok(Found::Socket(socket)) => {
                let made = socket.set_nonblocking(true).and_then(|()| socket.peer_addr());
                match made {
                    Ok(address) => self.open(address, Ok(mio::net::TcpStream::from_std(socket))),
                    Err(error) => self.failed(&server, None, LinkError::Dial(error)),
                }
            }
            Err(source) if self.options.hooks.dial.is_some() => {
                self.failed(&server, None, LinkError::Dial(source));
            }
            Err(source) => {
                let host = server.host.clone();
                self.failed(&server, None, LinkError::Resolve { host, source });
            }
        }
    }

    fn try_address(&mut self, address: SocketAddr) {
        let socket = dial::connect(address, &self.options.socket);
        self.open(address, socket);
    }

    /// Goes on over a socket that is being connected to the current server.
    fn open(&mut self, address: SocketAddr, socket: std::io::Result<mio::net::TcpStream>) {
        let Some(server) = self.server.clone() else { return };
        self.links += 1;
        let opened = socket.and_then(|socket| {
            let way = Way { server: server.clone(), address, socket };
            Link::open(&self.poll, way, &self.options, self.links, self.now)
        });
        match opened {
            Ok(link) => self.link = Some(link),
            Err(error) => self.failed(&server, Some(address), error.into()),
        }
    }
}
