use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire;

/// What has to be acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AckPolicy {
    /// Every message.
    #[default]
    Explicit,
    /// An acknowledgement covers all messages before it, too. One process at a time only: it would cover what others
    /// have not done.
    All,
    /// Nothing: delivered is done.
    None,
}

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliverPolicy {
    /// With the oldest message.
    #[default]
    All,
    /// With the newest message.
    Last,
    /// With messages stored from now on.
    New,
    /// With the newest message of each subject.
    LastPerSubject,
    /// At the sequence in `opt_start_seq`: [`ConsumerConfig::deliver_from_sequence`].
    ByStartSequence,
    /// At the time in `opt_start_time`: [`ConsumerConfig::deliver_from_time`].
    ByStartTime,
}

/// How a consumer is set up. What is not set is left to the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// Its name, under which it survives its users.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub durable_name: String,
    /// Which messages it delivers; all, if none is given. They must not overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// A single filter, as the server may report it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Where it begins.
    #[serde(default)]
    pub deliver_policy: DeliverPolicy,
    /// What has to be acknowledged.
    #[serde(default)]
    pub ack_policy: AckPolicy,
    /// How long a message may be unacknowledged before it is delivered again; zero for the server's default of 30 s.
    #[serde(default, with = "wire::nanos", skip_serializing_if = "Duration::is_zero")]
    pub ack_wait: Duration,
    /// How often a message is delivered at most; `None` for no limit.
    #[serde(default, with = "wire::limit")]
    pub max_deliver: Option<u64>,
    /// How many messages may be unacknowledged; `None` for the server's default of 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ack_pending: Option<i64>,
    /// What it is for, in words; 4096 bytes at most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The sequence it begins at, with [`DeliverPolicy::ByStartSequence`].
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub opt_start_seq: u64,
    /// The time it begins at, with [`DeliverPolicy::ByStartTime`].
    #[serde(default, with = "wire::time", skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<SystemTime>,
    /// How long each delivery may be unacknowledged; the last one holds for all that follow. The server takes it only with a larger
    /// `max_deliver`, or none, and then ignores `ack_wait`.
    #[serde(default, with = "wire::nanos_list", skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<Duration>,
    /// How long it stays when nobody uses it; zero for ever.
    #[serde(default, with = "wire::nanos", skip_serializing_if = "Duration::is_zero")]
    pub inactive_threshold: Duration,
    /// How many pulls may wait; 0 for the server's default of 512.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub max_waiting: i64,
    /// Whether payloads are left out; `Nats-Msg-Size` says how large they are.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub headers_only: bool,
    /// How many servers keep what it knows; 0 for as many as keep the stream.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub num_replicas: u32,
    /// Whether what it knows is kept in memory, whatever the stream does.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub mem_storage: bool,
    /// Until when it delivers nothing (server 2.11); [`crate::JetStream::pause_consumer`] changes it.
    #[serde(default, with = "wire::time", skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<SystemTime>,
    /// What users want to know of it (ADR-33, server 2.10); the server adds entries that begin with `_nats.`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Fields that this version does not know, as the server sent them: an update sends them back unchanged.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
