//! The JSON form: one object with the fields and the payload, as the Go system writes it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::texts::{Field, Texts};
use super::{Envelope, EnvelopeError, body};
use crate::payload::Packed;

const AGGREGATE_ID: &str = "aggregate_id";
const EVENT_TYPE: &str = "event_type";
const EVENT_VERSION: &str = "event_version";
const TIMESTAMP: &str = "timestamp";
const EVENT_ID: &str = "event_id";
const TRACE_ID: &str = "trace_id";
const CORRELATION_ID: &str = "correlation_id";
const PAYLOAD: &str = "payload";

/// As it is read. Fields of other names are passed over; one that is there twice is an error.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    aggregate_id: Option<&'a RawValue>,
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    event_version: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    trace_id: Option<&'a RawValue>,
    #[serde(borrow)]
    correlation_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "body::present")]
    payload: Option<&'a RawValue>,
}

/// As it is written: in the order of the Go struct, by which its messages are recognised when they have our headers, too.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    aggregate_id: &'a str,
    event_type: &'a str,
    event_version: i64,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    payload: &'a RawValue,
}

impl Envelope {
    /// The envelope as one JSON object, payload included, as [`super::Form::Json`] has it on the wire: `event_id`, `aggregate_id`,
    /// `event_type`, `event_version`, `timestamp` (RFC 3339), `trace_id`, `correlation_id` and `payload`; ids that are not there
    /// are left out. The payload is copied as it is, without white space around it. The source and the content type have no
    /// place in this form.
    ///
    /// # Errors
    /// [`EnvelopeError::PayloadNotJson`] if the payload is anything else, or empty; others if a field that must be there is empty, or
    /// the time is before the year 0. Always the caller's fault.
    pub fn to_json(&self) -> Result<Bytes, EnvelopeError> {
        for (field, value) in [
            (AGGREGATE_ID, Some(self.aggregate_id())),
            (EVENT_TYPE, Some(self.event_type())),
            (EVENT_ID, self.event_id()),
            (TRACE_ID, self.trace_id()),
            (CORRELATION_ID, self.correlation_id()),
        ] {
            if value.is_some_and(str::is_empty) {
                return Err(EnvelopeError::Missing { field });
            }
        }
        let written = Written {
            event_id: self.event_id(),
            aggregate_id: self.aggregate_id(),
            event_type: self.event_type(),
            event_version: self.event_version,
            timestamp: body::rfc3339(TIMESTAMP, self.timestamp)?,
            trace_id: self.trace_id(),
            correlation_id: self.correlation_id(),
            payload: body::value(&self.payload)?,
        };
        let json = serde_json::to_vec(&written)
            .map_err(|error| EnvelopeError::PayloadNotJson { reason: error.to_string() })?;
        Ok(json.into())
    }

    /// Reads what [`Envelope::to_json`] writes, or the Go system does. Ids that are `null` or empty count as left out, and fields
    /// of other names are passed over. The payload shares the bytes of `json`.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is no JSON object, a field is there twice, is missing, or can not be read: the fault of who wrote it.
    pub fn from_json(json: impl Into<Bytes>) -> Result<Self, EnvelopeError> {
        let json = json.into();
        let fields: Fields<'_> = body::object(&json)?;
        let needed = |field, value| body::needed(field, body::text(field, value)?);
        let timestamp = needed(TIMESTAMP, fields.timestamp)?;
        let payload = body::needed(PAYLOAD, fields.payload)?.get();
        // No more than all that is not payload, and mostly that is little.
        let mut texts = Texts::with_capacity((json.len() - payload.len()).min(256));
        texts.set_if(Field::EventId, body::text(EVENT_ID, fields.event_id)?);
        texts.set(Field::AggregateId, needed(AGGREGATE_ID, fields.aggregate_id)?);
        texts.set(Field::EventType, needed(EVENT_TYPE, fields.event_type)?);
        let event_version = body::integer(EVENT_VERSION, fields.event_version)?;
        let timestamp = body::time(TIMESTAMP, &timestamp)?;
        texts.set_if(Field::TraceId, body::text(TRACE_ID, fields.trace_id)?);
        texts.set_if(Field::CorrelationId, body::text(CORRELATION_ID, fields.correlation_id)?);
        let payload = json.slice_ref(payload.as_bytes());
        Ok(Self { texts, event_version, timestamp, payload, packed: Packed::default() })
    }
}

/// The aggregate id of an object in this form, without reading its payload where that stands behind.
pub(super) fn peek_aggregate_id(json: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let [aggregate_id, _] = body::peek(json, [AGGREGATE_ID, EVENT_TYPE])?;
    Some(aggregate_id)
}

/// Whether it begins as the Go struct does.
pub(super) fn begins_as_go_writes(json: &[u8]) -> bool {
    json.starts_with(b"{\"event_id\":") || json.starts_with(b"{\"aggregate_id\":")
}
