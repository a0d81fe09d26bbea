//! Core NATS on one mio event loop per connection: no async runtime, no thread per subscription.
//!
//! A [`Client`] is a cheap handle. Behind it one reactor thread owns the socket; user threads only ever append
//! encoded frames to its write queue, and wake it if it sleeps. What can be waited for is a `Future` and has `wait()`; what
//! comes in a row is an `Iterator`, and a `Stream` for those who have an executor.
//!
//! ```
//! use jetlane_client::Client;
//! # let server = jetlane_testkit::Server::start()?;
//! # let url = &server.url();
//!
//! let client = Client::connect(url)?; // "nats://127.0.0.1:4222"
//! let mut greetings = client.subscribe("greet.*")?;
//! client.publish("greet.world", b"hello")?;
//! let message = greetings.next().expect("the connection is open");
//! assert_eq!(message.payload(), b"hello");
//! client.close(std::time::Duration::from_secs(1))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a call promises is one of four things, and its docs say which: *queued* (in the write queue), *written* (given to the
//! kernel), *flushed* (the server has processed it: [`Client::flush`]), or *stored* (JetStream, the layer above).
//!
//! Features: `tls` (on by default; rustls) and `tracing` (what happens to connections, under the target `jetlane`).
#![forbid(unsafe_code)]

mod arena;
mod client;
mod connecting;
mod contain;
mod credentials;
mod error;
mod event;
mod inbox;
mod local;
mod lossy;
mod message;
mod options;
mod pending;
mod queue;
mod reactor;
mod request;
mod request_many;
mod shared;
mod sids;
mod sink;
mod slow;
mod stats;
mod subscribe;
mod subscription;
mod ticks;
mod time;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_off.rs"]
mod tls;
#[cfg(feature = "tracing")]
mod trace;
mod url;
mod watched;
mod write_queue;

pub use arena::Arena;
pub use bytes::Bytes;
pub use client::Client;
pub use connecting::Connecting;
pub use contain::Containment;
pub use credentials::CredentialsError;
pub use error::{
    BatchError, CloseError, ConnectError, FlushError, PublishError, RequestError, SubmitError,
    SubscribeError,
};
pub use event::{Event, Events};
pub use inbox::{Inbox, ReplySubject};
pub use jetlane_proto as proto;
pub use jetlane_proto::subject;
pub use jetlane_proto::{
    AsSubject, Auth, Backoff, HeaderBlock, HeaderView, Headers, Limits, MalformedHeaders,
    ServerError, ServerInfo, StaticSubject, Subject, SubjectFilter,
};
pub use jetlane_ring::{Token, wait};
pub use local::LocalClient;
pub use message::{Message, MessageRef};
pub use options::{AddressOrder, ConnectOptions, Idle};
pub use pending::Pending;
pub use queue::{Overflow, QueueStats};
pub use request::Request;
pub use request_many::{Replies, RequestMany};
#[cfg(feature = "tls")]
pub use rustls;
pub use sink::{CloseReason, Out, Sink, Unsent};
pub use slow::SlowReader;
pub use stats::{State, Stats};
pub use subscribe::Subscribe;
pub use subscription::{Nudger, SinkHandle, Subscription};
pub use ticks::Ticks;
pub use time::later;
pub use tls::{Tls, TlsError};
pub use url::{ServerUrl, UrlError};
pub use watched::{Watched, WatchedGuard};
