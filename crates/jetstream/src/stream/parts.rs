//! What the config of a stream is made of.

use std::time::SystemTime;

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

/// Whether a stream on disk compresses its messages (server 2.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compression {
    /// It does not.
    #[default]
    None,
    /// With S2.
    S2,
}

/// How the server changes the subject of a message (ADR-36, server 2.10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubjectTransform {
    /// Which subjects; wildcards allowed.
    #[serde(default)]
    pub src: String,
    /// What becomes of them; `{{wildcard(1)}}` and the like stand for what the wildcards were.
    #[serde(default)]
    pub dest: String,
}

impl SubjectTransform {
    /// From `src` to `dest`.
    pub fn new(src: impl Into<String>, dest: impl Into<String>) -> Self {
        Self { src: src.into(), dest: dest.into() }
    }
}

/// What the server publishes again once it is stored (ADR-28, server 2.9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Republish {
    /// Which subjects; wildcards allowed.
    #[serde(default)]
    pub src: String,
    /// What becomes of them, as in a [`SubjectTransform`].
    #[serde(default)]
    pub dest: String,
    /// Whether the payload is left out.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub headers_only: bool,
}

impl Republish {
    /// Whole messages, from `src` to `dest`.
    pub fn new(src: impl Into<String>, dest: impl Into<String>) -> Self {
        Self { src: src.into(), dest: dest.into(), headers_only: false }
    }

    /// Leaves the payload out; `Nats-Msg-Size` says how large it is.
    #[must_use]
    pub fn headers_only(mut self) -> Self {
        self.headers_only = true;
        self
    }
}

/// Another stream, of which this one keeps a copy (ADR-1).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamSource {
    /// The other stream.
    pub name: String,
    /// The sequence it begins at; 0 for the oldest message.
    #[serde(default, skip_serializing_if = "wire::is_default")]
    pub opt_start_seq: u64,
    /// The time it begins at.
    #[serde(default, with = "wire::time", skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<SystemTime>,
    /// Which subjects of it; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// How their subjects change on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
    /// Fields that this version does not know, as the server sent them: an update sends them back unchanged.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl StreamSource {
    /// All messages of the stream `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Only messages of `subject` (wildcards allowed).
    #[must_use]
    pub fn filter(mut self, subject: impl Into<String>) -> Self {
        self.filter_subject = subject.into();
        self
    }

    /// Begins at a sequence. Default: with the oldest message.
    #[must_use]
    pub fn from_sequence(mut self, sequence: u64) -> Self {
        self.opt_start_seq = sequence;
        self
    }
}
