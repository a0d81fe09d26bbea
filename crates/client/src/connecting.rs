use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::pending::{Pending, pending};
use crate::reactor::{self, Started};
use crate::{Client, ConnectError, ConnectOptions};

/// A connection that is being made: a `Future` under any executor, with `wait` for plain threads. See [`ConnectOptions::begin_connect`].
///
/// Dropped before it comes, it is given up, and leaves nothing behind.
#[derive(Debug)]
#[must_use = "dropped, it is given up"]
pub struct Connecting {
    /// `None` if nothing was begun, and once it was handed out.
    client: Option<Client>,
    connected: Pending<Result<(), ConnectError>>,
}

impl Connecting {
    pub(crate) fn begin(url: &str, options: ConnectOptions) -> Self {
        match reactor::start(url, options) {
            Ok(Started { shared, connected }) => {
                Self { client: Some(Client::on(shared)), connected }
            }
            Err(error) => Self { client: None, connected: pending(Err(error)).1 },
        }
    }

    /// Sleeps until the server has accepted us.
    ///
    /// # Errors
    /// [`ConnectError`] says why not.
    pub fn wait(self) -> Result<Client, ConnectError> {
        jetlane_ring::wait(self)
    }

    /// Sleeps until the server has accepted us or `timeout` has passed; then `None`, and it may still be waited for.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Client, ConnectError>> {
        jetlane_ring::wait_timeout(self, timeout)
    }
}

impl Future for Connecting {
    type Output = Result<Client, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let connected = ready!(Pin::new(&mut self.connected).poll(cx));
        let gone = || ConnectError::Reactor(io::Error::other("the reactor ended"));
        Poll::Ready(connected.and_then(|()| self.client.take().ok_or_else(gone)))
    }
}
