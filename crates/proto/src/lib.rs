//! The NATS protocol without I/O: bytes and time in, frames and actions out.
//!
//! Nothing in this crate opens a socket, starts a thread, reads a clock, logs, or draws a random number; time and
//! randomness are arguments. So all of it is tested with plain tables and simulated time.
//!
//! - [`Parser`] finds the frames in what a server sends, as byte ranges, however the input is split.
//! - [`encode`] writes the frames a client sends; [`outbound`] finds their boundaries again after a lost connection.
//! - [`Subject`], [`SubjectFilter`] and [`Headers`] are validated once, when they are made.
//! - [`Session`] is the state of one connection: handshake, liveness, the order of PONGs, what `-ERR` means.
//! - [`jetstream`] reads what JetStream sends on top: pub-acks, ack subjects, pull statuses; and
//!   [`jetstream::PullScheduler`] decides when to ask for how many messages.
//!
//! The wire behaviour is that of nats-server 2.15.1; the docs of each item name what it relies on.
#![forbid(unsafe_code)]

pub mod encode;
pub mod jetstream;
pub mod outbound;

mod backoff;
mod connect;
mod headers;
mod info;
mod limits;
mod number;
mod parser;
mod scan;
mod server_error;
mod session;
mod span;
mod static_subject;
mod subject;

pub use backoff::Backoff;
pub use connect::{Auth, Connect};
pub use headers::{HeaderBlock, HeaderError, HeaderView, Headers, MalformedHeaders, Status};
pub use info::{InfoError, ServerInfo};
pub use limits::Limits;
pub use number::read_decimal;
pub use parser::{Frame, MessageFrame, ParseError, Parser, Step};
pub use server_error::ServerError;
pub use session::{Greeting, Pong, Session, SessionConfig, SessionError, SessionTimeout};
pub use span::Span;
pub use static_subject::StaticSubject;
pub use subject::{
    AsSubject, NameError, Subject, SubjectError, SubjectFilter, check_filter, check_name,
    check_subject,
};
