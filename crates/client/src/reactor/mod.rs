//! The loop behind a connection. It alone touches the socket and reads the clock.
//!
//! [`Reactor`] is a plain struct: [`Reactor::turn`] does what there is to do, sleeping for it no longer than told. A thread of
//! ours drives it for a `Client`, and the caller's own for a `LocalClient`. Every turn goes the same way: take what user threads left, write, sleep or look, read,
//! keep the times.

mod input;
mod link;
mod make;
mod output;
mod routes;
mod sleep;
mod thread;

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jetlane_proto::{Connect, SessionTimeout, encode};
use mio::{Events, Poll};

use crate::error::LinkError;
use crate::options::ConnectOptions;
use crate::outbox::Command;
use crate::pending::Resolver;
use crate::shared::Shared;
use crate::sink::{CloseReason, Out, Unsent, keep_publishes};
use crate::stats::{State, count};
use crate::{ConnectError, FlushError};

use link::Link;
pub(crate) use make::{Made, make};
pub(crate) use routes::Route;
use routes::Routes;
pub(crate) use thread::start;

/// The longest sleep: nothing here needs one, but a missed wake-up would end with it.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// A connection that stood this long was a good one: the next attempt comes at once again.
const STEADY: Duration = Duration::from_secs(5);

pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    shared: Arc<Shared>,
    options: ConnectOptions,
    connect: Connect,
    addresses: Vec<SocketAddr>,
    link: Option<Link>,
    /// The address to try next, of `addresses`, counting on and on.
    attempt: usize,
    /// Attempts since the last connection that stood.
    failures: u32,
    /// Refusals of our credentials since the last connection that stood.
    auth_failures: u32,
    /// When to try again, while there is no link.
    retry_at: Option<Instant>,
    /// Who waits for the first connect.
    first: Option<Resolver<Result<(), ConnectError>>>,
    routes: Routes,
    /// Publishes that a lost connection left unwritten; sent first on the next one.
    backlog: Vec<u8>,
    /// Flushes asked for while there was no connection.
    flushes: Vec<Resolver<Result<(), FlushError>>>,
    /// A buffer for what is taken from the outbox; empty between turns.
    commands: Vec<Command>,
    now: Instant,
}

/// How much of the outbox can be taken.
enum Intake {
    /// All of it.
    All,
    /// The socket stands still: what need not wait for it.
    Ready,
    /// There is no connection: the commands.
    Commands,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Again,
    /// The connection is closed for good, with this many bytes unwritten.
    Over {
        unwritten: usize,
    },
}

impl Reactor {
    /// One turn: never longer than `most` asleep.
    pub(crate) fn turn(&mut self, most: Duration) -> Turn {
        self.take_outbox();
        self.write();
        if let Some(over) = self.closed() {
            return over;
        }
        self.sleep(most);
        self.now = Instant::now();
        self.read();
        self.keep_times();
        Turn::Again
    }

    /// Takes what user threads left: all of it while the socket keeps up, else the commands that need not wait for it.
    fn take_outbox(&mut self) {
        let mut commands = mem::take(&mut self.commands);
        let intake = self.intake();
        let outbox = &self.shared.outbox;
        let taken = match (intake, &mut self.link) {
            (Intake::All, Some(link)) => {
                let mut taken = link.output.spare();
                outbox.take(&mut taken, &mut commands);
                taken
            }
            (Intake::Ready, _) => {
                outbox.take_ready_commands(&mut commands);
                Vec::new()
            }
            _ => {
                outbox.take_commands(&mut commands);
                Vec::new()
            }
        };
        // What a nudged sink has to write was caused before what user threads queued since: a flush covers it.
        for command in &commands {
            if let Command::Nudge { sid } = command {
                self.routes.touch(*sid);
            }
        }
        self.end_turn_of_sinks();
        if let Some(link) = &mut self.link {
            link.output.push(taken);
        }
        for command in commands.drain(..) {
            self.obey(command);
        }
        self.commands = commands;
        self.end_turn_of_sinks();
    }

    /// How much of the outbox can be taken now.
    fn intake(&self) -> Intake {
        match &self.link {
            Some(link) if !link.is_ready() => Intake::Commands,
            Some(link) if link.output.wants_more() => Intake::All,
            Some(_) => Intake::Ready,
            None => Intake::Commands,
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Subscribe { sid, route } => {
                let Self { routes, link, backlog, now, .. } = self;
                let mut out = out_of(link, backlog, *now);
                routes.insert(sid, route);
                if out.connected {
                    routes.connect_one(sid, &mut out);
                }
            }
            Command::Unsubscribe { sid } => {
                if let Some(mut route) = self.routes.remove(sid) {
                    route.sink.closed(CloseReason::Unsubscribed);
                    self.shared.outbox.lock().sids.give_back(sid);
                }
            }
            // Done when it was taken.
            Command::Nudge { .. } | Command::EndTurn => {}
            Command::Flush { done } => match &mut self.link {
                Some(link) if link.is_ready() => link.session.on_flush_sent(done),
                _ => self.flushes.push(done),
            },
        }
    }

    /// Lets every sink that had messages or a nudge finish its batch.
    fn end_turn_of_sinks(&mut self) {
        let Self { routes, link, backlog, now, .. } = self;
        let mut out = out_of(link, backlog, *now);
        routes.end_turn(&mut out);
    }

    fn write(&mut self) {
        let Some(link) = &mut self.link else { return };
        match link.write() {
            Ok(written) => count(&self.shared.counters.bytes_out, written as u64),
            Err(error) => self.lost(error.into()),
        }
    }

    fn read(&mut self) {
        let Self { link: Some(link), routes, shared, now, .. } = self else { return };
        let progress = match link.read(routes, shared, *now) {
            Ok(progress) => progress,
            Err(error) => return self.lost(error),
        };
        if progress.delivered {
            // Sinks may have handled what they were given, which took its time.
            *now = Instant::now();
        }
        if progress.greeted {
            encode::connect(link.output.next(), &self.connect.to_json());
            link.output.next().extend_from_slice(encode::PING);
        }
        if progress.ready {
            self.on_ready();
        }
        self.end_turn_of_sinks();
        if let Some(link) = &mut self.link {
            link.flushed.drain(..).for_each(|done| done.resolve(Ok(())));
        }
    }

    /// The handshake has ended: everything goes out again, in the order that was promised.
    fn on_ready(&mut self) {
        self.shared.counters.set_state(State::Connected);
        if self.first.is_none() {
            count(&self.shared.counters.reconnects, 1);
        }
        let Some(link) = &mut self.link else { return };
        self.shared.set_info(link.session.info());
        self.take_queued();
        let Some(link) = &mut self.link else { return };
        // Subscriptions first, so that the answers to what follows find them.
        self.routes.restore(link.output.next());
        link.output.next().append(&mut self.backlog);
        let mut out = Out { bytes: link.output.next(), now: self.now, connected: true, sid: 0 };
        self.routes.connected(&mut out);
        for done in self.flushes.drain(..) {
            link.output.next().extend_from_slice(encode::PING);
            link.session.on_flush_sent(done);
        }
        if let Some(first) = self.first.take() {
            first.resolve(Ok(()));
        }
    }

    /// Takes what was queued while there was no connection: its publishes go behind the backlog, its SUBs and UNSUBs become
    /// part of the routes. What this server would not take is dropped now, or it would end every connection anew.
    fn take_queued(&mut self) {
        let max_payload = self.shared.max_payload.load(Ordering::Relaxed);
        let commands = {
            let mut outbox = self.shared.outbox.lock();
            let queued = mem::take(&mut outbox.bytes);
            keep_publishes(&mut self.backlog, &queued);
            let mut unsent = Unsent { bytes: &mut self.backlog };
            let dropped = unsent.drop_larger_than(max_payload);
            if dropped > 0 {
                // While the outbox is locked nobody can publish: what is unsent now is all that still waits for answers.
                self.routes.disconnected(&mut unsent);
                *self.shared.last_error.lock() =
                    Some(format!("{dropped} queued messages are larger than this server takes"));
            }
            outbox.held_back = 0;
            self.shared.outbox.notify_room(&outbox);
            mem::take(&mut outbox.commands)
        };
        for command in commands {
            match command {
                Command::Flush { done } => self.flushes.push(done),
                Command::Subscribe { sid, route } => self.routes.insert(sid, route),
                Command::Nudge { sid } => self.routes.touch(sid),
                other => self.obey(other),
            }
        }
    }

    /// The link is lost: settles what died with it, and plans the next attempt.
    fn lost(&mut self, error: LinkError) {
        let Some(mut link) = self.link.take() else { return };
        link.shut(&self.poll);
        if link.is_finished() {
            // We ended it, and the server has read to the end: nothing is lost. The close tells all who still wait.
            self.end_turn_of_sinks();
            link.flushed.drain(..).for_each(|done| done.resolve(Ok(())));
            return;
        }
        if link.is_ready() {
            link.output.keep_unwritten(error.blames_a_frame(), &mut self.backlog);
        }
        // What the last read brought before it failed is handed on as well.
        self.end_turn_of_sinks();
        link.flushed.drain(..).for_each(|done| done.resolve(Ok(())));
        if link.is_ready() {
            self.disconnect(&mut link);
            // A server that takes us and drops us at once is to be tried as rarely as one that does not take us.
            if link.age(self.now) >= STEADY {
                (self.failures, self.auth_failures) = (0, 0);
            }
        }
        self.failed(link.address, error);
    }

    /// A connection to `address` ended or did not come to be: plans the next attempt.
    fn failed(&mut self, address: SocketAddr, error: LinkError) {
        self.failures = self.failures.saturating_add(1);
        self.auth_failures = if error.is_auth() { self.auth_failures + 1 } else { 0 };
        *self.shared.last_error.lock() = Some(error.to_string());
        let more_addresses = (self.failures as usize) < self.addresses.len();
        match self.first.take_if(|_| !more_addresses) {
            Some(first) => {
                let timeout = self.options.session.handshake_timeout;
                first.resolve(Err(error.into_connect_error(address, timeout)));
                self.shared.outbox.close(self.now);
            }
            // The same credentials will not be accepted the third time either.
            None if self.auth_failures >= 2 => self.shared.outbox.close(self.now),
            None => {
                let wait = self.options.backoff.delay(self.failures - 1, fastrand::u32(..));
                self.retry_at = Some(self.now + wait);
            }
        }
    }

    /// Settles what died with a connection that stood. While the outbox is locked nobody can publish, so what is in it or
    /// in the backlog now is exactly what will still be sent.
    fn disconnect(&mut self, link: &mut Link) {
        self.shared.counters.set_state(State::Reconnecting);
        let mut flushes: Vec<_> = link.session.take_flushes().collect();
        {
            let mut outbox = self.shared.outbox.lock();
            let queued = mem::take(&mut outbox.bytes);
            keep_publishes(&mut self.backlog, &queued);
            self.routes.disconnected(&mut Unsent { bytes: &mut self.backlog });
            outbox.held_back = self.backlog.len();
            // What was written before them may be lost, so flushes that were asked for by now have failed.
            let (failed, commands): (Vec<_>, Vec<_>) = mem::take(&mut outbox.commands)
                .into_iter()
                .partition(|command| matches!(command, Command::Flush { .. }));
            outbox.commands = commands;
            flushes.extend(failed.into_iter().filter_map(|command| match command {
                Command::Flush { done } => Some(done),
                _ => None,
            }));
        }
        // Waking others only now: they may want the outbox.
        self.end_turn_of_sinks();
        for done in flushes {
            done.resolve(Err(FlushError::Disconnected));
        }
    }

    /// Whether all is over: closed, and nothing left to write and the server has read it, or no time left.
    fn closed(&mut self) -> Option<Turn> {
        let outbox = self.shared.outbox.lock();
        let deadline = outbox.closing?;
        let in_link = self.link.as_ref().map_or(0, |link| link.output.unwritten());
        let unwritten = in_link + self.backlog.len() + outbox.bytes.len();
        let more = unwritten > 0 || !outbox.commands.is_empty();
        drop(outbox);
        let in_time = Instant::now() < deadline;
        if in_time && more {
            return None;
        }
        if in_time && let Some(link) = self.link.as_mut().filter(|link| link.is_ready()) {
            // To shut a socket that still has input would throw away what the server has not read yet: say that we have
            // ended, and read until the server ends, too.
            link.finish();
            return None;
        }
        self.end(CloseReason::ConnectionClosed);
        Some(Turn::Over { unwritten })
    }

    /// Ends all that waits.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        self.shared.outbox.close(self.now);
        self.shared.counters.set_state(State::Closed);
        let mut commands = Vec::new();
        self.shared.outbox.take_commands(&mut commands);
        for command in commands {
            self.obey(command);
        }
        let flushes = mem::take(&mut self.flushes);
        if let Some(mut link) = self.link.take() {
            for done in link.session.take_flushes() {
                done.resolve(Err(FlushError::Closed));
            }
            link.shut(&self.poll);
        }
        for done in flushes {
            done.resolve(Err(FlushError::Closed));
        }
        self.routes.close(reason);
        if let Some(first) = self.first.take() {
            let gone = std::io::Error::other("the reactor ended");
            first.resolve(Err(ConnectError::Reactor(gone)));
        }
    }

    fn keep_times(&mut self) {
        if self.retry_at.is_some_and(|at| self.now >= at) {
            self.retry_at = None;
            self.dial();
        }
        if let Some(link) = &mut self.link {
            match link.session.on_time(self.now) {
                Ok(SessionTimeout::None) => {}
                Ok(SessionTimeout::Ping) => link.output.next().extend_from_slice(encode::PING),
                Err(error) => self.lost(error.into()),
            }
        }
        let Self { routes, link, backlog, now, .. } = self;
        routes.on_time(&mut out_of(link, backlog, *now));
    }

    /// Tries the next address.
    fn dial(&mut self) {
        let address = self.addresses[self.attempt % self.addresses.len()];
        self.attempt += 1;
        match Link::open(&self.poll, address, &self.options, self.attempt, self.now) {
            Ok(link) => self.link = Some(link),
            Err(error) => self.failed(address, error.into()),
        }
    }
}

/// Where sinks write to: behind what the connection writes now, or what the next one will write first.
fn out_of<'a>(link: &'a mut Option<Link>, backlog: &'a mut Vec<u8>, now: Instant) -> Out<'a> {
    match link {
        Some(link) if link.is_ready() => {
            Out { bytes: link.output.next(), now, connected: true, sid: 0 }
        }
        _ => Out { bytes: backlog, now, connected: false, sid: 0 },
    }
}
