use std::borrow::Borrow;

use bytes::Bytes;
use jetlane::client::{AsSubject, HeaderBlock as _};
use jetlane::{Envelope, EnvelopeError, key_token};
use uuid::Uuid;

use crate::partition::partition;

/// What an event and its headers may have together, in bytes: what servers take, unless they are told otherwise.
const LARGEST: usize = 1 << 20;

/// An event as it stands in a row of the outbox: all that the relay needs to publish it, and nothing that it would have to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) event_id: String,
    pub(crate) key: String,
    pub(crate) partition: i16,
    pub(crate) subject: String,
    /// The header block, as it goes over the wire.
    pub(crate) headers: Vec<u8>,
    pub(crate) payload: Bytes,
    /// Events of one unit are stored all or not at all.
    pub(crate) unit: Option<Unit>,
}

/// What is stored all or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unit {
    pub(crate) id: Uuid,
    /// How many events it has: 1 to 1000.
    pub(crate) size: i16,
}

/// Why an event can not be put into the outbox. The caller's fault; nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The envelope can not be sent.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The topic is no subject that can be published to.
    #[error("the topic can not be published to: {0}")]
    Topic(String),
    /// It is larger than servers take, headers included.
    #[error("the event {event_id} has {size} bytes with its headers, more than {most}")]
    TooLarge {
        /// Which event.
        event_id: String,
        /// How many it has.
        size: usize,
        /// How many it may have.
        most: usize,
    },
    /// Events that are to be stored all or not at all have to be published by one relay.
    #[error(
        "events that are to be stored all or not at all are of keys in different partitions: \
         they have to be of one key, or in an outbox that is undivided"
    )]
    Scattered,
    /// More events than a stream takes at once are to be stored all or not at all.
    #[error("{count} events are to be stored all or not at all, more than {most}")]
    TooMany {
        /// How many they are.
        count: usize,
        /// How many they may be.
        most: usize,
    },
}

impl Entry {
    /// The row that an event of a topic becomes. Its subject is `<topic>.<key>`, the key as one token, so that the stream
    /// itself knows the last event of every key.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn new(topic: impl AsSubject, event: impl Borrow<Envelope>) -> Result<Self, EntryError> {
        let event = event.borrow();
        let topic = topic.as_subject().map_err(|error| EntryError::Topic(error.to_string()))?;
        let mut headers = Vec::new();
        let block = event.headers()?;
        headers.reserve(block.encoded_len());
        block.encode(&mut headers);
        let payload = event.wire_payload().clone();
        let event_id = event.event_id().unwrap_or_default().to_owned();
        let size = headers.len() + payload.len();
        if size > LARGEST {
            return Err(EntryError::TooLarge { event_id, size, most: LARGEST });
        }
        let key = event.aggregate_id().to_owned();
        let subject = format!("{topic}.{}", key_token(&key));
        Ok(Self {
            event_id,
            partition: partition(&key),
            key,
            subject,
            headers,
            payload,
            unit: None,
        })
    }

    /// The subject that it is published to.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}
