//! What a consumer is: how it is set up, and how far it is.

mod build;
mod config;

use std::time::{Duration, SystemTime};

use serde::Deserialize;

pub use config::{AckPolicy, ConsumerConfig, DeliverPolicy};

use crate::{ClusterInfo, wire};

/// A consumer as the server has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its stream.
    pub stream_name: String,
    /// Its name.
    pub name: String,
    /// How it is set up, with the server's defaults filled in.
    pub config: ConsumerConfig,
    /// What was delivered last.
    #[serde(default)]
    pub delivered: SequencePair,
    /// Everything up to here is acknowledged.
    #[serde(default)]
    pub ack_floor: SequencePair,
    /// How many messages are delivered and not acknowledged.
    #[serde(default)]
    pub num_ack_pending: u64,
    /// How many of those were delivered more than once.
    #[serde(default)]
    pub num_redelivered: u64,
    /// How many pulls wait for messages.
    #[serde(default)]
    pub num_waiting: u64,
    /// How many messages are still to be delivered.
    #[serde(default)]
    pub num_pending: u64,
    /// Whether it delivers nothing for now (server 2.11).
    #[serde(default)]
    pub paused: bool,
    /// How much longer it is paused; zero if it is not.
    #[serde(default, with = "wire::nanos")]
    pub pause_remaining: Duration,
    /// The server's time when it answered (server 2.10).
    #[serde(default, with = "wire::time")]
    pub ts: Option<SystemTime>,
    /// The servers that keep it; `None` without a cluster.
    #[serde(default)]
    pub cluster: Option<ClusterInfo>,
}

/// A place, counted in the deliveries of a consumer and in the messages of its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct SequencePair {
    /// Deliveries.
    pub consumer_seq: u64,
    /// Messages.
    pub stream_seq: u64,
}
