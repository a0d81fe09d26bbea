//! How the config of a consumer is written down in code.

use std::time::{Duration, SystemTime};

use crate::consumer::{AckPolicy, ConsumerConfig, DeliverPolicy};

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

    /// Begins at a sequence, or behind it if that message is gone. Default: with the oldest message.
    #[must_use]
    pub fn deliver_from_sequence(mut self, sequence: u64) -> Self {
        self.deliver_policy = DeliverPolicy::ByStartSequence;
        self.opt_start_seq = sequence;
        self
    }

    /// Begins with the first message that was stored at `time` or later. Default: with the oldest message.
    #[must_use]
    pub fn deliver_from_time(mut self, time: SystemTime) -> Self {
        self.deliver_policy = DeliverPolicy::ByStartTime;
        self.opt_start_time = Some(time);
        self
    }

    /// Something that users want to know of it (ADR-33, server 2.10). Names that begin with `_nats.` are the server's.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// How long each delivery may be unacknowledged, in place of `ack_wait`; the last one holds for all that follow.
    #[must_use]
    pub fn backoff(mut self, waits: impl Into<Vec<Duration>>) -> Self {
        self.backoff = waits.into();
        self
    }

    /// How long it stays when nobody uses it. Default: for ever.
    #[must_use]
    pub fn inactive_threshold(mut self, threshold: Duration) -> Self {
        self.inactive_threshold = threshold;
        self
    }

    /// How many pulls may wait. Default: 512, the server's.
    #[must_use]
    pub fn max_waiting(mut self, pulls: usize) -> Self {
        self.max_waiting = i64::try_from(pulls).unwrap_or(i64::MAX);
        self
    }

    /// Leaves payloads out. Default: does not.
    #[must_use]
    pub fn headers_only(mut self) -> Self {
        self.headers_only = true;
        self
    }

    /// Keeps what it knows in memory. Default: where the stream keeps its messages.
    #[must_use]
    pub fn mem_storage(mut self) -> Self {
        self.mem_storage = true;
        self
    }

    /// How many servers keep what it knows. Default: as many as keep the stream.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.num_replicas = replicas;
        self
    }

    /// What it is for, in words. Default: nothing.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Delivers nothing until then (server 2.11). Default: delivers at once.
    #[must_use]
    pub fn pause_until(mut self, time: SystemTime) -> Self {
        self.pause_until = Some(time);
        self
    }
}
