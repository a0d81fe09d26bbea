use std::collections::BTreeMap;
use std::time::Duration;

use jetlane_proto::{SubjectFilter, check_name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jetstream::error::Refusal;
use crate::jetstream::fields::{
    SERVER_METADATA, check_rest, is_default, limit, nanos, or_default, server_metadata,
};
use crate::subjects::overlap;

/// The shortest age and window, and the window of who asks for none, in nanoseconds.
const LEAST: i64 = 100_000_000;
const DUPLICATE_WINDOW: i64 = 120_000_000_000;

const UNSUPPORTED: [&str; 11] = [
    "mirror",
    "sources",
    "subject_transform",
    "republish",
    "placement",
    "persist_mode",
    "subject_delete_marker_ttl",
    "allow_msg_counter",
    "allow_atomic",
    "allow_batched",
    "allow_msg_schedules",
];

/// When messages go that no limit removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Retention {
    /// Never.
    #[default]
    Limits,
    /// When all consumers that want them have acknowledged them.
    Interest,
    /// When one consumer has acknowledged them.
    WorkQueue,
}

/// Where a nats-server would store them: it counts bytes differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Storage {
    #[default]
    File,
    Memory,
}

/// What happens at a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Discard {
    #[default]
    Old,
    New,
}

/// The config of a stream as the API has it: limits are -1 for none, durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) description: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_default")]
    pub(crate) subjects: Vec<String>,
    pub(crate) retention: Retention,
    pub(crate) max_consumers: i64,
    pub(crate) max_msgs: i64,
    pub(crate) max_bytes: i64,
    pub(crate) max_age: i64,
    pub(crate) max_msgs_per_subject: i64,
    pub(crate) max_msg_size: i64,
    pub(crate) discard: Discard,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) discard_new_per_subject: bool,
    pub(crate) storage: Storage,
    pub(crate) num_replicas: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) no_ack: bool,
    pub(crate) duplicate_window: i64,
    pub(crate) compression: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) first_seq: u64,
    pub(crate) allow_direct: bool,
    pub(crate) mirror_direct: bool,
    pub(crate) sealed: bool,
    pub(crate) deny_delete: bool,
    pub(crate) deny_purge: bool,
    pub(crate) allow_rollup_hdrs: bool,
    #[serde(deserialize_with = "or_default")]
    pub(crate) consumer_limits: Map<String, Value>,
    pub(crate) allow_msg_ttl: bool,
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: BTreeMap<String, String>,
    /// Empty once the config was checked.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            subjects: Vec::new(),
            retention: Retention::Limits,
            max_consumers: -1,
            max_msgs: -1,
            max_bytes: -1,
            max_age: 0,
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            discard: Discard::Old,
            discard_new_per_subject: false,
            storage: Storage::File,
            num_replicas: 1,
            no_ack: false,
            duplicate_window: 0,
            compression: "none".into(),
            first_seq: 0,
            allow_direct: false,
            mirror_direct: false,
            sealed: false,
            deny_delete: false,
            deny_purge: false,
            allow_rollup_hdrs: false,
            consumer_limits: Map::new(),
            allow_msg_ttl: false,
            metadata: BTreeMap::new(),
            rest: Map::new(),
        }
    }
}

impl StreamConfig {
    /// Reads and checks what a client asks for, and fills in what it leaves to the server.
    pub(crate) fn read(body: &[u8], stream: &str) -> Result<Self, Refusal> {
        let mismatch = || Refusal::new(400, 10056, "stream name in subject does not match request");
        if body.is_empty() {
            return Err(mismatch());
        }
        let mut config: Self = serde_json::from_slice(body).map_err(Refusal::bad_json)?;
        check_rest(&config.rest, &UNSUPPORTED)?;
        if config.name != stream {
            return Err(mismatch());
        }
        config.fill();
        config.check()?;
        Ok(config)
    }

    pub(crate) fn age(&self) -> Option<Duration> {
        nanos(self.max_age)
    }

    pub(crate) fn window(&self) -> Option<Duration> {
        nanos(self.duplicate_window)
    }

    pub(crate) fn filters(&self) -> Vec<SubjectFilter> {
        // Checked when it was read.
        self.subjects.iter().filter_map(|subject| SubjectFilter::new(subject).ok()).collect()
    }

    fn fill(&mut self) {
        self.rest.clear();
        for limit in [
            &mut self.max_consumers,
            &mut self.max_msgs,
            &mut self.max_bytes,
            &mut self.max_msgs_per_subject,
            &mut self.max_msg_size,
        ] {
            *limit = if *limit > 0 { *limit } else { -1 };
        }
        if self.subjects.is_empty() {
            self.subjects.push(self.name.clone());
        }
        if self.duplicate_window == 0 {
            let longest = limit(self.max_age).and_then(|age| i64::try_from(age).ok());
            self.duplicate_window = DUPLICATE_WINDOW.min(longest.unwrap_or(i64::MAX));
        }
        self.num_replicas = self.num_replicas.max(1);
        self.metadata.retain(|name, _| !name.starts_with(SERVER_METADATA));
        self.metadata.extend(server_metadata());
    }

    fn check(&self) -> Result<(), Refusal> {
        let bad = |reason: &str| Err(Refusal::bad_stream(reason));
        if check_name(&self.name).is_err() {
            return Err(Refusal::bad_stream("stream name can not be used"));
        }
        if self.num_replicas > 1 {
            let reason = "replicas > 1 not supported in non-clustered mode";
            return Err(Refusal::new(500, 10074, reason));
        }
        if self.max_age != 0 && self.max_age < LEAST {
            return bad("max age needs to be >= 100ms");
        }
        if self.duplicate_window < 0 || (1..LEAST).contains(&self.duplicate_window) {
            return bad("duplicates window needs to be >= 100ms");
        }
        if self.max_age > 0 && self.duplicate_window > self.max_age {
            return bad("duplicates window can not be larger then max age");
        }
        if self.discard_new_per_subject
            && (self.discard == Discard::Old || self.max_msgs_per_subject < 1)
        {
            return bad("discard new per subject requires discard new policy and a limit");
        }
        if self.first_seq > u64::MAX / 2 {
            return bad("first sequence is too large");
        }
        self.check_subjects()
    }

    fn check_subjects(&self) -> Result<(), Refusal> {
        for (at, subject) in self.subjects.iter().enumerate() {
            if SubjectFilter::new(subject).is_err() {
                return Err(Refusal::bad_stream("invalid subject"));
            }
            if overlap(subject, "$JS.API.>") || overlap(subject, "$JS.ACK.>") {
                return Err(Refusal::bad_stream("subjects overlap with jetstream api"));
            }
            if let Some(other) = self.subjects[..at].iter().find(|other| overlap(other, subject)) {
                let reason = format!("subject {other:?} overlaps with {subject:?}");
                return Err(Refusal::bad_stream(reason));
            }
        }
        Ok(())
    }

    /// Whether a stream with this config may have that one from now on.
    pub(crate) fn check_update(&self, to: &Self) -> Result<(), Refusal> {
        let can_not = |what: &str| {
            Err(Refusal::bad_stream(format!("stream configuration update can not {what}")))
        };
        if self.storage != to.storage {
            return can_not("change storage type");
        }
        let is_queue = |config: &Self| config.retention == Retention::WorkQueue;
        if is_queue(self) != is_queue(to) {
            return can_not("change retention policy to/from workqueue");
        }
        if self.sealed && !to.sealed {
            return can_not("unseal a sealed stream");
        }
        if self.max_consumers != to.max_consumers {
            return can_not("change MaxConsumers");
        }
        if (self.deny_delete && !to.deny_delete) || (self.deny_purge && !to.deny_purge) {
            return can_not("cancel deny message deletes or purge");
        }
        Ok(())
    }
}
