use std::collections::BTreeMap;
use std::time::Duration;

use jetlane_proto::{SubjectFilter, check_name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{WallTime, read_time};
use crate::jetstream::error::Refusal;
use crate::jetstream::fields::{
    SERVER_METADATA, check_rest, is_default, limit, nanos, or_default, server_metadata,
};
use crate::subjects::overlap;

const ACK_WAIT: i64 = 30_000_000_000;
const MAX_WAITING: i64 = 512;
const MAX_ACK_PENDING: i64 = 1000;
/// How long a consumer without a durable name lives without anybody who asks it for something.
const EPHEMERAL: i64 = 5_000_000_000;

const UNSUPPORTED: [&str; 9] = [
    "deliver_subject",
    "deliver_group",
    "idle_heartbeat",
    "flow_control",
    "rate_limit_bps",
    "direct",
    "priority_groups",
    "priority_policy",
    "priority_timeout",
];

/// What counts as handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AckPolicy {
    /// What was delivered.
    #[default]
    None,
    /// What was acknowledged, and all before it.
    All,
    /// What was acknowledged.
    Explicit,
}

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliverPolicy {
    #[default]
    All,
    Last,
    New,
    LastPerSubject,
    ByStartSequence,
    ByStartTime,
}

/// The config of a consumer as the API has it: limits are -1 for none, durations are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConsumerConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) durable_name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) description: String,
    pub(crate) deliver_policy: DeliverPolicy,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) opt_start_seq: u64,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "read_time")]
    pub(crate) opt_start_time: Option<WallTime>,
    pub(crate) ack_policy: AckPolicy,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) ack_wait: i64,
    pub(crate) max_deliver: i64,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_default")]
    pub(crate) backoff: Vec<i64>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) filter_subject: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_default")]
    pub(crate) filter_subjects: Vec<String>,
    pub(crate) replay_policy: String,
    /// Kept and given back; no samples are taken.
    #[serde(skip_serializing_if = "is_default")]
    sample_freq: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_waiting: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) headers_only: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_batch: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_expires: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_bytes: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) inactive_threshold: i64,
    pub(crate) num_replicas: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) mem_storage: bool,
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "read_time")]
    pub(crate) pause_until: Option<WallTime>,
    /// Empty once the config was checked.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ConsumerConfig {
    /// Checks what a client asks for, and fills in what it leaves to the server.
    pub(crate) fn complete(mut self) -> Result<Self, Refusal> {
        check_rest(&self.rest, &UNSUPPORTED)?;
        self.rest.clear();
        if self.name.is_empty() {
            self.name.clone_from(&self.durable_name);
        }
        self.check()?;
        if let Some(&first) = self.backoff.first() {
            self.ack_wait = first;
        }
        if self.ack_policy != AckPolicy::None {
            fill(&mut self.ack_wait, ACK_WAIT);
            fill(&mut self.max_ack_pending, MAX_ACK_PENDING);
        }
        fill(&mut self.max_waiting, MAX_WAITING);
        if self.durable_name.is_empty() {
            fill(&mut self.inactive_threshold, EPHEMERAL);
        }
        self.max_deliver = if self.max_deliver > 0 { self.max_deliver } else { -1 };
        self.replay_policy = "instant".into();
        self.metadata.retain(|name, _| !name.starts_with(SERVER_METADATA));
        self.metadata.extend(server_metadata());
        Ok(self)
    }

    pub(crate) fn filters(&self) -> Vec<SubjectFilter> {
        let all = self.filter_subjects.iter().chain(Some(&self.filter_subject));
        // Checked when it was read; an empty one is no filter.
        all.filter_map(|filter| SubjectFilter::new(filter).ok()).collect()
    }

    pub(crate) fn max_deliver(&self) -> Option<u64> {
        limit(self.max_deliver)
    }

    /// How many messages may wait for their ack.
    pub(crate) fn most_unacked(&self) -> usize {
        limit(self.max_ack_pending)
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(usize::MAX)
    }

    /// How long a message that was delivered so many times is waited for.
    pub(crate) fn wait_for_ack(&self, delivered: u64) -> Duration {
        let at = usize::try_from(delivered.saturating_sub(1)).unwrap_or(usize::MAX);
        let backoff = self.backoff.get(at).or(self.backoff.last());
        nanos(backoff.copied().unwrap_or(self.ack_wait)).unwrap_or_default()
    }

    pub(crate) fn threshold(&self) -> Option<Duration> {
        nanos(self.inactive_threshold)
    }

    fn check(&self) -> Result<(), Refusal> {
        if !self.name.is_empty() && check_name(&self.name).is_err() {
            return Err(Refusal::new(400, 10083, "durable name can not contain '.', '*', '>'"));
        }
        if !self.durable_name.is_empty() && self.name != self.durable_name {
            let reason = "consumer durable and name have to be equal if both are provided";
            return Err(Refusal::new(400, 10132, reason));
        }
        if !matches!(self.replay_policy.as_str(), "" | "instant") {
            return Err(Refusal::not_supported("replay_policy"));
        }
        if self.num_replicas > 1 {
            let reason = "replicas > 1 not supported in non-clustered mode";
            return Err(Refusal::new(500, 10074, reason));
        }
        if self.max_deliver > 0
            && self.backoff.len() > usize::try_from(self.max_deliver).unwrap_or(0)
        {
            let reason = "max deliver is required to be > length of backoff values";
            return Err(Refusal::new(400, 10116, reason));
        }
        self.check_start()?;
        self.check_filters()
    }

    fn check_start(&self) -> Result<(), Refusal> {
        let bad = |number, what: &str| {
            let policy = self.deliver_policy;
            let reason = format!("consumer delivery policy is deliver {policy:?}, but {what}");
            Err(Refusal::new(400, number, reason))
        };
        let (by_sequence, by_time) = (
            self.deliver_policy == DeliverPolicy::ByStartSequence,
            self.deliver_policy == DeliverPolicy::ByStartTime,
        );
        match (self.opt_start_seq > 0, self.opt_start_time.is_some()) {
            (false, _) if by_sequence => bad(10094, "optional start sequence is not set"),
            (_, false) if by_time => bad(10094, "optional start time is not set"),
            (true, _) if !by_sequence => bad(10094, "optional start sequence is also set"),
            (_, true) if !by_time => bad(10094, "optional start time is also set"),
            _ if self.deliver_policy == DeliverPolicy::LastPerSubject
                && self.filters().is_empty() =>
            {
                bad(10094, "optional filter subject is not set")
            }
            _ => Ok(()),
        }
    }

    fn check_filters(&self) -> Result<(), Refusal> {
        let refused = |number, reason: &str| Err(Refusal::new(400, number, reason));
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            return refused(
                10136,
                "consumer cannot have both FilterSubject and FilterSubjects specified",
            );
        }
        if self.filter_subjects.iter().any(String::is_empty) {
            return refused(10139, "consumer filter in FilterSubjects cannot be empty");
        }
        let asked = self.filter_subjects.len() + usize::from(!self.filter_subject.is_empty());
        let filters = self.filters();
        if filters.len() != asked {
            return refused(10093, "consumer filter subject is not a valid subject");
        }
        for (at, filter) in filters.iter().enumerate() {
            if filters[..at].iter().any(|other| overlap(other.as_str(), filter.as_str())) {
                return refused(10138, "consumer subject filters cannot overlap");
            }
        }
        Ok(())
    }

    /// Whether a consumer with this config may have that one from now on.
    pub(crate) fn check_update(&self, to: &Self) -> Result<(), Refusal> {
        let can_not =
            |what: &str| Err(Refusal::new(500, 10012, format!("{what} can not be updated")));
        if self.deliver_policy != to.deliver_policy {
            return can_not("deliver policy");
        }
        if self.opt_start_seq != to.opt_start_seq {
            return can_not("start sequence");
        }
        if self.opt_start_time != to.opt_start_time {
            return can_not("start time");
        }
        if self.ack_policy != to.ack_policy {
            return can_not("ack policy");
        }
        if self.max_waiting != to.max_waiting {
            return can_not("max waiting");
        }
        Ok(())
    }
}

fn fill(setting: &mut i64, default: i64) {
    if *setting == 0 {
        *setting = default;
    }
}
