use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stream::{
    Compression, Discard, Republish, Retention, Storage, StreamSource, SubjectTransform,
};
use crate::wire;

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
    /// What it is for, in words; 4096 bytes at most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Largest message it takes, headers included; `None` for no limit but the server's.
    #[serde(default, with = "wire::limit", skip_serializing_if = "Option::is_none")]
    pub max_msg_size: Option<u64>,
    /// Whether its messages can be read without its leader (ADR-31, server 2.9).
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub allow_direct: bool,
    /// Whether `Nats-Rollup` may delete what came before.
    #[serde(default, rename = "allow_rollup_hdrs", skip_serializing_if = "wire::is_default")]
    pub allow_rollup: bool,
    /// Whether deleting a message is refused. Can not be taken back.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub deny_delete: bool,
    /// Whether a purge is refused. Can not be taken back.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub deny_purge: bool,
    /// Whether nothing goes in or out any more. Can not be taken back, and not be set when the stream is created.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub sealed: bool,
    /// Whether [`Discard::New`] holds for each subject, too: with it, `max_msgs_per_subject` refuses new messages.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub discard_new_per_subject: bool,
    /// Whether messages may have a `Nats-TTL` (ADR-43, server 2.11). Can not be taken back.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub allow_msg_ttl: bool,
    /// Whether batches are stored all or not at all (ADR-50, server 2.12).
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub allow_atomic: bool,
    /// How it compresses (server 2.10).
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub compression: Compression,
    /// What users want to know of it (ADR-33, server 2.10); the server adds entries that begin with `_nats.`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The stream it is a copy of; then it has no subjects of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSource>,
    /// Streams whose messages it stores, besides its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSource>,
    /// What it publishes again once it is stored (ADR-28, server 2.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    /// How subjects change before they are stored (ADR-36, server 2.10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<SubjectTransform>,
    /// Fields that this version does not know, as the server sent them: an update sends them back unchanged.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn one() -> u32 {
    1
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
        let sent = r#"{"name":"S","subjects":["a.\u003e"],"max_msgs":-1,"max_age":0,"storage":"memory","num_replicas":3,"allow_direct":true,"persist_mode":"async"}"#;
        let read: StreamConfig = serde_json::from_str(sent).unwrap();
        assert_eq!((read.subjects[0].as_str(), read.max_msgs, read.num_replicas), ("a.>", None, 3));
        assert!(read.allow_direct);
        assert_eq!(read.other.len(), 1, "the rest is known: {:?}", read.other);
        let written = serde_json::to_string(&read).unwrap();
        assert!(written.contains(r#""allow_direct":true"#));
        assert!(written.contains(r#""persist_mode":"async""#));
    }
}
