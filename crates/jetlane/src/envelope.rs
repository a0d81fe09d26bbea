use std::fmt::{self, Write};
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;
use jetlane_client::{HeaderBlock, Headers, Message};
use jiff::Timestamp;
use uuid::Uuid;

const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";
const AGGREGATE_ID: &str = "X-Aggregate-ID";
const EVENT_TYPE: &str = "X-Event-Type";
const EVENT_VERSION: &str = "X-Event-Version";
const TIMESTAMP: &str = "X-Timestamp";
const EVENT_ID: &str = "X-Event-ID";
const TRACE_ID: &str = "X-Trace-ID";
const CORRELATION_ID: &str = "X-Correlation-ID";
/// The id again, where the server looks for it to recognise duplicates.
const MSG_ID: &str = "Nats-Msg-Id";

/// An event with what is known about it. On the wire all of it is headers (`X-Event-ID`, `X-Aggregate-ID`, `X-Event-Type`,
/// `X-Event-Version`, `X-Timestamp`, `X-Trace-ID`, `X-Correlation-ID`), and the body is the payload's bytes. The event id
/// is also the `Nats-Msg-Id`, so a stream stores an event once within its duplicate window.
///
/// Cloning is cheap. A received envelope shares the bytes of its message: nothing is copied.
///
/// ```
/// use jetlane::Envelope;
/// let event = Envelope::new("order-42", "OrderCreated", "{}").with_trace_id("trace-7");
/// assert_eq!((event.aggregate_id(), event.trace_id()), ("order-42", Some("trace-7")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    event_id: ByteString,
    aggregate_id: ByteString,
    event_type: ByteString,
    event_version: i64,
    timestamp: Timestamp,
    trace_id: Option<ByteString>,
    correlation_id: Option<ByteString>,
    payload: Bytes,
}

/// Why an envelope can not be sent, or a message is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// A field that every event has is missing or empty.
    #[error("the event has no {field}")]
    Missing {
        /// Its header.
        field: &'static str,
    },
    /// A field has a byte that would end the header, or white space at an end, which a receiver would not see.
    #[error("the field {field} can not be a header: no line ends, and no white space at its ends")]
    Unsendable {
        /// Its header.
        field: &'static str,
    },
    /// A field can not be read.
    #[error("the field {field} can not be read: {value:?}")]
    Unreadable {
        /// Its header.
        field: &'static str,
        /// What stands there.
        value: String,
    },
}

impl Envelope {
    /// An event of version 1, of now, with a new id (a UUIDv7).
    pub fn new(
        aggregate_id: impl Into<ByteString>,
        event_type: impl Into<ByteString>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self {
            event_id: new_id(),
            aggregate_id: aggregate_id.into(),
            event_type: event_type.into(),
            event_version: 1,
            timestamp: Timestamp::now(),
            trace_id: None,
            correlation_id: None,
            payload: payload.into(),
        }
    }

    /// The same with this event id: the application's own, as the id of an outbox row.
    #[must_use]
    pub fn with_event_id(mut self, event_id: impl Into<ByteString>) -> Self {
        self.event_id = event_id.into();
        self
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
    pub fn with_trace_id(mut self, trace_id: impl Into<ByteString>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// The same with this correlation id. Default: none.
    #[must_use]
    pub fn with_correlation_id(mut self, correlation_id: impl Into<ByteString>) -> Self {
        self.correlation_id = Some(correlation_id.into());
        self
    }

    /// Names this event among all.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// What it happened to: events with the same aggregate id are handled in order.
    pub fn aggregate_id(&self) -> &str {
        &self.aggregate_id
    }

    /// What happened.
    pub fn event_type(&self) -> &str {
        &self.event_type
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
        self.trace_id.as_deref()
    }

    /// The process it belongs to.
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// The payload, as it is on the wire.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Reads the envelope of a message.
    ///
    /// # Errors
    /// [`EnvelopeError`] if a field is missing or can not be read.
    pub fn read(message: &Message) -> Result<Self, EnvelopeError> {
        let mut found = Found::default();
        if let Some(headers) = message.headers() {
            headers.iter().for_each(|(name, value)| found.note(name, value));
        }
        let text = |field, value: &[u8]| {
            ByteString::try_from(message.share(value)).map_err(|_| unreadable(field, value))
        };
        let optional = |field, value: Option<&[u8]>| {
            value.filter(|value| !value.is_empty()).map(|value| text(field, value)).transpose()
        };
        let event_id = found.event_id.or(found.msg_id);
        Ok(Self {
            event_id: text(EVENT_ID, needed(EVENT_ID, event_id)?)?,
            aggregate_id: text(AGGREGATE_ID, needed(AGGREGATE_ID, found.aggregate_id)?)?,
            event_type: text(EVENT_TYPE, needed(EVENT_TYPE, found.event_type)?)?,
            event_version: parse(EVENT_VERSION, needed(EVENT_VERSION, found.event_version)?)?,
            timestamp: parse(TIMESTAMP, needed(TIMESTAMP, found.timestamp)?)?,
            trace_id: optional(TRACE_ID, found.trace_id)?,
            correlation_id: optional(CORRELATION_ID, found.correlation_id)?,
            payload: message.payload_bytes(),
        })
    }

    /// The aggregate id of a message, without reading the rest.
    pub(crate) fn aggregate_id_of(message: &Message) -> Option<&[u8]> {
        message.headers()?.get(AGGREGATE_ID).filter(|id| !id.is_empty())
    }

    /// Checks that it can be sent, and prepares its headers.
    pub(crate) fn headers(&self) -> Result<EnvelopeHeaders<'_>, EnvelopeError> {
        for (field, value) in self.fields() {
            if value.is_empty() {
                return Err(EnvelopeError::Missing { field });
            }
            // A receiver trims values, and would read another id than was sent.
            let trimmed = value.trim_ascii().len() < value.len();
            if trimmed || Headers::check_value(field, value).is_err() {
                return Err(EnvelopeError::Unsendable { field });
            }
        }
        let mut digits = Short::default();
        let mut timestamp = Short::default();
        // Both are shorter than the buffer whatever their value.
        let _ = write!(digits, "{}", self.event_version);
        let _ = write!(timestamp, "{}", self.timestamp);
        Ok(EnvelopeHeaders { envelope: self, version: digits, timestamp })
    }

    /// The text fields that are there. The aggregate id is first, because a receiver looks for it first.
    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            (AGGREGATE_ID, Some(&self.aggregate_id)),
            (EVENT_TYPE, Some(&self.event_type)),
            (EVENT_ID, Some(&self.event_id)),
            (MSG_ID, Some(&self.event_id)),
            (TRACE_ID, self.trace_id.as_ref()),
            (CORRELATION_ID, self.correlation_id.as_ref()),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, &**value?)))
    }
}

/// An envelope that was checked, with its numbers as text.
#[derive(Debug)]
pub(crate) struct EnvelopeHeaders<'a> {
    envelope: &'a Envelope,
    version: Short,
    timestamp: Short,
}

impl EnvelopeHeaders<'_> {
    fn lines(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let texts = self.envelope.fields().map(|(field, value)| (field, value.as_bytes()));
        texts.chain([
            (EVENT_VERSION, self.version.as_bytes()),
            (TIMESTAMP, self.timestamp.as_bytes()),
        ])
    }
}

impl HeaderBlock for EnvelopeHeaders<'_> {
    fn encoded_len(&self) -> usize {
        let lines: usize = self.lines().map(|(name, value)| name.len() + value.len() + 4).sum();
        VERSION_LINE.len() + lines + 2
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(VERSION_LINE);
        for (name, value) in self.lines() {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The headers of a message that an envelope is read from.
#[derive(Default)]
struct Found<'a> {
    event_id: Option<&'a [u8]>,
    msg_id: Option<&'a [u8]>,
    aggregate_id: Option<&'a [u8]>,
    event_type: Option<&'a [u8]>,
    event_version: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    trace_id: Option<&'a [u8]>,
    correlation_id: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let field = match name {
            b"X-Event-ID" => &mut self.event_id,
            b"Nats-Msg-Id" => &mut self.msg_id,
            b"X-Aggregate-ID" => &mut self.aggregate_id,
            b"X-Event-Type" => &mut self.event_type,
            b"X-Event-Version" => &mut self.event_version,
            b"X-Timestamp" => &mut self.timestamp,
            b"X-Trace-ID" => &mut self.trace_id,
            b"X-Correlation-ID" => &mut self.correlation_id,
            _ => return,
        };
        // As the server does, the first one counts.
        field.get_or_insert(value);
    }
}

fn needed<'a>(field: &'static str, value: Option<&'a [u8]>) -> Result<&'a [u8], EnvelopeError> {
    value.filter(|value| !value.is_empty()).ok_or(EnvelopeError::Missing { field })
}

fn parse<T: std::str::FromStr>(field: &'static str, value: &[u8]) -> Result<T, EnvelopeError> {
    let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| unreadable(field, value))
}

fn unreadable(field: &'static str, value: &[u8]) -> EnvelopeError {
    // Anybody may have written it: no more of it than helps.
    let value = String::from_utf8_lossy(&value[..value.len().min(100)]).into_owned();
    EnvelopeError::Unreadable { field, value }
}

fn new_id() -> ByteString {
    let mut buffer = Uuid::encode_buffer();
    let text = &*Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    ByteString::from(text.to_string())
}

/// A short text on the stack.
#[derive(Clone, Copy)]
struct Short {
    bytes: [u8; 40],
    len: usize,
}

impl Short {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; 40], len: 0 }
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let space = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        space.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
