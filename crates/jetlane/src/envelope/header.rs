//! The header form: every field is a header, and the body is the payload as it is. Nothing is decoded to route it.

use std::fmt::{self, Write};

use bytes::Bytes;
use jetlane_client::{HeaderBlock, Headers, Message};
use jiff::Timestamp;

use super::error::unreadable;
use super::texts::{Field, Texts};
use super::{Envelope, EnvelopeError, form, ours, time};
use crate::payload::{Compression, Packed, unpack};

const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";
pub(super) const AGGREGATE_ID: &str = "X-Aggregate-ID";
const EVENT_TYPE: &str = "X-Event-Type";
const EVENT_VERSION: &str = "X-Event-Version";
const TIMESTAMP: &str = "X-Timestamp";
const EVENT_ID: &str = "X-Event-ID";
const TRACE_ID: &str = "X-Trace-ID";
const CORRELATION_ID: &str = "X-Correlation-ID";
const SOURCE: &str = "X-Event-Source";
pub(super) const CONTENT_TYPE: &str = "Content-Type";
pub(super) const CONTENT_ENCODING: &str = "Content-Encoding";
/// The id again, where the server looks for it to recognise duplicates.
pub(super) const MSG_ID: &str = "Nats-Msg-Id";

impl Envelope {
    /// The most bytes that a compressed payload is read to, where nobody says otherwise: 16 MiB.
    pub const DECOMPRESS_UP_TO: usize = 16 << 20;

    /// Reads the envelope of a message, in whichever [`crate::Form`] it is: that is recognised by itself. A payload that is marked as
    /// compressed is decompressed, to [`Envelope::DECOMPRESS_UP_TO`] bytes at most.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is no envelope, or a field is missing or can not be read.
    #[inline]
    pub fn read(message: &Message) -> Result<Self, EnvelopeError> {
        Self::read_up_to(message, Self::DECOMPRESS_UP_TO)
    }

    /// As [`Envelope::read`], where a compressed payload may have so many bytes, and no more. Little more memory than that is taken,
    /// whatever the payload would become. Payloads that are not compressed are bounded by the server's `max_payload`.
    ///
    /// # Errors
    /// [`EnvelopeError`]; [`EnvelopeError::TooLarge`] if it has more.
    #[inline]
    pub fn read_up_to(message: &Message, most: usize) -> Result<Self, EnvelopeError> {
        match ours::read(message) {
            Some(envelope) => Ok(envelope),
            None => Self::read_any(message, most),
        }
    }

    /// Reads an envelope of any form, and says what is wrong with what is none.
    #[cold]
    pub(super) fn read_any(message: &Message, most: usize) -> Result<Self, EnvelopeError> {
        let found = Found::of(message);
        if !found.is_header_form() {
            return form::read_other(message, &found, most);
        }
        if let Some(envelope) = form::read_doubled(message, &found) {
            return Ok(envelope);
        }
        let event_id = found.event_id.or(found.msg_id);
        let mut texts = Texts::with_capacity(256);
        texts.set(Field::EventId, text(EVENT_ID, needed(EVENT_ID, event_id)?)?);
        texts.set(
            Field::AggregateId,
            text(AGGREGATE_ID, needed(AGGREGATE_ID, found.aggregate_id)?)?,
        );
        texts.set(Field::EventType, text(EVENT_TYPE, needed(EVENT_TYPE, found.event_type)?)?);
        let event_version = parse(EVENT_VERSION, needed(EVENT_VERSION, found.event_version)?)?;
        let timestamp = read_time(needed(TIMESTAMP, found.timestamp)?)?;
        for (field, name, value) in [
            (Field::TraceId, TRACE_ID, found.trace_id),
            (Field::CorrelationId, CORRELATION_ID, found.correlation_id),
            (Field::Source, SOURCE, found.source),
            (Field::ContentType, CONTENT_TYPE, found.content_type),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                texts.set(field, text(name, value)?);
            }
        }
        let payload = match found.content_encoding {
            None => message.payload_bytes(),
            Some(encoding) => unpack(encoding, message.payload(), most)?,
        };
        Ok(Self { texts, event_version, timestamp, payload, packed: Packed::default() })
    }

    /// Checks that it can be sent, and prepares its headers: for those who publish it by the layer below, with
    /// [`EnvelopeHeaders::body`] as the body.
    ///
    /// # Errors
    /// [`EnvelopeError`] if a field is empty that must not be, or can not be the value of a header. The caller's fault.
    pub fn headers(&self) -> Result<EnvelopeHeaders<'_>, EnvelopeError> {
        for (field, value) in self.fields() {
            check(field, value)?;
        }
        if self.event_id().is_none() {
            return Err(EnvelopeError::Missing { field: EVENT_ID });
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
            (AGGREGATE_ID, Some(self.aggregate_id())),
            (EVENT_TYPE, Some(self.event_type())),
            (EVENT_ID, self.event_id()),
            (MSG_ID, self.event_id()),
            (TRACE_ID, self.trace_id()),
            (CORRELATION_ID, self.correlation_id()),
            (SOURCE, self.source()),
            (CONTENT_TYPE, self.content_type()),
            (CONTENT_ENCODING, self.compression().map(Compression::name)),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?)))
    }
}

/// Checks that a receiver will read the value that is sent.
pub(super) fn check(field: &'static str, value: &str) -> Result<(), EnvelopeError> {
    if value.is_empty() {
        return Err(EnvelopeError::Missing { field });
    }
    // A receiver trims values, and would read another id than was sent.
    let trimmed = value.trim_ascii().len() < value.len();
    if trimmed || Headers::check_value(field, value).is_err() {
        return Err(EnvelopeError::Unsendable { field });
    }
    Ok(())
}

/// The headers of an envelope that was checked: see [`Envelope::headers`].
#[derive(Debug)]
pub struct EnvelopeHeaders<'a> {
    envelope: &'a Envelope,
    version: Short,
    timestamp: Short,
}

impl EnvelopeHeaders<'_> {
    /// The body that these headers are for: [`Envelope::wire_payload`]. With [`Envelope::payload`] in its place nobody could read a
    /// compressed event.
    #[inline]
    pub fn body(&self) -> &Bytes {
        self.envelope.wire_payload()
    }

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
pub(super) struct Found<'a> {
    pub(super) event_id: Option<&'a [u8]>,
    pub(super) msg_id: Option<&'a [u8]>,
    pub(super) aggregate_id: Option<&'a [u8]>,
    pub(super) event_type: Option<&'a [u8]>,
    event_version: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    trace_id: Option<&'a [u8]>,
    correlation_id: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    pub(super) content_type: Option<&'a [u8]>,
    pub(super) content_encoding: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    #[inline]
    pub(super) fn of(message: &'a Message) -> Self {
        let Some(headers) = message.headers() else { return Self::default() };
        let mut found = Self::default();
        headers.iter().for_each(|(name, value)| found.note(name, value));
        if found.content_encoding.is_some_and(|name| name.eq_ignore_ascii_case(b"identity")) {
            // That is none.
            found.content_encoding = None;
        }
        found
    }

    /// Whether it is in the header form. The aggregate id alone does not say so: every form carries it, for lanes to route by.
    pub(super) fn is_header_form(&self) -> bool {
        let Self { event_type, event_id, event_version, timestamp, .. } = self;
        event_type.or(*event_id).or(*event_version).or(*timestamp).is_some()
    }

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
            b"X-Event-Source" => &mut self.source,
            b"Content-Type" | b"content-type" => &mut self.content_type,
            b"Content-Encoding" | b"content-encoding" => &mut self.content_encoding,
            _ => return,
        };
        // As the server does, the first one counts.
        field.get_or_insert(value);
    }
}

fn needed<'a>(field: &'static str, value: Option<&'a [u8]>) -> Result<&'a [u8], EnvelopeError> {
    match value {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(EnvelopeError::Missing { field }),
    }
}

fn text<'a>(field: &'static str, value: &'a [u8]) -> Result<&'a str, EnvelopeError> {
    str::from_utf8(value).map_err(|_| unreadable(field, value))
}

fn read_time(value: &[u8]) -> Result<Timestamp, EnvelopeError> {
    match time::usual(value) {
        Some(time) => Ok(time),
        None => parse(TIMESTAMP, value),
    }
}

fn parse<T: std::str::FromStr>(field: &'static str, value: &[u8]) -> Result<T, EnvelopeError> {
    let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| unreadable(field, value))
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
