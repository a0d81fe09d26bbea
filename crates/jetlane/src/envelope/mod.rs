//! Envelopes: what is known about an event, and the forms it has on the wire.

mod body;
mod cloud_events;
mod error;
mod form;
mod header;
mod json;
mod ours;
mod routing;
mod scan;
mod texts;
mod time;

use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::payload::Packed;
use texts::{Field, Texts};

pub use error::EnvelopeError;
pub(crate) use error::excerpt;
pub use form::Form;
pub use header::EnvelopeHeaders;

/// An event with what is known about it. On the wire all of it is headers (`X-Event-ID`, `X-Aggregate-ID`, `X-Event-Type`,
/// `X-Event-Version`, `X-Timestamp`, `X-Trace-ID`, `X-Correlation-ID`, `X-Event-Source`, `Content-Type`), and the body is the payload's
/// bytes, unless another [`Form`] is chosen. The event id is also the `Nats-Msg-Id`, so a stream stores an event once within
/// its duplicate window.
///
/// Cloning copies its texts, which are short, and shares its payload. A received event in the header form as jetlane writes it shares
/// all with its message: nothing is copied.
///
/// ```
/// use jetlane::Envelope;
/// let event = Envelope::new("order-42", "OrderCreated", "{}").with_trace_id("trace-7");
/// assert_eq!((event.aggregate_id(), event.trace_id()), ("order-42", Some("trace-7")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    texts: Texts,
    event_version: i64,
    timestamp: Timestamp,
    payload: Bytes,
    /// The payload as it is sent, if that is not as it is.
    pub(crate) packed: Packed,
}

/// For a content type, or a trace id.
const ROOM: usize = 64;

impl Envelope {
    /// An event of version 1, of now, with a new id (a UUIDv7).
    pub fn new(
        aggregate_id: impl AsRef<str>,
        event_type: impl AsRef<str>,
        payload: impl Into<Bytes>,
    ) -> Self {
        let (aggregate_id, event_type) = (aggregate_id.as_ref(), event_type.as_ref());
        let mut buffer = Uuid::encode_buffer();
        let event_id = &*Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        let len = event_id.len() + aggregate_id.len() + event_type.len();
        let mut texts = Texts::with_capacity(len + ROOM);
        texts.set(Field::EventId, event_id);
        texts.set(Field::AggregateId, aggregate_id);
        texts.set(Field::EventType, event_type);
        let (timestamp, packed) = (Timestamp::now(), Packed::default());
        Self { texts, event_version: 1, timestamp, payload: payload.into(), packed }
    }

    /// The same with this event id: the application's own, as the id of an outbox row.
    #[must_use]
    pub fn with_event_id(self, event_id: impl AsRef<str>) -> Self {
        self.with(Field::EventId, event_id)
    }

    /// The same with this version. Default 1.
    #[must_use]
    pub fn with_event_version(mut self, version: i64) -> Self {
        self.event_version = version;
        self
    }

    /// The same with this time. Default: when it was made. Times before the year -9999 or after 9999 are cut.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: SystemTime) -> Self {
        self.timestamp = Timestamp::try_from(timestamp).unwrap_or(Timestamp::MAX);
        self
    }

    /// The same with this trace id. Default: none.
    #[must_use]
    pub fn with_trace_id(self, trace_id: impl AsRef<str>) -> Self {
        self.with(Field::TraceId, trace_id)
    }

    /// The same with this correlation id. Default: none.
    #[must_use]
    pub fn with_correlation_id(self, correlation_id: impl AsRef<str>) -> Self {
        self.with(Field::CorrelationId, correlation_id)
    }

    /// The same with this source: a URI reference to where it happened, as CloudEvents have. Default: none; an event that
    /// is published as a CloudEvent then gets the aggregate type, which is the first token of its topic. The JSON form has
    /// no place for it.
    #[must_use]
    pub fn with_source(self, source: impl AsRef<str>) -> Self {
        self.with(Field::Source, source)
    }

    /// The same with this content type: the media type of its payload, such as `application/json`. Default: none. The JSON form has no
    /// place for it, as its payload is always JSON. An event that is published as a CloudEvent without one gets
    /// `application/json` if its payload is JSON, else `application/octet-stream`.
    #[must_use]
    pub fn with_content_type(self, content_type: impl AsRef<str>) -> Self {
        self.with(Field::ContentType, content_type)
    }

    /// The same with this payload, which is not compressed ([`Envelope::compressed`]).
    #[must_use]
    pub fn with_payload(mut self, payload: impl Into<Bytes>) -> Self {
        (self.payload, self.packed) = (payload.into(), Packed::default());
        self
    }

    /// Names this event among all. `None` only for an event that was read in [`Form::Json`] and came without: an id made
    /// up here would be another one each time it is delivered.
    pub fn event_id(&self) -> Option<&str> {
        self.texts.get(Field::EventId)
    }

    /// What it happened to: events with the same aggregate id are handled in order.
    pub fn aggregate_id(&self) -> &str {
        self.texts.or_empty(Field::AggregateId)
    }

    /// What happened.
    pub fn event_type(&self) -> &str {
        self.texts.or_empty(Field::EventType)
    }

    /// The version of the payload's format, or of the aggregate, as the application counts.
    pub fn event_version(&self) -> i64 {
        self.event_version
    }

    /// When it happened.
    pub fn timestamp(&self) -> SystemTime {
        self.timestamp.into()
    }

    /// The trace it belongs to.
    pub fn trace_id(&self) -> Option<&str> {
        self.texts.get(Field::TraceId)
    }

    /// The process it belongs to.
    pub fn correlation_id(&self) -> Option<&str> {
        self.texts.get(Field::CorrelationId)
    }

    /// Where it happened, if that was said.
    pub fn source(&self) -> Option<&str> {
        self.texts.get(Field::Source)
    }

    /// The media type of the payload, if that was said.
    pub fn content_type(&self) -> Option<&str> {
        self.texts.get(Field::ContentType)
    }

    /// The payload. One that was compressed is plain here.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    fn with(mut self, field: Field, text: impl AsRef<str>) -> Self {
        self.texts.set(field, text);
        self
    }
}

#[cfg(test)]
mod cloud_events_tests;
#[cfg(test)]
mod compression_tests;
#[cfg(test)]
mod content_type_tests;
#[cfg(test)]
mod header_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod json_tests;
#[cfg(test)]
mod testing;
