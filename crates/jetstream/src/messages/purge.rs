use serde::{Deserialize, Serialize};

use crate::{ApiCall, JetStream};

/// Which messages of a stream to delete, all at once (ADR-10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Purge {
    /// Those of this subject (wildcards allowed); empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// Those before this sequence; 0 for all. Not together with `keep`.
    #[serde(rename = "seq", skip_serializing_if = "crate::wire::is_default")]
    pub before_sequence: u64,
    /// All but so many of the newest. Not together with `before_sequence`.
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    pub keep: u64,
}

/// The answer to a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Purged {
    /// True: anything else is an error.
    pub success: bool,
    /// How many messages it has deleted.
    #[serde(default)]
    pub purged: u64,
}

impl Purge {
    /// All messages.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only those of `subject` (wildcards allowed).
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.filter = subject.into();
        self
    }

    /// Only those before `sequence`, which itself stays. Not together with [`Purge::keep`].
    #[must_use]
    pub fn before(mut self, sequence: u64) -> Self {
        self.before_sequence = sequence;
        self
    }

    /// All but so many of the newest. Not together with [`Purge::before`].
    #[must_use]
    pub fn keep(mut self, messages: u64) -> Self {
        self.keep = messages;
        self
    }
}

impl JetStream {
    /// Deletes messages of a stream, all at once (`STREAM.PURGE`, ADR-10). Sequences go on where they were.
    pub fn purge_stream(&self, stream: &str, purge: &Purge) -> ApiCall<Purged> {
        self.stream_call("PURGE", stream, purge)
    }
}
