//! How a reactor comes to be.

use std::io;
use std::mem;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Instant;

use jetlane_proto::{Auth, Connect};
use mio::{Events, Poll, Token, Waker};

use super::{Reactor, Routes};
use crate::options::ConnectOptions;
use crate::pending::{Pending, pending};
use crate::shared::{Driver, Shared};
use crate::{ConnectError, ServerUrl};

/// Events of the waker; those of links count on from 1.
const WAKER: Token = Token(0);

/// A reactor that connects once it is driven.
pub(crate) struct Made {
    pub(crate) reactor: Reactor,
    pub(crate) shared: Arc<Shared>,
    /// Comes when the connection stands, or can not be made.
    pub(crate) connected: Pending<Result<(), ConnectError>>,
}

/// Makes a reactor that will connect to `url`.
pub(crate) fn make(
    url: &str,
    mut options: ConnectOptions,
    driver: Driver,
) -> Result<Made, ConnectError> {
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
    let shared = Arc::new(Shared::new(options.limits.clone(), waker, driver));
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
        now,
    };
    Ok(Made { reactor, shared, connected })
}
