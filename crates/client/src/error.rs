//! What can go wrong, by call. Each message says whose fault it is and what to do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use jetlane_proto::encode::HeaderLenError;
use jetlane_proto::{ParseError, ServerError, SessionError, SubjectError};

use crate::write_queue::Refusal;
use crate::{CredentialsError, TlsError, UrlError};

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one. The caller's fault.
    #[error("the server URL {url:?} is not valid: {source}")]
    Url {
        /// The URL, without its credentials.
        url: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// The host has no address, or none was found within the connect timeout.
    #[error("the host {host:?} can not be resolved: check the name, and that DNS works")]
    Resolve {
        /// The host.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The callback given to `ConnectOptions::dialer` failed.
    #[error("the dialer (ConnectOptions::dialer) failed: {0}")]
    Dial(#[source] io::Error),
    /// Nobody listens at the address.
    #[error("{address} refused the connection: check that nats-server runs there")]
    Refused {
        /// The address.
        address: SocketAddr,
    },
    /// The connection could not be made or was lost during the handshake.
    #[error("the connection to {address} failed: {source}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server did not finish the handshake within the connect timeout.
    #[error(
        "{address} did not answer within {timeout:?}: check the address, and the network between"
    )]
    TimedOut {
        /// The address.
        address: SocketAddr,
        /// The connect timeout.
        timeout: Duration,
    },
    /// The server refused the credentials, or wants some. The caller's or the operator's fault.
    #[error(
        "{address} did not accept us: {source}; check user, password or token, or renew the credentials"
    )]
    Authorization {
        /// The address.
        address: SocketAddr,
        /// What the server said.
        source: ServerError,
    },
    /// The server ended the handshake for another reason.
    #[error("{address}: {source}")]
    Server {
        /// The address.
        address: SocketAddr,
        /// What the server said.
        source: ServerError,
    },
    /// There are no credentials to show. The caller's fault.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// TLS could not be set up, or one side refused the other.
    #[error("{address}: {source}")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: TlsError,
    },
    /// TLS was demanded, and the server does not offer it. Nothing was sent.
    #[error("{address} does not offer TLS, which was demanded: nothing was sent")]
    NotSecure {
        /// The address.
        address: SocketAddr,
    },
    /// The inbox prefix is no subject of at most 60 bytes without wildcards. The caller's fault.
    #[error("the inbox prefix {prefix:?} is not a subject of at most 60 bytes without wildcards")]
    InboxPrefix {
        /// The prefix.
        prefix: String,
    },
    /// The list of servers is empty. The caller's fault.
    #[error("no server was given: use nats://host:port")]
    NoServer,
    /// The server has no headers (older than 2.2 or switched off), without which nothing here works.
    #[error("{address} does not support headers: use nats-server 2.2 or newer with headers on")]
    NoHeaders {
        /// The address.
        address: SocketAddr,
    },
    /// The peer broke the protocol: it may not be a NATS server.
    #[error("{address} does not speak the NATS protocol: {reason}")]
    Protocol {
        /// The address.
        address: SocketAddr,
        /// What it did.
        reason: String,
    },
    /// The event loop could not be set up.
    #[error("the event loop could not be started")]
    Reactor(#[source] io::Error),
}

/// Why a message was not queued. Nothing of it was or will be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The subject can not be published to. The caller's fault.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// Headers and payload are larger than the server takes. The caller's fault.
    #[error(
        "the message has {size} bytes with its headers; the server takes {max} at most (max_payload)"
    )]
    TooLarge {
        /// Headers and payload, in bytes.
        size: usize,
        /// The server's limit.
        max: usize,
    },
    /// The header block wrote another number of bytes than it announced. A bug in its type.
    #[error(transparent)]
    Headers(#[from] HeaderLenError),
    /// The write queue is full, and stayed so for `publish_wait` (with `try_publish`: is full now). The connection is down or
    /// slower than the publishers.
    #[error("the write queue is full: the connection is down, or slower than what is published")]
    Full,
    /// The connection is down, and `Limits::reconnect_bytes` is 0, so that nothing waits for the next one.
    #[error("the connection is down, and nothing is kept for the next one (reconnect_bytes is 0)")]
    Disconnected,
    /// The connection was closed.
    #[error("the connection is closed")]
    Closed,
    /// The message to respond to has no reply subject, or one that is not UTF-8.
    #[error("the message has no reply subject that can be answered")]
    NoReply,
}

/// Why a batch was not queued to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {queued} of the batch was not queued: {error}")]
pub struct BatchError {
    /// How many were queued: those before the one that failed.
    pub queued: usize,
    /// What was wrong with that one.
    #[source]
    pub error: PublishError,
}

/// Why nothing was put into the write queue: by the layers above, which encode their own frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError<E> {
    /// The encoder said no.
    #[error(transparent)]
    Encode(E),
    /// As [`PublishError::Full`].
    #[error("the write queue is full: the connection is down, or slower than what is published")]
    Full,
    /// As [`PublishError::Disconnected`].
    #[error("the connection is down, and nothing is kept for the next one (reconnect_bytes is 0)")]
    Disconnected,
    /// As [`PublishError::Closed`].
    #[error("the connection is closed")]
    Closed,
}

impl<E: Into<PublishError>> From<SubmitError<E>> for PublishError {
    fn from(error: SubmitError<E>) -> Self {
        match error {
            SubmitError::Encode(error) => error.into(),
            SubmitError::Full => Self::Full,
            SubmitError::Disconnected => Self::Disconnected,
            SubmitError::Closed => Self::Closed,
        }
    }
}

/// Why nothing was subscribed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The filter is not one. The caller's fault.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The queue group has white space or a control character, which would end it on the wire. The caller's fault.
    #[error("the queue group {group:?} has a forbidden character at byte {at}")]
    Queue {
        /// The queue group.
        group: String,
        /// Where the character stands.
        at: usize,
    },
    /// As many subscriptions as `Limits::subscriptions` exist.
    #[error("the connection has {limit} subscriptions already, its limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The write queue stayed full: see [`PublishError::Full`].
    #[error("the write queue is full: the connection is down, or slower than what is published")]
    Full,
    /// The connection was closed.
    #[error("the connection is closed")]
    Closed,
}

/// Why a flush ended without its PONG. What was written before may or may not have been processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The connection was lost meanwhile; or before, and no flush was told of what may have been lost with it.
    #[error("the connection was lost before the server confirmed all that was published")]
    Disconnected,
    /// 100 000 flushes, subscriptions and the like wait already: the connection is down, or stands still.
    #[error("too many flushes and subscriptions wait: the connection is down, or stands still")]
    TooMany,
    /// The connection was closed.
    #[error("the connection was closed before the server confirmed the flush")]
    Closed,
}

impl From<Refusal> for FlushError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::TooMany,
            Refusal::Closed => Self::Closed,
        }
    }
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// As many requests as `Limits::requests` wait for their reply, or as many replies were not taken, and stayed so for
    /// `publish_wait`.
    #[error("too many requests wait for their reply, or were not waited for")]
    TooMany,
    /// Publishing to the subject, or receiving replies, is not permitted to this user. The operator's to change.
    #[error("the request to {subject:?} is not permitted")]
    Denied {
        /// The subject of the request.
        subject: String,
    },
    /// Nobody listens on the subject (status 503).
    #[error("nobody listens on the subject of the request")]
    NoResponders,
    /// No reply came in time. It may have been received all the same.
    #[error("no reply came in time")]
    TimedOut,
    /// The connection was lost before a reply came. It may have been received all the same.
    #[error("the connection was lost before a reply came")]
    Disconnected,
    /// The connection was closed before a reply came.
    #[error("the connection was closed before a reply came")]
    Closed,
}

/// A close that did not get everything out, or a drain that did not get everything in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("the connection was closed {}", if self.unwritten > 0 {
    format!("with {} bytes of queued frames unwritten", self.unwritten)
} else {
    "before all messages that were still to come were read".into()
})]
pub struct CloseError {
    /// Bytes of frames that were queued and never written.
    pub unwritten: usize,
    /// A drain's time was up before the last message had come and was read.
    pub undrained: bool,
}

impl CloseError {
    /// How it ended, in one of two ways.
    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self == Self::default() { Ok(()) } else { Err(self) }
    }
}

/// Why the reactor gave a connection up. Becomes a [`ConnectError`] on the first connect, and the reason of a reconnect later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("the host {host:?} can not be resolved: {source}")]
    Resolve { host: String, source: io::Error },
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the server does not offer TLS, which was demanded")]
    NotSecure,
    #[error(
        "the peer sent bytes between its INFO and TLS, where somebody else could have put them"
    )]
    BytesBeforeTls,
    #[error("the dialer failed: {0}")]
    Dial(#[source] io::Error),
    #[error("a reconnect was asked for (force_reconnect)")]
    Forced,
    #[error("the server does not support headers")]
    NoHeaders,
}

impl LinkError {
    /// What the server said before it ended the connection.
    pub(crate) fn said(&self) -> Option<&ServerError> {
        match self {
            Self::Session(SessionError::Server(error)) => Some(error),
            _ => None,
        }
    }

    /// What the server said to our credentials.
    pub(crate) fn refusal(&self) -> Option<&ServerError> {
        self.said().filter(|error| error.is_auth())
    }

    /// True if it is the system that says so, and no server.
    pub(crate) fn is_io(&self) -> bool {
        matches!(self, Self::Io(_))
    }

    /// True if the server ended the connection because of a frame of ours: sent again, it would do so again.
    pub(crate) fn blames_a_frame(&self) -> bool {
        matches!(
            self,
            Self::Session(SessionError::Server(
                ServerError::MaxPayload | ServerError::ProtocolViolation { .. }
            ))
        )
    }

    /// `address` is missing only where none was found yet.
    pub(crate) fn into_connect_error(
        self,
        address: Option<SocketAddr>,
        timeout: Duration,
    ) -> ConnectError {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = address.unwrap_or(nowhere);
        match self {
            Self::Dial(source) => ConnectError::Dial(source),
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                ConnectError::Refused { address }
            }
            Self::Io(source) => ConnectError::Io { address, source },
            Self::Session(SessionError::HandshakeTimeout) => {
                ConnectError::TimedOut { address, timeout }
            }
            Self::Resolve { host, source } => ConnectError::Resolve { host, source },
            Self::Credentials(error) => error.into(),
            Self::Tls(source) => ConnectError::Tls { address, source },
            Self::NotSecure => ConnectError::NotSecure { address },
            Self::Session(SessionError::Server(source)) if source.is_auth() => {
                ConnectError::Authorization { address, source }
            }
            Self::Session(SessionError::Server(source)) => ConnectError::Server { address, source },
            Self::NoHeaders => ConnectError::NoHeaders { address },
            Self::Session(error) => ConnectError::Protocol { address, reason: error.to_string() },
            Self::Parse(error) => ConnectError::Protocol { address, reason: error.to_string() },
            Self::BytesBeforeTls | Self::Forced => {
                ConnectError::Protocol { address, reason: self.to_string() }
            }
        }
    }
}
