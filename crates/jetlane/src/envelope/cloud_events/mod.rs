//! CloudEvents 1.0: how an envelope and the attributes of a CloudEvent stand for each other.
//!
//! Attribute names are lower-case letters and digits, so the extensions are `eventversion` (a string of digits, as the integers
//! of CloudEvents have 32 bits), `correlationid`, and either `traceparent`, for a trace id that is one as W3C Trace
//! Context writes it, or `traceid` for any other.

mod binary;
mod percent;
mod structured;

use std::borrow::Cow;

use bytes::Bytes;

use super::error::unreadable;
use super::texts::{Field, Texts};
use super::{Envelope, EnvelopeError, body};
use crate::payload::Packed;

pub(super) use binary::{read as read_binary, subject as binary_subject};
pub(super) use structured::{CONTENT_TYPE, peek_subject, read as read_structured};

const SPECVERSION: &str = "specversion";
const ID: &str = "id";
const SOURCE: &str = "source";
const TYPE: &str = "type";
const SUBJECT: &str = "subject";
const TIME: &str = "time";
const DATACONTENTTYPE: &str = "datacontenttype";
const EVENT_VERSION: &str = "eventversion";
const TRACEPARENT: &str = "traceparent";
const TRACE_ID: &str = "traceid";
const CORRELATION_ID: &str = "correlationid";

/// The attributes that an envelope is read from, each `None` if it is not there or empty.
#[derive(Default)]
struct Attributes<'a> {
    specversion: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    event_version: Option<Cow<'a, str>>,
    traceparent: Option<Cow<'a, str>>,
    trace_id: Option<Cow<'a, str>>,
    correlation_id: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
}

impl Attributes<'_> {
    fn into_envelope(self, payload: Bytes) -> Result<Envelope, EnvelopeError> {
        let specversion = body::needed(SPECVERSION, self.specversion)?;
        if specversion != "1.0" {
            return Err(unreadable(SPECVERSION, specversion.as_bytes()));
        }
        let event_version = match &self.event_version {
            Some(text) => text.parse().map_err(|_| unreadable(EVENT_VERSION, text.as_bytes()))?,
            // Only we write it.
            None => 1,
        };
        let mut texts = Texts::with_capacity(256);
        texts.set(Field::EventId, body::needed(ID, self.id)?);
        texts.set(Field::AggregateId, body::needed(SUBJECT, self.subject)?);
        texts.set(Field::EventType, body::needed(TYPE, self.kind)?);
        let timestamp = body::time(TIME, &body::needed(TIME, self.time)?)?;
        texts.set_if(Field::TraceId, self.traceparent.or(self.trace_id));
        texts.set_if(Field::CorrelationId, self.correlation_id);
        texts.set(Field::Source, body::needed(SOURCE, self.source)?);
        texts.set_if(Field::ContentType, self.content_type);
        Ok(Envelope { texts, event_version, timestamp, payload, packed: Packed::default() })
    }
}

/// An attribute's name and its value.
type Attribute<'a> = (&'static str, Cow<'a, str>);

/// What is known of the payload's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    Json,
    Other,
    None,
}

/// What says that it is no JSON is none, whatever it looks like: it is to be read as it was written.
fn data_of(envelope: &Envelope) -> Data {
    let may_be_json = envelope.content_type().is_none_or(is_json);
    match &envelope.payload[..] {
        [] => Data::None,
        payload if may_be_json && body::value(payload).is_ok() => Data::Json,
        _ => Data::Other,
    }
}

/// Whether a media type is JSON, as the JSON format of CloudEvents says.
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// The attributes of `envelope`, published to `topic`, and what its data is.
fn attributes<'a>(
    envelope: &'a Envelope,
    topic: &'a str,
) -> Result<(Vec<Attribute<'a>>, Data), EnvelopeError> {
    let source = match envelope.source() {
        Some(source) => source,
        // The aggregate type, in the way topics are named.
        None => topic.split('.').next().unwrap_or(topic),
    };
    // White space can not stand in a URI reference.
    if source.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(EnvelopeError::Unsendable { field: SOURCE });
    }
    let data = data_of(envelope);
    let content_type = match data {
        _ if envelope.content_type().is_some() => envelope.content_type(),
        Data::Json => Some("application/json"),
        Data::Other => Some("application/octet-stream"),
        Data::None => None,
    };
    let trace =
        if envelope.trace_id().is_some_and(is_traceparent) { TRACEPARENT } else { TRACE_ID };
    let time = body::rfc3339(TIME, envelope.timestamp)?;
    let borrowed = |name, value: Option<&'a str>| Some((name, Cow::Borrowed(value?)));
    let all = [
        borrowed(SPECVERSION, Some("1.0")),
        borrowed(ID, Some(body::needed(ID, envelope.event_id())?)),
        borrowed(SOURCE, Some(source)),
        borrowed(TYPE, Some(envelope.event_type())),
        borrowed(SUBJECT, Some(envelope.aggregate_id())),
        Some((TIME, Cow::Owned(time))),
        borrowed(DATACONTENTTYPE, content_type),
        Some((EVENT_VERSION, Cow::Owned(envelope.event_version.to_string()))),
        borrowed(trace, envelope.trace_id()),
        borrowed(CORRELATION_ID, envelope.correlation_id()),
    ];
    let all: Vec<_> = all.into_iter().flatten().collect();
    match all.iter().find(|(_, value)| value.is_empty()) {
        Some(&(field, _)) => Err(EnvelopeError::Missing { field }),
        None => Ok((all, data)),
    }
}

/// Whether it is as W3C Trace Context writes it: version, trace id, span id and flags, in lower-case hexadecimal.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = text.split('-').map(str::len);
    lengths.eq([2, 32, 16, 2]) && text.split('-').all(is_hex)
}
