//! What a stream is: how it is set up, and what it holds.

mod build;
mod config;
mod parts;
mod subjects;

use std::time::SystemTime;

use serde::Deserialize;

pub use config::StreamConfig;
pub use parts::{
    Compression, Discard, Republish, Retention, Storage, StreamSource, SubjectTransform,
};
pub use subjects::StreamSubjects;

use crate::wire;

/// A stream as the server has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct StreamInfo {
    /// How it is set up, with the server's defaults filled in.
    pub config: StreamConfig,
    /// What it holds.
    pub state: StreamState,
    /// When it was created, as RFC 3339.
    #[serde(default)]
    pub created: String,
    /// The server's time when it answered (server 2.10).
    #[serde(default, with = "wire::time")]
    pub ts: Option<SystemTime>,
    /// The servers that keep it; `None` without a cluster.
    #[serde(default)]
    pub cluster: Option<ClusterInfo>,
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct StreamState {
    /// How many messages.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The sequence of the oldest message.
    pub first_seq: u64,
    /// The sequence of the newest message.
    pub last_seq: u64,
    /// How many consumers it has.
    pub consumer_count: u64,
    /// When the oldest message was stored; `None` if there is none.
    #[serde(with = "wire::time")]
    pub first_ts: Option<SystemTime>,
    /// When the newest message was stored; `None` if there never was one.
    #[serde(with = "wire::time")]
    pub last_ts: Option<SystemTime>,
    /// How many subjects its messages have.
    pub num_subjects: u64,
    /// How many messages are missing between the oldest and the newest.
    pub num_deleted: u64,
}

/// The servers of a cluster that keep a stream or a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ClusterInfo {
    /// The name of the cluster.
    pub name: String,
    /// The server that leads; empty while none does.
    pub leader: String,
    /// The other servers.
    #[serde(deserialize_with = "wire::or_default")]
    pub replicas: Vec<PeerInfo>,
}

/// A server that follows the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct PeerInfo {
    /// Its name.
    pub name: String,
    /// Whether it has everything that the leader has.
    pub current: bool,
    /// Whether the leader believes it to be gone.
    pub offline: bool,
    /// How many operations it is behind.
    pub lag: u64,
}
