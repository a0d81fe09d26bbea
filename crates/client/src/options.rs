use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jetlane_proto::{Auth, Backoff, Limits, SessionConfig};

use crate::credentials::{BoxError, Credentials};
use crate::event::Callback;
use crate::{Client, ConnectError, Connecting, Event, LocalClient, ServerUrl, Tls};

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
    pub(crate) credentials: Credentials,
    pub(crate) no_echo: bool,
    pub(crate) pedantic: bool,
    pub(crate) verbose: bool,
    pub(crate) inbox_prefix: Option<String>,
    pub(crate) session: SessionConfig,
    pub(crate) backoff: Backoff,
    pub(crate) limits: Limits,
    pub(crate) idle: Idle,
    pub(crate) tls: Option<Tls>,
    pub(crate) socket: SocketOptions,
    pub(crate) pool: PoolOptions,
    pub(crate) hooks: Hooks,
    pub(crate) retry_first: bool,
    pub(crate) stay_on_lame_duck: bool,
}

/// How sockets are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketOptions {
    pub(crate) local_address: Option<IpAddr>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) addresses: AddressOrder,
}

/// Which servers are tried, and how long.
#[derive(Clone)]
pub(crate) struct PoolOptions {
    pub(crate) keep_order: bool,
    pub(crate) ignore_discovered: bool,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) keep_trying_after_refusal: bool,
    /// Most servers in the pool.
    pub(crate) most: usize,
    pub(crate) choose: Option<Choose>,
}

type Choose = Arc<dyn Fn(&[ServerUrl]) -> Option<usize> + Send + Sync>;
type Resolve = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;
type Dial = Arc<dyn Fn(&ServerUrl) -> io::Result<TcpStream> + Send + Sync>;
type Delay = Arc<dyn Fn(u32) -> Duration + Send + Sync>;

/// What the user does instead of us.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) resolve: Option<Resolve>,
    pub(crate) dial: Option<Dial>,
    pub(crate) delay: Option<Delay>,
    pub(crate) event: Option<Callback>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            keep_order: false,
            ignore_discovered: false,
            max_attempts: None,
            keep_trying_after_refusal: false,
            most: 256,
            choose: None,
        }
    }
}

impl fmt::Debug for PoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions").field("keep_order", &self.keep_order).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

/// In which order the addresses of a host name are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressOrder {
    /// Shuffled, so that clients spread over them (ADR-11). The default.
    #[default]
    Random,
    /// As the resolver gave them.
    Resolver,
    /// IPv4 before IPv6, each shuffled.
    Ipv4First,
    /// IPv6 before IPv4, each shuffled.
    Ipv6First,
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

    /// User and password, for every server, instead of what URLs say. Of several such settings the last one counts. Default: those of
    /// the URL.
    #[must_use]
    pub fn user_password(mut self, user: &str, password: &str) -> Self {
        let auth = Auth::UserPassword { user: user.into(), password: password.into() };
        self.credentials = Credentials::fixed(auth);
        self
    }

    /// A token. Default: that of the URL.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.credentials = Credentials::fixed(Auth::Token(token.into()));
        self
    }

    /// An NKey: the seed ("SU…") of a user, whose public key the server knows. It signs the server's nonce and is never sent.
    #[must_use]
    pub fn nkey(mut self, seed: &str) -> Self {
        self.credentials = Credentials::nkey(seed);
        self
    }

    /// A `.creds` file: a user JWT and the NKey seed it is for. It is read anew for each connection, so it can be renewed in place. One that
    /// can not be read is an error of `connect`, and later a failed attempt, which is tried again.
    #[must_use]
    pub fn credentials_file(mut self, path: impl AsRef<Path>) -> Self {
        self.credentials = Credentials::file(path.as_ref());
        self
    }

    /// What stands in a `.creds` file, from memory.
    #[must_use]
    pub fn credentials(mut self, text: &str) -> Self {
        self.credentials = Credentials::text(text);
        self
    }

    /// Asks `callback` for each connection who we are, with the nonce to be signed, if the server sent one. For tokens that change, keys
    /// in other hands, and JWTs: see [`Auth`]. It is called on the connection's own thread, and should not take long.
    #[must_use]
    pub fn auth_callback(
        mut self,
        callback: impl Fn(Option<&[u8]>) -> Result<Auth, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.credentials = Credentials::callback(callback);
        self
    }

    /// Goes on after the same server has refused our credentials twice in the same words. Default: the connection is closed then.
    #[must_use]
    pub fn keep_trying_after_refusal(mut self) -> Self {
        self.pool.keep_trying_after_refusal = true;
        self
    }

    /// Demands TLS, and says how. Default: TLS with the system's certificates, if the URL begins with `tls://` or the server
    /// requires it. Once a connection had TLS, it is demanded of every server from then on.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Does not receive what this connection itself publishes. Default: it does.
    #[must_use]
    pub fn no_echo(mut self) -> Self {
        self.no_echo = true;
        self
    }

    /// Has the server check subjects once more (which costs it time, and finds nothing that this client does not). Default: off.
    #[must_use]
    pub fn pedantic(mut self) -> Self {
        self.pedantic = true;
        self
    }

    /// Has the server confirm every frame with +OK, which is counted as received bytes and is of no other use. Default: off.
    #[must_use]
    pub fn verbose(mut self) -> Self {
        self.verbose = true;
        self
    }

    /// What inboxes begin with, instead of `_INBOX`: for users that may only subscribe below a prefix of their own. A subject of at
    /// most 60 bytes, without wildcards; with another one nothing connects.
    #[must_use]
    pub fn inbox_prefix(mut self, prefix: &str) -> Self {
        self.inbox_prefix = Some(prefix.into());
        self
    }

    /// How long connecting to one address may take, from the first packet to the end of the handshake; and looking up a name.
    /// Default 5 s.
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

    /// How many PINGs may be unanswered. Default 2.
    #[must_use]
    pub fn max_pings_out(mut self, most: u32) -> Self {
        self.session.max_pings_out = most;
        self
    }

    /// Goes on in the background if no server can be reached at first: `connect` then returns when every server was tried once, which may
    /// take [`ConnectOptions::connect_timeout`] for each address. Until a connection stands [`Client::state`] is not `Connected`,
    /// [`Client::server_info`] is empty, and what is published waits, up to [`Limits::reconnect_bytes`]. Default: connecting fails then.
    #[must_use]
    pub fn retry_on_failed_connect(mut self) -> Self {
        self.retry_first = true;
        self
    }

    /// Gives a server up after so many attempts in a row; without a server left the connection is closed. Default: never.
    #[must_use]
    pub fn max_attempts(mut self, most: u32) -> Self {
        self.pool.max_attempts = Some(most.max(1));
        self
    }

    /// Tries servers in the order given, and discovered ones in the order told. Default: shuffled, so that clients spread over them.
    #[must_use]
    pub fn keep_server_order(mut self) -> Self {
        self.pool.keep_order = true;
        self
    }

    /// Uses no servers but those given. Default: also those that servers tell of (at most 256 in all).
    #[must_use]
    pub fn ignore_discovered_servers(mut self) -> Self {
        self.pool.ignore_discovered = true;
        self
    }

    /// Asks `choose` for each attempt which server to try, by its place in the list. `None` takes the next in turn.
    #[must_use]
    pub fn choose_server(
        mut self,
        choose: impl Fn(&[ServerUrl]) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        // One that panics has chosen nothing.
        let choose = move |urls: &[ServerUrl]| {
            catch_unwind(AssertUnwindSafe(|| choose(urls))).unwrap_or(None)
        };
        self.pool.choose = Some(Arc::new(choose));
        self
    }

    /// Waits before each round of attempts as long as `delay` says, given the number of rounds that have failed (0 right after a loss);
    /// an hour at most. Called on the connection's own thread, and must not block. Default:
    /// [`ConnectOptions::reconnect_backoff`].
    #[must_use]
    pub fn reconnect_delay(
        mut self,
        delay: impl Fn(u32) -> Duration + Send + Sync + 'static,
    ) -> Self {
        self.hooks.delay = Some(Arc::new(delay));
        self
    }

    /// Stays with a server that says it is about to stop (lame duck, ADR-5) until it does. Default: connects to another one beside it, if
    /// there is one, has both bring messages for 0.2 s, holds publishes back for a second at most while acks are due, and changes over.
    #[must_use]
    pub fn stay_on_lame_duck(mut self) -> Self {
        self.stay_on_lame_duck = true;
        self
    }

    /// The address of this machine to connect from. Default: the system chooses.
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.socket.local_address = Some(address);
        self
    }

    /// The sizes of the socket's buffers, in bytes, for sending and receiving. Default: the system's.
    #[must_use]
    pub fn socket_buffers(mut self, send: Option<usize>, receive: Option<usize>) -> Self {
        (self.socket.send_buffer, self.socket.receive_buffer) = (send, receive);
        self
    }

    /// In which order the addresses of a host name are tried.
    #[must_use]
    pub fn address_order(mut self, order: AddressOrder) -> Self {
        self.socket.addresses = order;
        self
    }

    /// Looks up host names in another way than the system does. Called on a thread of its own.
    #[must_use]
    pub fn resolver(
        mut self,
        resolve: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.resolve = Some(Arc::new(resolve));
        self
    }

    /// Makes sockets in another way than to connect to the server's address: through a proxy, say. Called on a thread of its own.
    #[must_use]
    pub fn dialer(
        mut self,
        dial: impl Fn(&ServerUrl) -> io::Result<TcpStream> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.dial = Some(Arc::new(dial));
        self
    }

    /// Calls `callback` with every [`Event`], on the connection's own thread, where it must not block. [`Client::events`] gives them
    /// as a stream.
    #[must_use]
    pub fn on_event(mut self, callback: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.hooks.event = Some(Arc::new(callback));
        self
    }

    /// The pace of reconnecting: the wait before each round of attempts. Default: within 50 ms, then from
    /// 50 ms doubling to 2 s, with jitter, without end.
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

    /// Connects to one of the servers in `url` (a list with commas between, or one) and waits until it has accepted us.
    ///
    /// # Errors
    /// [`ConnectError`] says why not, of the last server that was tried. Nothing is left behind then.
    pub fn connect(self, url: &str) -> Result<Client, ConnectError> {
        self.begin_connect(url).wait()
    }

    /// As [`ConnectOptions::connect`], as a future.
    ///
    /// ```
    /// use jetlane_client::ConnectOptions;
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let url = &server.url();
    /// # let second = std::time::Duration::from_secs(1);
    ///
    /// # pollster::block_on(async {
    /// let client = ConnectOptions::new().begin_connect(url).await?;
    /// client.publish("greet.world", b"hello")?;
    /// client.flush().await?;
    /// client.begin_close(second).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin_connect(self, url: &str) -> Connecting {
        Connecting::begin(url, self)
    }

    /// Connects without a thread: the caller drives the connection. See [`LocalClient`].
    ///
    /// # Errors
    /// [`ConnectError`] says why not. Nothing is left behind then.
    pub fn connect_local(self, url: &str) -> Result<LocalClient, ConnectError> {
        LocalClient::connect_with(url, self)
    }
}
