//! How a reactor comes to be.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::{Events, Poll, Token, Waker};

use super::pool::Pool;
use super::{Backlog, Reactor, Routes};
use crate::options::ConnectOptions;
use crate::pending::{Pending, pending};
use crate::shared::{Driver, Shared};
use crate::{ConnectError, Inbox, ServerUrl};

/// Events of the waker; those of links count on from 1.
const WAKER: Token = Token(0);

/// A reactor that connects once it is driven.
pub(crate) struct Made {
    pub(crate) reactor: Reactor,
    pub(crate) shared: Arc<Shared>,
    /// Comes when the connection stands, or can not be made.
    pub(crate) connected: Pending<Result<(), ConnectError>>,
}

/// Makes a reactor that will connect to one of the servers in the list `url`.
pub(crate) fn make(
    url: &str,
    options: ConnectOptions,
    driver: Driver,
) -> Result<Made, ConnectError> {
    let urls =
        ServerUrl::parse_list(url).map_err(|(url, source)| ConnectError::Url { url, source })?;
    if urls.is_empty() {
        return Err(ConnectError::NoServer);
    }
    if let Some(prefix) =
        options.inbox_prefix.as_ref().filter(|prefix| !Inbox::takes_prefix(prefix))
    {
        return Err(ConnectError::InboxPrefix { prefix: prefix.clone() });
    }
    let poll = Poll::new().map_err(ConnectError::Reactor)?;
    let waker = Waker::new(poll.registry(), WAKER).map_err(ConnectError::Reactor)?;
    let shared = Arc::new(Shared::new(&options, waker, driver));
    let now = Instant::now();
    let gone = || ConnectError::Reactor(io::Error::other("the reactor ended"));
    let (first, connected) = pending(Err(gone()));
    let reactor = Reactor {
        poll,
        events: Events::with_capacity(8),
        shared: Arc::clone(&shared),
        pool: Pool::new(urls, options.pool.clone()),
        options,
        link: None,
        server: None,
        search: None,
        addresses: Vec::new(),
        telling: None,
        links: 0,
        retry_at: Some(now),
        first: Some(first),
        was_connected: false,
        moving: None,
        leaving: None,
        drain: None,
        undrained: false,
        routes: Routes::default(),
        backlog: Backlog::default(),
        barriers: Vec::new(),
        commands: Vec::new(),
        now,
    };
    Ok(Made { reactor, shared, connected })
}
