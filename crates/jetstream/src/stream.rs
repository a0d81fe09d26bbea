use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire;

/// When a stream lets messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Retention {
    /// When a limit is reached.
    #[default]
    Limits,
    /// When all consumers have acknowledged them.
    Interest,
    /// When one consumer has acknowledged them.
    WorkQueue,
}

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory: gone with the server.
    Memory,
}

/// What a full stream does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Discard {
    /// Deletes its oldest messages.
    #[default]
    Old,
    /// Refuses new ones.
    New,
}

/// How a stream is set up. What is not set is left to the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Its name.
    pub name: String,
    /// The subjects it stores; wildcards allowed. None means its own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// When it lets messages go.
    #[serde(default)]
    pub retention: Retention,
    /// Where it keeps them.
    #[serde(default)]
    pub storage: Storage,
    /// What it does when it is full.
    #[serde(default)]
    pub discard: Discard,
    /// Most messages it keeps; `None` for no limit.
    #[serde(default, with = "wire::limit")]
    pub max_msgs: Option<u64>,
    /// Most bytes it keeps; `None` for no limit.
    #[serde(default, with = "wire::limit")]
    pub max_bytes: Option<u64>,
    /// Most messages it keeps of one subject; `None` for no limit.
    #[serde(default, with = "wire::limit")]
    pub max_msgs_per_subject: Option<u64>,
    /// How long it keeps a message; zero for ever.
    #[serde(default, with = "wire::nanos")]
    pub max_age: Duration,
    /// How many servers keep a copy; 1, 3 or 5.
    #[serde(default = "one")]
    pub num_replicas: u32,
    /// How long a `Nats-Msg-Id` is remembered; zero for the server's default of two minutes.
    #[serde(default, with = "wire::nanos", skip_serializing_if = "Duration::is_zero")]
    pub duplicate_window: Duration,
    /// Fields that this version does not know, as the server sent them: an update sends them back unchanged.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn one() -> u32 {
    1
}

impl StreamConfig {
    /// A stream on disk, without limits, with one replica.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), num_replicas: 1, ..Self::default() }
    }

    /// Stores messages of `subject`, too.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subjects.push(subject.into());
        self
    }

    /// Where it keeps its messages. Default: on disk.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// When it lets messages go. Default: when a limit is reached.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// What it does when it is full. Default: deletes its oldest messages.
    #[must_use]
    pub fn discard(mut self, discard: Discard) -> Self {
        self.discard = discard;
        self
    }

    /// Most messages it keeps. Default: no limit.
    #[must_use]
    pub fn max_msgs(mut self, messages: u64) -> Self {
        self.max_msgs = Some(messages);
        self
    }

    /// Most bytes it keeps. Default: no limit.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// How long it keeps a message. Default: for ever.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// How many servers keep a copy. Default 1.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.num_replicas = replicas;
        self
    }

    /// How long a `Nats-Msg-Id` is remembered. Default: two minutes, the server's.
    #[must_use]
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = window;
        self
    }
}

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_gets_no_field_it_does_not_know_and_back_what_we_do_not_know() {
        let config =
            StreamConfig::new("S").subject("a.>").max_msgs(5).max_age(Duration::from_secs(1));
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"name":"S","subjects":["a.>"],"retention":"limits","storage":"file","discard":"old","max_msgs":5,"max_bytes":-1,"max_msgs_per_subject":-1,"max_age":1000000000,"num_replicas":1}"#
        );
        let sent = r#"{"name":"S","subjects":["a.\u003e"],"max_msgs":-1,"max_age":0,"storage":"memory","num_replicas":3,"allow_direct":true}"#;
        let read: StreamConfig = serde_json::from_str(sent).unwrap();
        assert_eq!((read.subjects[0].as_str(), read.max_msgs, read.num_replicas), ("a.>", None, 3));
        assert!(serde_json::to_string(&read).unwrap().contains(r#""allow_direct":true"#));
    }
}
