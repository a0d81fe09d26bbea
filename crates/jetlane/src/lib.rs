//! An event bus on NATS JetStream: events of one aggregate are published, stored and handled in order, always.
//!
//! ```
//! use std::time::Duration;
//! use jetlane::{Envelope, EventBus, Strategy};
//! # let server = jetlane_testkit::Server::start()?;
//! # let url = &server.url();
//!
//! let bus = EventBus::connect(url)?;
//! bus.topic("order.>").retain(Duration::from_secs(86_400)).ensure(Strategy::CreateOnly)?;
//!
//! bus.subscribe("billing")
//!     .on("order.created", |event: &Envelope| {
//!         println!("charge {} for {:?}", event.aggregate_id(), event.payload());
//!         Ok::<(), std::io::Error>(())
//!     })
//!     .start()?;
//!
//! let event = Envelope::new("order-42", "OrderCreated", r#"{"total":7}"#);
//! let ticket = bus.publish("order.created", &event)?; // returns at once
//! let stored = ticket.wait()?; // or `ticket.await`, under any executor
//! println!("stored at {}", stored.sequence);
//! bus.close(Duration::from_secs(30))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Order
//!
//! Events are published by one thread after another in the order of its calls, over one connection; a stream stores
//! them in the order they arrive; a subscription reads them in that order and gives all events of one aggregate to
//! one lane, which handles them one after the other. A handler that fails stops only its aggregate: the event is
//! tried again in place, and the later ones wait behind it.
//!
//! This is for one process at a time a subscription's name, and then it holds over lost connections and dead processes,
//! too. Processes that share a name ([`Subscribe::shared`]) have it each for itself only.
//!
//! # Stored or not
//!
//! A topic is stored in a stream, for every subscription to read ([`Topic`]). One that is of no use later is *core* ([`Topic::core`]): its events
//! are stored nowhere, and go at most once to whoever listens now ([`EventBus::publish_core`], [`EventBus::listen`]).
//!
//! # What is in an event
//!
//! The bus carries bytes. A type that implements [`Event`] says what they stand for: [`EventBus::publish_event`] and
//! [`Subscribe::on_event`] take and give its values, in JSON ([`Json`]), Protobuf (`Protobuf`, feature `prost`) or as they are ([`Raw`]).
//! Payloads that are large may be compressed ([`EventBus::compressing`], features `lz4`, `zstd`, `gzip`); readers see them plain.
//!
//! # Layers
//!
//! The bus is thin. Below it are [`jetstream`] (streams, consumers, acknowledged publishing), [`client`] (core NATS)
//! and [`lanes`] (keyed workers), each usable by itself.
#![forbid(unsafe_code)]

mod bus;
mod close;
#[cfg(feature = "config")]
mod config;
mod envelope;
mod event_subject;
mod letters;
mod listen;
mod payload;
mod publish;
mod seeing;
mod subscribe;
mod topic;
mod verdict;

pub use bus::EventBus;
pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use close::CloseError;
#[cfg(feature = "config")]
pub use config::{
    Config, ConfigError, ConnectionConfig, ConsumerSettings, Limit, OpenError, Persistence, Place,
    Profile, PublisherSettings, Secret, StreamSettings, TlsConfig, TopicConfig,
};
pub use envelope::{Envelope, EnvelopeError, EnvelopeHeaders, Form};
pub use event_subject::{EventSubject, SubjectBuilder, SubjectPartError};
pub use jetlane_client as client;
pub use jetlane_client::{ConnectError, ConnectOptions, Limits};
pub use jetlane_jetstream as jetstream;
pub use jetlane_jetstream::{
    AtomicError, AtomicTicket, BatchNotStored, NotStored, Outcome, Rejection, Retention,
    Settlement, Storage, Stored, StoredBatch, Ticket, Unknown,
};
pub use jetlane_lanes as lanes;
#[cfg(feature = "memory")]
pub use jetlane_memory as memory;
pub use letters::{
    Letter, LetterKind, Letters, LettersError, Pick, RedrivePlan, Redriven, key_token,
};
pub use listen::{Listen, ListenError, Listener, ListenerCounts, ListenerHealth};
#[cfg(feature = "prost")]
pub use payload::Protobuf;
pub use payload::{
    Compress, Compressing, Compression, DecodeError, EncodeError, Encoding, Event, Fault, Json, Raw,
};
pub use publish::{
    BatchError, KeyOrder, NotPublished, Outcomes, PublishError, Published, Publisher,
    PublisherBuilder, PublisherError, Rate,
};
#[cfg(feature = "metrics")]
pub use seeing::metrics;
pub use seeing::{BusHealth, TraceParent, TraceParentError};
pub use subscribe::{
    Backlog, BreakerState, CircuitBreaker, Counts, DeadLetters, Next, OrderBy, Parking, RawEvent,
    StalledEvent, StartAt, Subscribe, SubscribeError, Subscription, SubscriptionHealth,
};
pub use topic::{Change, CoreTopic, Ensured, Plan, Step, Strategy, Topic, TopicError};
pub use verdict::{IntoVerdict, Verdict};
