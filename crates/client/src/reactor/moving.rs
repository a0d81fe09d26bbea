//! Leaving a server that is about to stop (lame duck, ADR-5), without losing a message.
//!
//! A second link is made to another server, and subscribes to everything; what comes by it is held. For a while both bring the same
//! messages, until all of the cluster knows the new one. Then publishes wait until what was stored by the old server was answered, the
//! old link unsubscribes from everything, and its PONG says that nothing more will come by it. The new link takes over:
//! what it held is handed on, without what the old one has brought.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jetlane_proto::{ServerError, SessionTimeout, encode};
use mio::Token;

use super::dial::{self, Found, Search};
use super::link::{Link, Progress, Way};
use super::routes::Routes;
use super::watch::{Held, Twins, Watch};
use super::{Barrier, Reactor};
use crate::sink::Unsent;
use crate::stats::count;
use crate::{Event, ServerUrl};

/// How long both links bring messages: until a cluster has told all its servers of our subscriptions, and more.
const OVERLAP: Duration = Duration::from_millis(200);

/// How long publishes wait for the answers to those before them.
const REST: Duration = Duration::from_secs(1);

/// How often it is looked whether they have come.
const TICK: Duration = Duration::from_millis(2);

/// How long the old link is read after the change: until the server has read to its end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a move may take in all. Lame-duck servers give half a minute at least.
const PATIENCE: Duration = Duration::from_secs(20);

/// A move to another server that is under way.
pub(super) struct Moving {
    server: ServerUrl,
    search: Option<Search>,
    /// Addresses of the server that were not tried yet, the next one last.
    addresses: Vec<SocketAddr>,
    pub(super) link: Option<Link>,
    /// The subscriptions that the new link has.
    asked: Vec<u64>,
    /// What the server has complained of on the new link, to be told when it takes over.
    complaints: Vec<ServerError>,
    stage: Stage,
    /// How many other servers may still be tried.
    tries: usize,
    gives_up_at: Instant,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The new link is being made.
    Connecting,
    /// It has asked for all subscriptions.
    Subscribing,
    /// Both links bring messages.
    Overlapping { until: Instant },
    /// Publishes wait for the answers to those before them.
    Resting { until: Instant },
    /// The old link has unsubscribed.
    Draining,
}

/// A link that was left, until the server has read to its end.
pub(super) struct Leaving {
    pub(super) link: Link,
    until: Instant,
}

impl Reactor {
    /// The server is about to stop: looks for another one.
    pub(super) fn begin_move(&mut self) {
        let others = self.pool.urls().count().saturating_sub(1);
        if self.options.stay_on_lame_duck || self.moving.is_some() || self.drain.is_some() {
            return;
        }
        self.try_to_move(others, self.now + PATIENCE);
    }

    /// Tries the next server but the one we are connected to.
    fn try_to_move(&mut self, tries: usize, gives_up_at: Instant) {
        let Some(here) = self.link.as_ref().map(|link| link.server.clone()) else { return };
        self.moving = None;
        if tries == 0 {
            return self.pool.stay_with(&here);
        }
        let next = self.pool.next().filter(|url| !url.is_same_place(&here)).cloned();
        let Some(server) = next.or_else(|| self.pool.next().cloned()) else { return };
        let deadline = self.now + self.options.session.handshake_timeout.min(PATIENCE);
        let mut moving = Moving {
            server,
            search: None,
            addresses: Vec::new(),
            link: None,
            asked: Vec::new(),
            complaints: Vec::new(),
            stage: Stage::Connecting,
            tries: tries - 1,
            gives_up_at,
        };
        match dial::literal_address(&moving.server, &self.options.hooks) {
            Some(address) => moving.addresses.push(address),
            None => {
                let search =
                    dial::search(&moving.server, &self.options.hooks, &self.shared, deadline);
                moving.search = search.ok();
            }
        }
        self.moving = Some(moving);
        self.open_next_address();
    }

    /// Goes on with the next address of the server, or with the next server.
    fn open_next_address(&mut self) {
        let Some(moving) = &mut self.moving else { return };
        if moving.search.is_some() {
            return;
        }
        let Some(address) = moving.addresses.pop() else { return self.move_failed() };
        let socket = dial::connect(address, &self.options.socket);
        self.open_moving(address, socket);
    }

    fn open_moving(&mut self, address: SocketAddr, socket: io::Result<mio::net::TcpStream>) {
        let Some(moving) = &mut self.moving else { return };
        self.links += 1;
        let opened = socket.and_then(|socket| {
            let way = Way { server: moving.server.clone(), address, socket };
            Link::open(&self.poll, way, &self.options, self.links, self.now)
        });
        match opened {
            Ok(link) => moving.link = Some(link),
            Err(_) => self.open_next_address(),
        }
    }

    /// This server is not the one to move to.
    fn move_failed(&mut self) {
        let Some(moving) = self.moving.take() else { return };
        if let Some(mut link) = moving.link {
            link.shut(&self.poll);
        }
        if let Some(old) = &mut self.link {
            old.set_watch(Watch::Off);
            if moving.stage == Stage::Draining {
                // It was told to end them all.
                old.output.append(|frames| self.routes.restore(frames));
            }
        }
        self.try_to_move(moving.tries, moving.gives_up_at);
    }

    /// Gives a move up: the connection is lost, or closing.
    pub(super) fn stop_moving(&mut self) {
        if let Some(Moving { link: Some(mut link), .. }) = self.moving.take() {
            link.shut(&self.poll);
        }
        if let Some(link) = &mut self.link {
            link.set_watch(Watch::Off);
        }
    }

    /// True while what users queue must wait for the new link.
    pub(super) fn holds_write_queue(&self) -> bool {
        // What comes back to nobody by the old link would come by the new one.
        let no_echo = self.options.no_echo;
        self.moving.as_ref().is_some_and(|moving| match moving.stage {
            Stage::Connecting => false,
            Stage::Subscribing | Stage::Overlapping { .. } => no_echo,
            Stage::Resting { .. } | Stage::Draining => true,
        })
    }

    /// A subscription was made: the new link is to have it, too.
    pub(super) fn subscribe_while_moving(&mut self, sid: u64) {
        if let Some(Moving { link: Some(link), asked, stage, .. }) = &mut self.moving
            && *stage != Stage::Connecting
        {
            link.output.append(|frames| self.routes.subscribe_one(sid, frames));
            asked.push(sid);
        }
    }

    pub(super) fn write_moving(&mut self) {
        if let Some(link) = self.moving.as_mut().and_then(|moving| moving.link.as_mut()) {
            match link.write() {
                Ok(written) => count(&self.shared.counters.bytes_out, written as u64),
                Err(_) => self.open_next_address(),
            }
        }
        if let Some(leaving) = &mut self.leaving {
            // Whatever becomes of it, its time ends.
            let _ = leaving.link.write();
        }
    }

    pub(super) fn read_moving(&mut self) {
        self.read_leaving();
        let Self { moving: Some(moving), routes, shared, now, options, .. } = self else { return };
        let Some(link) = &mut moving.link else { return };
        let mut progress = Progress::default();
        let read = link.read(routes, shared, *now, &mut progress).and_then(|()| {
            if progress.greeted { Self::greet(link, options, &shared.counters) } else { Ok(()) }
        });
        match read {
            Ok(()) => self.on_moving_progress(progress),
            // Its server may have other addresses.
            Err(_) => match moving.stage {
                Stage::Connecting => {
                    moving.link = None;
                    self.open_next_address();
                }
                _ => self.move_failed(),
            },
        }
    }

    fn on_moving_progress(&mut self, progress: Progress) {
        let Some(moving) = &mut self.moving else { return };
        let Some(link) = &mut moving.link else { return };
        moving.complaints.extend(progress.complaints);
        if link.session.info().lame_duck && moving.stage != Stage::Draining {
            return self.move_failed();
        }
        if progress.ready {
            moving.asked = self.routes.going_on();
            link.set_watch(Watch::Hold(Held::default()));
            link.output.append(|frames| self.routes.restore(frames));
            link.output.ping();
            link.session.on_flush_sent(Barrier::Subscribed);
            moving.stage = Stage::Subscribing;
            // From now on what the old link brings may come by the new one, too.
            if let Some(old) = &mut self.link {
                old.set_watch(Watch::Remember(Twins::default()));
            }
        }
        let subscribed =
            link.lifted.drain(..).any(|barrier| matches!(barrier, Barrier::Subscribed));
        if subscribed && moving.stage == Stage::Subscribing {
            moving.stage = Stage::Overlapping { until: self.now + OVERLAP };
        }
    }

    /// When there is something to do for a move.
    pub(super) fn next_move(&self) -> Option<Instant> {
        let leaving = self.leaving.as_ref().map(|leaving| leaving.until);
        let moving = self.moving.as_ref().map(|moving| {
            let stage = match moving.stage {
                Stage::Overlapping { until } => until,
                Stage::Resting { .. } => self.now + TICK,
                Stage::Connecting | Stage::Subscribing | Stage::Draining => moving.gives_up_at,
            };
            let search = moving.search.as_ref().map(|search| search.due(self.now));
            let link = moving.link.as_ref().map(|link| link.session.next_timeout());
            [Some(moving.gives_up_at), search, link].into_iter().flatten().fold(stage, Instant::min)
        });
        [leaving, moving].into_iter().flatten().min()
    }

    /// Goes on with a move, if it is time.
    pub(super) fn keep_moving(&mut self) {
        let now = self.now;
        if let Some(leaving) = self.leaving.take_if(|leaving| now >= leaving.until) {
            self.end_leaving(leaving);
        }
        let Some(moving) = &mut self.moving else { return };
        if now >= moving.gives_up_at {
            moving.tries = 0;
            return match moving.stage {
                // It was told to end all subscriptions, and does not answer: what it still has is lost.
                Stage::Draining => self.lost(io::Error::from(io::ErrorKind::TimedOut).into()),
                _ => self.move_failed(),
            };
        }
        let too_much = self.link.as_ref().is_some_and(Link::remembers_too_much);
        if too_much && moving.stage != Stage::Draining {
            return self.move_failed();
        }
        if let Some(found) = moving.search.as_ref().and_then(|search| search.look(now)) {
            moving.search = None;
            self.on_found_moving(found);
        }
        self.keep_moving_link();
    }

    fn on_found_moving(&mut self, found: io::Result<Found>) {
        let Some(moving) = &mut self.moving else { return };
        match found {
            Ok(Found::Addresses(mut addresses)) => {
                dial::arrange(&mut addresses, self.options.socket.addresses);
                addresses.reverse();
                moving.addresses = addresses;
                self.open_next_address();
            }
            Ok(Found::Socket(socket)) => {
                match socket.set_nonblocking(true).and_then(|()| socket.peer_addr()) {
                    Ok(address) => {
                        self.open_moving(address, Ok(mio::net::TcpStream::from_std(socket)));
                    }
                    Err(_) => self.move_failed(),
                }
            }
            Err(_) => self.move_failed(),
        }
    }

    fn keep_moving_link(&mut self) {
        let now = self.now;
        let Some(moving) = &mut self.moving else { return };
        let Some(link) = &mut moving.link else { return };
        match link.session.on_time(now) {
            Ok(SessionTimeout::None) => {}
            Ok(SessionTimeout::Ping) => link.output.ping(),
            Err(_) => return self.move_failed(),
        }
        match moving.stage {
            Stage::Overlapping { until } if now >= until => {
                moving.stage = Stage::Resting { until: now + REST };
            }
            Stage::Resting { until } => {
                let Some(old) = &mut self.link else { return };
                if now >= until || self.routes.are_at_rest() {
                    moving.stage = Stage::Draining;
                    old.output.append(|frames| self.routes.unsubscribe_everything(frames));
                    old.output.ping();
                    old.session.on_flush_sent(Barrier::Departed { to: link.token });
                }
            }
            _ => {}
        }
    }

    /// The old link has brought its last message: the new one, which has the token `to`, takes over.
    pub(super) fn take_over(&mut self, to: Token) {
        let is_it = |moving: &mut Moving| moving.link.as_ref().is_some_and(|link| link.token == to);
        let Some(moving) = self.moving.take_if(|moving| is_it(moving)) else { return };
        let Moving { link: Some(new), asked, complaints, .. } = moving else { return };
        let Some(mut old) = self.link.replace(new) else { return };
        // What sinks wrote behind the last PING, if it is still here.
        old.output.keep_unwritten(false, &mut self.backlog.bytes);
        let awaited = old.session.take_flushes().filter(Barrier::is_awaited);
        self.barriers.extend(awaited);
        let twins = match old.set_watch(Watch::Off) {
            Watch::Remember(twins) => twins,
            _ => Twins::default(),
        };
        let (from, sent) = (old.server.to_string(), old.session.sent());
        old.finish();
        self.leaving = Some(Leaving { link: old, until: self.now + FAREWELL });
        self.settle_in();
        self.go_on(&asked, sent);
        let Self { link: Some(link), routes, now, .. } = self else { return };
        let to = link.server.to_string();
        link.replay(routes, twins, *now);
        self.end_turn_of_sinks();
        self.shared.emit(&Event::Moved { from, to });
        self.on_complaints(complaints);
        self.on_info();
    }

    /// Goes on by the new link, which has asked for the subscriptions in `asked`. `sent` were sent by the old one, and its last PONG has
    /// confirmed them.
    fn go_on(&mut self, asked: &[u64], sent: u64) {
        let max_payload = self.shared.max_payload.load(Ordering::Relaxed);
        let Self { link: Some(link), routes, shared, backlog, barriers, .. } = self else { return };
        link.session.on_sent(sent);
        link.session.on_confirmed(sent);
        for &sid in asked.iter().filter(|&&sid| !routes.goes_on(sid)) {
            link.output.append(|frames| encode::unsubscribe(frames, sid));
        }
        link.output.append(|frames| frames.append(&mut backlog.bytes));
        for barrier in barriers.drain(..) {
            link.output.ping();
            link.await_pong(barrier);
        }
        // What this server would not take, it would end the connection over.
        let mut write_queue = shared.write_queue.lock();
        if (Unsent { bytes: &mut write_queue.bytes }).drop_larger_than(max_payload) > 0 {
            write_queue.lost = true;
        }
    }

    fn read_leaving(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        // All that was to come has come.
        let mut nobody = Routes::default();
        let mut ignored = Progress::default();
        if leaving.link.read(&mut nobody, &self.shared, self.now, &mut ignored).is_err()
            && let Some(leaving) = self.leaving.take()
        {
            self.end_leaving(leaving);
        }
    }

    fn end_leaving(&mut self, mut leaving: Leaving) {
        leaving.link.shut(&self.poll);
    }
}
