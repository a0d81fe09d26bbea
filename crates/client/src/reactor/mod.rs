//! The loop behind a connection. It alone touches the socket and reads the clock.
//!
//! [`Reactor`] is a plain struct: [`Reactor::turn`] does what there is to do, sleeping for it no longer than told. A thread of
//! ours drives it for a `Client`, and the caller's own for a `LocalClient`. Every turn goes the same way: take what user threads left, write, sleep or look, read,
//! keep the times.

mod barrier;
mod dial;
mod draining;
mod input;
mod link;
mod make;
mod moving;
mod output;
mod pool;
mod quiet;
mod reconnect;
mod routes;
mod sleep;
mod thread;
mod watch;
mod wire;

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jetlane_proto::{Connect, SessionTimeout, encode};
use mio::{Events, Poll};

use crate::contain::contain;
use crate::error::LinkError;
use crate::options::ConnectOptions;
use crate::pending::Resolver;
use crate::shared::Shared;
use crate::sink::{CloseReason, Out, Unsent, keep_publishes};
use crate::stats::{Counters, State, count};
use crate::tls;
use crate::write_queue::Command;
use crate::{CloseError, ConnectError, CredentialsError, Event, FlushError, ServerUrl};

pub(crate) use barrier::Barrier;
use dial::Search;
use draining::{Drain, DrainStage};
use link::{Link, Progress};
pub(crate) use make::{Made, make};
use moving::{Leaving, Moving};
use pool::Pool;
pub(crate) use routes::Route;
use routes::Routes;
pub(crate) use thread::{Started, start};

/// The longest sleep: nothing here needs one, but a missed wake-up would end with it.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    shared: Arc<Shared>,
    options: ConnectOptions,
    pool: Pool,
    link: Option<Link>,
    /// The server that is being connected to.
    server: Option<ServerUrl>,
    /// The search for its addresses.
    search: Option<Search>,
    /// Those of its addresses that were not tried yet, the next one last.
    addresses: Vec<SocketAddr>,
    /// Why another of its addresses failed, if that tells more than that nobody is there.
    telling: Option<(SocketAddr, LinkError)>,
    /// Counts links, to tell their events from each other.
    links: usize,
    /// When to try the next server, while there is no link.
    retry_at: Option<Instant>,
    /// Who waits for the first connect.
    first: Option<Resolver<Result<(), ConnectError>>>,
    /// Whether there ever was a connection.
    was_connected: bool,
    /// A move to another server, while there is one; and the link that was left by the last one.
    moving: Option<Moving>,
    leaving: Option<Leaving>,
    /// The drain of the connection, while there is one.
    drain: Option<Drain>,
    /// The time for it was up before it had come to its end.
    undrained: bool,
    routes: Routes,
    /// Publishes that a lost connection left unwritten; sent first on the next one.
    backlog: Backlog,
    /// Barriers set up while there was no connection.
    barriers: Vec<Barrier>,
    /// A buffer for what is taken from the write queue; empty between turns.
    commands: Vec<Command>,
    now: Instant,
}

/// Frames for the next connection, and how many messages sinks have published there.
#[derive(Debug, Default)]
struct Backlog {
    bytes: Vec<u8>,
    published: u64,
}

/// How much of the write queue can be taken.
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
    /// The connection is closed for good, and left that undone.
    Over(CloseError),
}

impl Reactor {
    /// One turn: never longer than `most` asleep.
    pub(crate) fn turn(&mut self, most: Duration) -> Turn {
        self.take_write_queue();
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
    fn take_write_queue(&mut self) {
        let mut commands = mem::take(&mut self.commands);
        let (intake, mut published) = (self.intake(), None);
        let write_queue = &self.shared.write_queue;
        let taken = match (intake, &mut self.link) {
            (Intake::All, Some(link)) => {
                let mut taken = link.output.spare();
                published = Some(write_queue.take(&mut taken, &mut commands));
                taken
            }
            (Intake::Ready, _) => {
                write_queue.take_ready_commands(&mut commands);
                Vec::new()
            }
            _ => {
                write_queue.take_commands(&mut commands);
                Vec::new()
            }
        };
        // What a nudged sink has to write was caused before what user threads queued since: a flush covers it.
        for command in &mut commands {
            if let Command::Nudge { sid } = *command
                && self.routes.touch(sid)
            {
                *command = Command::EndTurn;
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
        if let (Some(link), Some(published)) = (&mut self.link, published) {
            link.session.on_sent(published);
        }
        self.end_turn_of_sinks();
    }

    /// How much of the write queue can be taken now.
    fn intake(&self) -> Intake {
        match &self.link {
            Some(link) if !link.is_ready() => Intake::Commands,
            Some(_) if self.holds_write_queue() => Intake::Ready,
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
                self.subscribe_while_moving(sid);
            }
            Command::Unsubscribe { sid } => {
                self.routes.finish(sid, CloseReason::Unsubscribed);
                self.shared.write_queue.lock().sids.give_back(sid);
            }
            Command::UnsubscribeAfter { sid, most } => self.routes.limit(sid, most),
            // Its subscription was made in the same turn.
            Command::Nudge { sid } => {
                self.routes.touch(sid);
            }
            // It may be a search that has found something.
            Command::EndTurn => {
                self.now = Instant::now();
                self.keep_dialing();
            }
            Command::Barrier(barrier) => self.set_up(barrier),
            Command::Drain { deadline } => {
                let drain = self.drain.get_or_insert(Drain { deadline, stage: DrainStage::Waits });
                drain.deadline = drain.deadline.min(deadline);
                self.shared.counters.set_state(State::Draining);
            }
            Command::DrainNow => {
                if let Some(drain) = self.drain.as_mut().filter(|it| it.stage == DrainStage::Waits)
                {
                    drain.stage = DrainStage::Due;
                }
            }
            Command::Reconnect => self.force_reconnect(),
            Command::SetServers(urls) => self.pool.replace(urls),
        }
    }

    /// A barrier whose PING stands among the frames, if there is a connection.
    fn set_up(&mut self, barrier: Barrier) {
        match (&mut self.link, barrier) {
            (Some(link), barrier) if link.is_ready() => link.await_pong(barrier),
            (_, barrier @ (Barrier::Flush { .. } | Barrier::RoundTrip { .. })) => {
                // The connection may have been given up in this turn, between what was published and the flush behind it.
                if barrier.is_flush() && mem::take(&mut self.shared.write_queue.lock().lost) {
                    // A flush is all there is to it.
                    let _ = barrier.break_off(FlushError::Disconnected);
                } else {
                    self.barriers.push(barrier);
                }
            }
            // Without a connection no messages are on their way.
            (_, barrier) => self.pass(barrier),
        }
    }

    /// What lies behind a barrier.
    fn pass(&mut self, barrier: Barrier) {
        match barrier {
            Barrier::Drained { sid } => self.routes.finish(sid, CloseReason::Drained),
            Barrier::AllDrained => {
                self.routes.finish_all(CloseReason::Drained);
                if let Some(drain) = &mut self.drain {
                    drain.stage = DrainStage::AllCame;
                }
            }
            Barrier::Departed { to } => self.take_over(to),
            Barrier::Subscribed | Barrier::Flush { .. } | Barrier::RoundTrip { .. } => {}
        }
    }

    /// Lifts the barriers whose PONG has come.
    fn lift(&mut self, barriers: Vec<Barrier>) {
        let now = self.now;
        for barrier in barriers {
            if let Some(more) = barrier.lift(now) {
                self.pass(more);
            }
        }
    }

    /// Lets every sink that had messages or a nudge finish its batch.
    fn end_turn_of_sinks(&mut self) {
        let Self { routes, link, backlog, now, .. } = self;
        let mut out = out_of(link, backlog, *now);
        routes.end_turn(&mut out);
    }

    fn write(&mut self) {
        self.write_moving();
        let Some(link) = &mut self.link else { return };
        let published = link.output.take_published() + mem::take(&mut self.backlog.published);
        if published > 0 {
            count(&self.shared.counters.messages_out, published);
        }
        match link.write() {
            Ok(written) => count(&self.shared.counters.bytes_out, written as u64),
            Err(error) => self.lost(error),
        }
    }

    fn read(&mut self) {
        self.read_moving();
        let Self { link: Some(link), routes, shared, now, .. } = self else { return };
        let mut progress = Progress::default();
        let read = link.read(routes, shared, *now, &mut progress);
        if progress.delivered {
            // Sinks may have handled what they were given, which took its time.
            *now = Instant::now();
        }
        self.on_progress(progress);
        if let Err(error) = read {
            return self.lost(error);
        }
        self.end_turn_of_sinks();
        if let Some(link) = &mut self.link
            && !link.lifted.is_empty()
        {
            let lifted = mem::take(&mut link.lifted);
            self.lift(lifted);
        }
    }

    #[inline]
    fn on_progress(&mut self, progress: Progress) {
        if progress.greeted
            && let Some(link) = &mut self.link
            && let Err(error) = Self::greet(link, &self.options, &self.shared.counters)
        {
            return self.lost(error);
        }
        if progress.ready {
            self.on_ready();
        }
        if progress.informed {
            self.on_info();
        }
        self.on_complaints(progress.complaints);
    }

    /// The server has greeted us: says who we are.
    fn greet(
        link: &mut Link,
        options: &ConnectOptions,
        counters: &Counters,
    ) -> Result<(), LinkError> {
        let nonce = link.session.info().nonce.as_deref();
        let credentials = || options.credentials.auth(&link.server.auth, nonce);
        let auth = contain(counters, credentials)
            .unwrap_or_else(|| Err(CredentialsError::Callback("it panicked".into())))?;
        let connect = Connect {
            name: options.name.clone(),
            auth,
            echo: !options.no_echo,
            pedantic: options.pedantic,
            verbose: options.verbose,
            tls: link.has_tls(),
        };
        link.output.append(|frames| encode::connect(frames, &connect.to_json()));
        link.output.ping();
        Ok(())
    }

    /// The server complained of something, and went on.
    fn on_complaints(&mut self, errors: Vec<jetlane_proto::ServerError>) {
        for error in errors {
            let write_queue = &self.shared.write_queue;
            self.routes.complained(&error, || drop(write_queue.lock()));
            self.shared.tell_error(&error.to_string());
            self.shared.emit(&Event::ServerError(error));
        }
    }

    /// A later INFO has come.
    fn on_info(&mut self) {
        let Some(link) = &mut self.link else { return };
        let was_lame = mem::replace(&mut link.told_lame, link.session.info().lame_duck);
        let info = link.session.info();
        self.shared.set_info(info);
        let fresh = self.pool.discover(&link.server, &info.connect_urls);
        let lame_duck = (info.lame_duck && !was_lame).then(|| link.server.to_string());
        if !fresh.is_empty() {
            self.shared.emit(&Event::ServersDiscovered { servers: fresh });
        }
        if let Some(server) = lame_duck {
            self.shared.emit(&Event::LameDuck { server });
            self.begin_move();
        }
    }

    /// The handshake has ended: everything goes out again, in the order that was promised.
    fn on_ready(&mut self) {
        let Some(link) = &mut self.link else { return };
        let server = link.server.to_string();
        self.addresses.clear();
        self.telling = None;
        self.tell_state(State::Connected);
        let event = match mem::replace(&mut self.was_connected, true) {
            false => Event::Connected { server },
            true => {
                count(&self.shared.counters.reconnects, 1);
                Event::Reconnected { server }
            }
        };
        self.resume();
        self.shared.emit(&event);
        self.on_info();
        if let Some(first) = self.first.take() {
            first.resolve(Ok(()));
        }
    }

    /// Another link stands in the place of the last one.
    fn settle_in(&mut self) {
        let Some(link) = &self.link else { return };
        self.pool.on_ready(&link.server);
        if link.has_tls() && self.options.tls.is_none() {
            // Whoever may change what we are told can not talk us out of it the next time.
            self.options.tls = tls::usual().ok();
        }
        self.shared.set_info(link.session.info());
    }

    /// After a loss: asks for all subscriptions again, and sends what is still to be sent.
    fn resume(&mut self) {
        self.settle_in();
        let published = self.take_queued();
        let Some(link) = &mut self.link else { return };
        // What is in the backlog may be lost with this connection; what went before it was lost or confirmed with an earlier one.
        let confirmed = published.saturating_sub(u64::from(!self.backlog.bytes.is_empty()));
        link.session.on_confirmed(confirmed);
        // Subscriptions first, so that the answers to what follows find them.
        link.output.append(|frames| self.routes.restore(frames));
        link.output.append(|frames| frames.append(&mut self.backlog.bytes));
        let (bytes, count) = link.output.for_sinks();
        let mut out = Out { bytes, published: count, now: self.now, connected: true, sid: 0 };
        self.routes.connected(&mut out);
        for barrier in self.barriers.drain(..) {
            link.output.ping();
            link.await_pong(barrier);
        }
        link.session.on_sent(published);
    }

    /// Takes what was queued while there was no connection: its publishes go behind the backlog, its SUBs and UNSUBs become
    /// part of the routes. What this server would not take is dropped now, or it would end every connection anew. Returns how many
    /// messages that only a flush confirms were published so far.
    fn take_queued(&mut self) -> u64 {
        let max_payload = self.shared.max_payload.load(Ordering::Relaxed);
        let (commands, published, dropped) = {
            let mut write_queue = self.shared.write_queue.lock();
            let queued = mem::take(&mut write_queue.bytes);
            keep_publishes(&mut self.backlog.bytes, &queued);
            let mut unsent = Unsent { bytes: &mut self.backlog.bytes };
            let dropped = unsent.drop_larger_than(max_payload);
            if dropped > 0 {
                write_queue.lost = true;
                // While the write queue is locked nobody can publish: what is unsent now is all that still waits for answers.
                self.routes.disconnected(&mut unsent);
                self.shared.tell_error(&format!(
                    "{dropped} queued messages are larger than this server takes"
                ));
            }
            write_queue.held_back = 0;
            self.shared.write_queue.set_connected(&mut write_queue, true);
            (mem::take(&mut write_queue.commands), write_queue.plain, dropped)
        };
        for command in commands {
            match command {
                Command::Barrier(barrier @ (Barrier::Flush { .. } | Barrier::RoundTrip { .. })) => {
                    self.barriers.push(barrier);
                }
                Command::Barrier(barrier) => self.pass(barrier),
                Command::Subscribe { sid, route } => self.routes.insert(sid, route),
                other => self.obey(other),
            }
        }
        if dropped > 0 {
            self.tell_of_loss();
        }
        published
    }

    /// Fails the flushes that wait for a connection: what was published before them is lost.
    fn tell_of_loss(&mut self) {
        let barriers = mem::take(&mut self.barriers).into_iter();
        let (flushes, others): (Vec<_>, _) = barriers.partition(Barrier::is_flush);
        self.barriers = others;
        for flush in flushes {
            self.shared.write_queue.lock().lost = false;
            // A flush is all there is to it.
            let _ = flush.break_off(FlushError::Disconnected);
        }
    }

    /// Whether all is over: closed, and nothing left to write and the server has read it, or no time left.
    fn closed(&mut self) -> Option<Turn> {
        let write_queue = self.shared.write_queue.lock();
        let deadline = write_queue.closing?;
        let in_link = self.link.as_ref().map_or(0, Link::unwritten);
        let unwritten = in_link + self.backlog.bytes.len() + write_queue.bytes.len();
        let more = unwritten > 0 || !write_queue.commands.is_empty();
        drop(write_queue);
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
        Some(Turn::Over(CloseError { unwritten, undrained: self.undrained }))
    }

    /// The connection stands, or does not; but while it is drained that is what matters.
    fn tell_state(&self, state: State) {
        let state = if self.drain.is_some() { State::Draining } else { state };
        self.shared.counters.set_state(state);
    }

    /// Ends all that waits.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        self.stop_moving();
        self.shared.write_queue.close(self.now);
        self.shared.counters.set_state(State::Closed);
        let mut commands = Vec::new();
        self.shared.write_queue.take_commands(&mut commands);
        for command in commands {
            self.obey(command);
        }
        let mut barriers = mem::take(&mut self.barriers);
        if let Some(mut link) = self.link.take() {
            barriers.extend(link.session.take_flushes());
            link.shut(&self.poll);
        }
        for barrier in barriers {
            // Whatever lies behind it ends now as well.
            let _ = barrier.break_off(FlushError::Closed);
        }
        self.routes.close(reason, &self.shared.counters);
        self.shared.emit(&Event::Closed);
        if let Some(first) = self.first.take() {
            let gone = std::io::Error::other("the reactor ended");
            first.resolve(Err(ConnectError::Reactor(gone)));
        }
    }

    fn keep_times(&mut self) {
        self.keep_dialing();
        self.keep_moving();
        // Who does not read can not see PONGs: the peer is not to blame.
        let reads = !self.shared.is_blocked();
        if let Some(link) = self.link.as_mut().filter(|_| reads) {
            link.keep_watch(self.now);
            match link.session.on_time(self.now) {
                Ok(SessionTimeout::None) => {}
                Ok(SessionTimeout::Ping) => link.output.ping(),
                Err(error) => self.lost(error.into()),
            }
        }
        self.keep_draining();
        let Self { routes, link, backlog, now, .. } = self;
        routes.on_time(&mut out_of(link, backlog, *now));
    }
}

/// Where sinks write to: behind what the connection writes now, or what the next one will write first.
fn out_of<'a>(link: &'a mut Option<Link>, backlog: &'a mut Backlog, now: Instant) -> Out<'a> {
    match link {
        Some(link) if link.is_ready() => {
            let (bytes, published) = link.output.for_sinks();
            Out { bytes, published, now, connected: true, sid: 0 }
        }
        _ => {
            let Backlog { bytes, published } = backlog;
            Out { bytes, published, now, connected: false, sid: 0 }
        }
    }
}
