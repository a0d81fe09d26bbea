//! The thread that drives a reactor for its client.

use std::io;
use std::mem;
use std::net::ToSocketAddrs;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Instant;

use jetlane_proto::{Auth, Connect};
use mio::{Events, Poll, Token, Waker};
use parking_lot::{Condvar, Mutex};

use super::{LONGEST_SLEEP, Reactor, Routes, Turn};
use crate::options::ConnectOptions;
use crate::pending::pending;
use crate::shared::Shared;
use crate::sink::CloseReason;
use crate::{ConnectError, ServerUrl};

/// Events of the waker; those of links count on from 1.
const WAKER: Token = Token(0);

/// A running reactor, as its client sees it.
#[derive(Debug)]
pub(crate) struct ReactorThread {
    id: ThreadId,
    ended: Arc<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    /// Bytes left unwritten, once it has ended.
    unwritten: Mutex<Option<usize>>,
    signal: Condvar,
}

/// Starts a reactor that connects to `url`, and waits until the connection stands.
pub(crate) fn start(
    url: &str,
    mut options: ConnectOptions,
) -> Result<(Arc<Shared>, ReactorThread), ConnectError> {
    let parsed = ServerUrl::parse(url).map_err(|source| {
        // What stands before the host may be a password.
        let url = url.rsplit_once('@').map_or(url, |(_, address)| address).into();
        ConnectError::Url { url, source }
    })?;
    let no_address = |source| ConnectError::Resolve { host: parsed.host.clone(), source };
    let addresses: Vec<_> =
        (parsed.host.as_str(), parsed.port).to_socket_addrs().map_err(no_address)?.collect();
    if addresses.is_empty() {
        return Err(no_address(io::Error::other("no address")));
    }
    let poll = Poll::new().map_err(ConnectError::Reactor)?;
    let waker = Waker::new(poll.registry(), WAKER).map_err(ConnectError::Reactor)?;
    let shared = Arc::new(Shared::new(options.limits.clone(), waker));
    let auth = match mem::take(&mut options.auth) {
        Auth::None => parsed.auth,
        given => given,
    };
    let now = Instant::now();
    let gone = || ConnectError::Reactor(io::Error::other("the reactor ended"));
    let (first, connected) = pending(Err(gone()));
    let reactor = Reactor {
        poll,
        events: Events::with_capacity(8),
        shared: Arc::clone(&shared),
        connect: Connect { name: options.name.take(), auth },
        options,
        addresses,
        link: None,
        attempt: 0,
        failures: 0,
        auth_failures: 0,
        retry_at: Some(now),
        first: Some(first),
        routes: Routes::default(),
        backlog: Vec::new(),
        flushes: Vec::new(),
        commands: Vec::new(),
        taken: Vec::new(),
        now,
    };
    let thread = spawn(reactor)?;
    connected.wait()?;
    Ok((shared, thread))
}

fn spawn(mut reactor: Reactor) -> Result<ReactorThread, ConnectError> {
    let ended = Arc::new(Ended::default());
    let signal = Arc::clone(&ended);
    let thread = std::thread::Builder::new()
        .name("jetlane-io".into())
        .spawn(move || {
            // Whatever happens to the loop, those who wait for it must learn of it.
            let unwritten = std::panic::catch_unwind(AssertUnwindSafe(|| drive(&mut reactor)))
                .unwrap_or_else(|_| {
                    let end = AssertUnwindSafe(|| reactor.end(CloseReason::ReactorDied));
                    let _ = std::panic::catch_unwind(end);
                    0
                });
            drop(reactor);
            *signal.unwritten.lock() = Some(unwritten);
            signal.signal.notify_all();
        })
        .map_err(ConnectError::Reactor)?;
    Ok(ReactorThread { id: thread.thread().id(), ended })
}

fn drive(reactor: &mut Reactor) -> usize {
    loop {
        if let Turn::Over { unwritten } = reactor.turn(LONGEST_SLEEP) {
            return unwritten;
        }
    }
}

impl ReactorThread {
    /// True on the reactor's own thread: in a callback or a sink.
    pub(crate) fn is_current(&self) -> bool {
        std::thread::current().id() == self.id
    }

    /// Sleeps until the reactor has ended, and says how many bytes it left unwritten. On the reactor's own thread (in a
    /// callback) it can not wait for itself, and does not.
    pub(crate) fn wait(&self) -> usize {
        if self.is_current() {
            return 0;
        }
        let mut unwritten = self.ended.unwritten.lock();
        loop {
            match *unwritten {
                Some(unwritten) => return unwritten,
                None => self.ended.signal.wait(&mut unwritten),
            }
        }
    }
}
