//! How the config of a stream is written down in code.

use std::time::Duration;

use crate::stream::{
    Compression, Discard, Republish, Retention, Storage, StreamConfig, StreamSource,
    SubjectTransform,
};

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

    /// Lets its messages be read without its leader (ADR-31, server 2.9). Default: not.
    #[must_use]
    pub fn allow_direct(mut self) -> Self {
        self.allow_direct = true;
        self
    }

    /// Lets `Nats-Rollup` delete what came before. Default: not.
    #[must_use]
    pub fn allow_rollup(mut self) -> Self {
        self.allow_rollup = true;
        self
    }

    /// Refuses to delete a message. Default: does not. Can not be taken back.
    #[must_use]
    pub fn deny_delete(mut self) -> Self {
        self.deny_delete = true;
        self
    }

    /// Refuses to be purged. Default: does not. Can not be taken back.
    #[must_use]
    pub fn deny_purge(mut self) -> Self {
        self.deny_purge = true;
        self
    }

    /// Lets [`Discard::New`] hold for each subject, too. Default: not. Needs `max_msgs_per_subject`.
    #[must_use]
    pub fn discard_new_per_subject(mut self) -> Self {
        self.discard_new_per_subject = true;
        self
    }

    /// Lets messages have a `Nats-TTL` (ADR-43, server 2.11). Default: not. Can not be taken back.
    #[must_use]
    pub fn allow_msg_ttl(mut self) -> Self {
        self.allow_msg_ttl = true;
        self
    }

    /// Lets batches be stored all or not at all (ADR-50, server 2.12). Default: not.
    #[must_use]
    pub fn allow_atomic(mut self) -> Self {
        self.allow_atomic = true;
        self
    }

    /// Lets nothing in or out any more; for an update, as a new stream can not be sealed. Can not be taken back.
    #[must_use]
    pub fn seal(mut self) -> Self {
        self.sealed = true;
        self
    }

    /// Most messages it keeps of one subject. Default: no limit.
    #[must_use]
    pub fn max_msgs_per_subject(mut self, messages: u64) -> Self {
        self.max_msgs_per_subject = Some(messages);
        self
    }

    /// Largest message it takes, headers included. Default: no limit but the server's.
    #[must_use]
    pub fn max_msg_size(mut self, bytes: u64) -> Self {
        self.max_msg_size = Some(bytes);
        self
    }

    /// What it is for, in words. Default: nothing.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// How it compresses (server 2.10). Default: not at all.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Makes it a copy of another stream; then it has no subjects of its own. Default: none.
    #[must_use]
    pub fn mirror(mut self, source: StreamSource) -> Self {
        self.mirror = Some(source);
        self
    }

    /// What it publishes again once it is stored (ADR-28, server 2.9). Default: nothing.
    #[must_use]
    pub fn republish(mut self, republish: Republish) -> Self {
        self.republish = Some(republish);
        self
    }

    /// How subjects change before they are stored (ADR-36, server 2.10). Default: not at all.
    #[must_use]
    pub fn subject_transform(mut self, transform: SubjectTransform) -> Self {
        self.subject_transform = Some(transform);
        self
    }

    /// Stores the messages of another stream, too.
    #[must_use]
    pub fn source(mut self, source: StreamSource) -> Self {
        self.sources.push(source);
        self
    }

    /// Something that users want to know of it (ADR-33, server 2.10). Names that begin with `_nats.` are the server's.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }
}
