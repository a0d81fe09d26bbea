use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::reactor::{LONGEST_SLEEP, Made, Reactor, Turn, make};
use crate::shared::{Driver, Shared};
use crate::sink::CloseReason;
use crate::{
    AsSubject, Client, CloseError, ConnectError, ConnectOptions, FlushError, Message, PublishError,
    RequestError, State, later,
};

/// A connection without a thread: whoever holds it does its input and output, so that between the socket and the caller
/// there is no other thread to be woken. For lowest latency, and for loops of your own.
///
/// Nothing happens but in [`LocalClient::turn`], and in what calls it: [`LocalClient::wait`], `request`, `flush`, `close`, and
/// `publish` while the write queue is full. What is published is written in the next turn. A connection that is not driven
/// for long is closed by the server, which gets no answer to its PINGs (by default after some minutes); the next turns
/// connect anew.
///
/// [`LocalClient::client`] is the handle for everything else: subscribe with it, or build JetStream on it. Its futures come true
/// by [`LocalClient::wait`]; on the thread that holds the `LocalClient` their own `wait` would wait for ever, as in an executor.
///
/// ```
/// use jetlane_client::LocalClient;
/// use std::time::Duration;
/// # let server = jetlane_testkit::Server::start()?;
/// # let url = &server.url();
///
/// let mut local = LocalClient::connect(url)?;
/// let client = local.client().clone();
/// let _echo = local.client().subscription("echo").inline(move |message| {
///     let reply = std::str::from_utf8(message.reply().unwrap_or_default()).unwrap_or_default();
///     let _ = client.try_publish(reply, message.payload());
/// })?;
/// let answer = local.request("echo", b"hello", Duration::from_secs(1))?;
/// assert_eq!(answer.payload(), b"hello");
/// local.close(Duration::from_secs(1))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LocalClient {
    reactor: Reactor,
    client: Client,
    waker: Waker,
    /// What was left undone, once the connection is closed for good.
    over: Option<CloseError>,
}

impl LocalClient {
    /// Connects with the defaults of [`ConnectOptions`]; [`ConnectOptions::connect_local`] has the other way.
    ///
    /// # Errors
    /// [`ConnectError`] says why not. Nothing is left behind then.
    pub fn connect(url: &str) -> Result<Self, ConnectError> {
        ConnectOptions::new().connect_local(url)
    }

    pub(crate) fn connect_with(url: &str, options: ConnectOptions) -> Result<Self, ConnectError> {
        let Made { reactor, shared, connected } = make(url, options, Driver::Caller)?;
        let waker = Waker::from(Arc::new(TurnWaker { shared: Arc::clone(&shared) }));
        let mut local = Self { reactor, client: Client::on(shared), waker, over: None };
        local.wait(connected)?;
        Ok(local)
    }

    /// The handle to this connection, for subscriptions, requests, and the layers above.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes what is queued, waits no longer than `timeout` for something to come or for room to write more, reads what has
    /// come and hands it on. [`Duration::ZERO`] only looks.
    pub fn turn(&mut self, timeout: Duration) -> State {
        if self.over.is_none() {
            self.client.shared().driven_here();
            if let Turn::Over(undone) = self.reactor.turn(timeout.min(LONGEST_SLEEP)) {
                self.ended(undone);
            }
        }
        self.client.state()
    }

    /// Turns until `future` has come.
    pub fn wait<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        while self.over.is_none() {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            self.turn(LONGEST_SLEEP);
        }
        // The connection has ended, and all that waited for it; only something of others can still be to come.
        jetlane_ring::wait(future)
    }

    /// Queues a message, to be written in the next turn. Turns while the write queue is full, for `Limits::publish_wait` at most.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    pub fn publish(
        &mut self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        let (subject, payload) = (subject.as_subject()?, payload.as_ref());
        let mut result = self.client.try_publish(subject, payload);
        if result != Err(PublishError::Full) {
            return result;
        }
        // A look at the socket makes room as a rule; only then it is worth to wait for it.
        let mut wait = Duration::ZERO;
        let deadline = later(Instant::now(), self.client.limits().publish_wait);
        while result == Err(PublishError::Full) && Instant::now() < deadline {
            self.turn(wait);
            result = self.client.try_publish(subject, payload);
            wait = deadline.saturating_duration_since(Instant::now());
        }
        result
    }

    /// Sends a request and waits for its first reply, for `timeout` at most.
    ///
    /// # Errors
    /// [`RequestError`] says why there is none.
    pub fn request(
        &mut self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let request = self.client.request(subject, payload, timeout)?;
        self.wait(request)
    }

    /// Writes everything, and waits until the server has processed it: see [`Client::flush`].
    ///
    /// # Errors
    /// [`FlushError`] if it can not be known whether the server has.
    pub fn flush(&mut self) -> Result<(), FlushError> {
        let flushed = self.client.flush();
        self.wait(flushed)
    }

    /// Writes what is queued, and closes the connection when the server has read all of it, or after `timeout`.
    ///
    /// # Errors
    /// [`CloseError`] if frames were left unwritten.
    pub fn close(mut self, timeout: Duration) -> Result<(), CloseError> {
        self.client.close(timeout)?;
        loop {
            match self.over {
                Some(undone) => return undone.into_result(),
                None => self.turn(LONGEST_SLEEP),
            };
        }
    }

    fn ended(&mut self, undone: CloseError) {
        self.over = Some(undone);
        self.client.shared().ended.tell(undone);
    }
}

/// Writes what the socket takes at once, and closes the connection. [`LocalClient::close`] waits until it is done.
impl Drop for LocalClient {
    fn drop(&mut self) {
        self.turn(Duration::ZERO);
        if self.over.is_none() {
            self.reactor.end(CloseReason::ConnectionClosed);
            self.ended(CloseError::default());
        }
    }
}

impl fmt::Debug for LocalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalClient").field("state", &self.client.state()).finish_non_exhaustive()
    }
}

/// Ends the turn in which a `LocalClient` sleeps, as what it waits for has come.
struct TurnWaker {
    shared: Arc<Shared>,
}

impl Wake for TurnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.end_turn();
    }
}
