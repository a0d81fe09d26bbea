use std::time::Duration;

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
    /// At a sequence, in `opt_start_seq` of the config's other fields.
    ByStartSequence,
    /// At a time, in `opt_start_time` of the config's other fields.
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
    /// Fields that this version does not know, as the server sent them: an update sends them back unchanged.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ConsumerConfig {
    /// A durable consumer of all messages, from the oldest, each to be acknowledged.
    pub fn durable(name: impl Into<String>) -> Self {
        Self { durable_name: name.into(), ..Self::default() }
    }

    /// Delivers messages of `subject` (wildcards allowed), besides other filters.
    #[must_use]
    pub fn filter(mut self, subject: impl Into<String>) -> Self {
        self.filter_subjects.push(subject.into());
        self
    }

    /// Where it begins. Default: with the oldest message.
    #[must_use]
    pub fn deliver(mut self, policy: DeliverPolicy) -> Self {
        self.deliver_policy = policy;
        self
    }

    /// What has to be acknowledged. Default: every message.
    #[must_use]
    pub fn ack(mut self, policy: AckPolicy) -> Self {
        self.ack_policy = policy;
        self
    }

    /// How long a message may be unacknowledged before it is delivered again. Default: 30 s, the server's.
    #[must_use]
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// How often a message is delivered at most. Default: no limit.
    #[must_use]
    pub fn max_deliver(mut self, times: u64) -> Self {
        self.max_deliver = Some(times);
        self
    }

    /// How many messages may be unacknowledged. Default: 1000, the server's.
    #[must_use]
    pub fn max_ack_pending(mut self, messages: usize) -> Self {
        self.max_ack_pending = Some(i64::try_from(messages).unwrap_or(i64::MAX));
        self
    }
}

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
