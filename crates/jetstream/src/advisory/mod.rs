//! What servers tell about a consumer without being asked (ADR-2).

mod read;
mod subscribe;

use std::time::SystemTime;

use crate::PeerInfo;

pub use read::AdvisoryError;
pub use subscribe::{Advisories, AdvisoriesError};

/// Something that happened to a consumer, as its server tells it.
///
/// It is a message like any other: whoever may publish to `$JS.EVENT.>` can forge one, and one that nobody listens to is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advisory {
    /// The stream.
    pub stream: String,
    /// The consumer.
    pub consumer: String,
    /// The id of this advisory, each has another.
    pub id: String,
    /// When it happened.
    pub time: Option<SystemTime>,
    /// The JetStream domain of the server; empty without one.
    pub domain: String,
    /// What happened.
    pub event: AdvisoryEvent,
}

/// What an [`Advisory`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdvisoryEvent {
    /// A message was delivered as often as `max_deliver` allows and is not acknowledged: it is not delivered again, and stays in the
    /// stream.
    MaxDeliveries {
        /// Its place in the stream.
        stream_sequence: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A message was given up by who handled it (`+TERM`): it is not delivered again.
    Terminated {
        /// Its place in the stream.
        stream_sequence: u64,
        /// The place of its delivery among those of the consumer.
        consumer_sequence: u64,
        /// How often it was delivered.
        deliveries: u64,
        /// Why (server 2.10.4); empty if nothing was said.
        reason: String,
    },
    /// A message was given back by who handled it (`-NAK`).
    Nak {
        /// Its place in the stream.
        stream_sequence: u64,
        /// The place of its delivery among those of the consumer.
        consumer_sequence: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// Another server leads the consumer. Only in a cluster.
    LeaderElected {
        /// The server.
        leader: String,
        /// The others that keep it.
        replicas: Vec<PeerInfo>,
    },
    /// Too few servers that keep the consumer can be reached: nothing is delivered for now. Only in a cluster.
    QuorumLost {
        /// The servers that keep it.
        replicas: Vec<PeerInfo>,
    },
    /// The consumer delivers nothing for now (server 2.11).
    Paused {
        /// Until then.
        until: Option<SystemTime>,
    },
    /// The consumer delivers again (server 2.11).
    Resumed,
    /// Something else, which this version knows no more of.
    Other {
        /// The part of the subject that says what, as `CREATED`.
        kind: String,
    },
}
