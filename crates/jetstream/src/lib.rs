//! JetStream: streams, consumers, acknowledged publishing, and pull consumption.
//!
//! ```
//! use jetlane_client::Client;
//! use jetlane_jetstream::{ConsumerConfig, JetStream, StreamConfig};
//! # let server = jetlane_testkit::Server::start()?;
//! # let url = &server.url();
//!
//! let js = JetStream::new(Client::connect(url)?)?;
//! js.create_stream(&StreamConfig::new("ORDERS").subject("order.>")).wait()?;
//!
//! // Returns at once; the ticket ends as Stored, Rejected or Unknown, always.
//! let ticket = js.publish("order.created", b"{}")?;
//! println!("stored at {}", ticket.wait()?.sequence);
//!
//! let consumer = js.create_consumer("ORDERS", &ConsumerConfig::durable("billing")).wait()?;
//! for message in js.consume(&consumer).queued()? {
//!     println!("{} at {}", message.subject(), message.delivery().stream_sequence);
//!     message.ack();
//! #   break;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Requests to the JetStream API are for set-up; nothing on the way of a message makes one.
#![forbid(unsafe_code)]

mod account;
mod advisory;
mod api;
mod call;
mod consume;
mod consumer;
mod context;
mod error;
mod messages;
mod pages;
mod pause;
mod publish;
mod stream;
mod wire;

pub use account::{AccountInfo, AccountLimits, ApiStats, Tier};
pub use advisory::{Advisories, AdvisoriesError, Advisory, AdvisoryError, AdvisoryEvent};
pub use api::ApiCall;
pub use consume::{
    Consume, ConsumeError, Consumption, EndReason, Held, JsMessage, Messages, Receipt, Settle,
    Settled, Settlement, Settler, Taker,
};
pub use consumer::{AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, SequencePair};
pub use context::{Deleted, JetStream, JetStreamOptions, StreamNames};
pub use error::ApiError;
pub use jetlane_client::proto::jetstream::{Delivery, PullEvent};
pub use messages::{BatchGet, BatchMessages, Get, Purge, Purged, StoredMessage};
pub use pages::Pages;
pub use pause::Paused;
pub use publish::{
    AtomicBatch, AtomicError, AtomicTicket, BatchNotStored, Flight, NotStored, Outcome,
    PublishError, PublishHeaders, Rejection, Rollup, Stored, StoredBatch, Ticket, TryTake, Unknown,
};
pub use stream::{
    ClusterInfo, Compression, Discard, PeerInfo, Republish, Retention, Storage, StreamConfig,
    StreamInfo, StreamSource, StreamState, StreamSubjects, SubjectTransform,
};
