use std::time::Duration;

use jetlane_proto::{Auth, Backoff, Limits, SessionConfig};

use crate::{Client, ConnectError, LocalClient};

/// How to connect. Every setting has a default; see each method.
///
/// ```
/// use jetlane_client::ConnectOptions;
/// # let server = jetlane_testkit::Server::start()?;
/// # let url = &server.url();
/// let client = ConnectOptions::new().name("billing").connect(url)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    pub(crate) name: Option<String>,
    pub(crate) auth: Auth,
    pub(crate) session: SessionConfig,
    pub(crate) backoff: Backoff,
    pub(crate) limits: Limits,
    pub(crate) idle: Idle,
}

/// What a connection's event loop does when there is nothing to do: how much CPU is given for how much latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idle {
    /// Sleep in the kernel until something happens. The default, and right unless a core can be spared.
    #[default]
    Park,
    /// Look again and again for so long, then sleep: a message that comes within this time after the last one finds the loop
    /// awake, and whoever publishes then makes no system call to wake it.
    Spin(Duration),
    /// Look again and again for ever: one core for one connection.
    Busy,
}

impl ConnectOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for the connection, shown by the server's monitoring. Default: none.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// User and password. Default: those of the URL.
    #[must_use]
    pub fn user_password(mut self, user: &str, password: &str) -> Self {
        self.auth = Auth::UserPassword { user: user.into(), password: password.into() };
        self
    }

    /// A token. Default: that of the URL.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.auth = Auth::Token(token.into());
        self
    }

    /// How long connecting may take, from the first packet to the end of the handshake. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.session.handshake_timeout = timeout;
        self
    }

    /// How often a PING is sent to see that the server is there. Default 20 s. After two unanswered ones the connection
    /// is given up and made anew, so a dead peer is noticed within three intervals.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.session.ping_interval = interval;
        self
    }

    /// The pace of reconnecting. Default: at once, then from 50 ms doubling to 2 s, with jitter, without end.
    #[must_use]
    pub fn reconnect_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// What the event loop does when there is nothing to do. Default: [`Idle::Park`].
    #[must_use]
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// All bounds. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connects and waits until the server has accepted us.
    ///
    /// # Errors
    /// [`ConnectError`] says why not. Nothing is left behind then.
    pub fn connect(self, url: &str) -> Result<Client, ConnectError> {
        Client::connect_with(url, self)
    }

    /// Connects without a thread: the caller drives the connection. See [`LocalClient`].
    ///
    /// # Errors
    /// [`ConnectError`] says why not. Nothing is left behind then.
    pub fn connect_local(self, url: &str) -> Result<LocalClient, ConnectError> {
        LocalClient::connect_with(url, self)
    }
}
