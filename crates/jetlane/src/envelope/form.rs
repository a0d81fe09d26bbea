//! The forms: which one a message has, and writing each.

use bytes::Bytes;
use jetlane_client::{HeaderBlock, Headers, Message};

use super::error::{excerpt, unreadable};
use super::header::{AGGREGATE_ID, CONTENT_ENCODING, EnvelopeHeaders, Found, MSG_ID, check};
use super::texts::Field;
use super::{Envelope, EnvelopeError, cloud_events, json};
use crate::payload::unpack;

const CONTENT_TYPE: &str = "content-type";

/// How an envelope stands in a message. Readers recognise the form by themselves, so that messages of all forms can share a
/// stream. In every form the message carries the aggregate id as the header `X-Aggregate-ID`, by which lanes route, and the
/// event id, if there is one, as `Nats-Msg-Id`.
///
/// As CloudEvents the event id is `id`, the event type `type`, the aggregate id `subject`, the timestamp `time`, the source `source`
/// (without one: the aggregate type, which is the first token of the topic), and `datacontenttype` the content type (without
/// one: `application/json` if the payload is JSON, else `application/octet-stream`). Extensions: `eventversion` (decimal digits; read as 1 if it is not
/// there), `correlationid`, and the trace id as `traceparent` if it is one (W3C Trace Context), else as `traceid`. A CloudEvent
/// of somebody else needs `subject` and `time`, which are optional there; extensions that are not named here are not kept.
///
/// The forms whose body is the payload may be compressed ([`Envelope::compressed`]), which the header `Content-Encoding` says. The others may
/// not: their body is JSON for whoever reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// Every field is a header (`X-…`), and the body is the payload as it is. The default, and the fastest: nothing is
    /// encoded or decoded.
    #[default]
    Header,
    /// One JSON object with the fields and the payload, which must be JSON itself: see [`Envelope::to_json`].
    Json,
    /// CloudEvents 1.0 in binary mode: every attribute is a header (`ce-…`), and the body is the payload as it is.
    CloudEventsBinary,
    /// CloudEvents 1.0 in structured mode: one JSON object with the attributes and the payload, of the content type
    /// `application/cloudevents+json`. A payload that is no JSON is in it as base64.
    CloudEventsStructured,
}

impl Form {
    /// The form of a message, `None` if it is no envelope. In this order: headers of ours make [`Form::Header`]; the content type
    /// `application/cloudevents+json` makes [`Form::CloudEventsStructured`], headers `ce-…` make [`Form::CloudEventsBinary`],
    /// and a body that is a JSON object with `aggregate_id` and `event_type` makes [`Form::Json`]. With headers of
    /// ours as well, as the Go system could send them, it is [`Form::Json`] if it reads as that whole, begins as the
    /// Go struct does, and says the same aggregate and event type as the headers.
    ///
    /// That a message has a form does not mean that it can be read: see [`Envelope::read`].
    pub fn of(message: &Message) -> Option<Self> {
        let found = Found::of(message);
        match found.is_header_form() {
            true if read_doubled(message, &found).is_some() => Some(Self::Json),
            true => Some(Self::Header),
            false => Self::of_other(message),
        }
    }

    /// The form of a message that is not in the header form.
    pub(super) fn of_other(message: &Message) -> Option<Self> {
        if content_type(message).is_some_and(is_cloud_events) {
            return Some(Self::CloudEventsStructured);
        }
        let is_ce = |name: &[u8]| name.get(..3).is_some_and(|ce| ce.eq_ignore_ascii_case(b"ce-"));
        if message.headers().is_some_and(|headers| headers.iter().any(|(name, _)| is_ce(name))) {
            return Some(Self::CloudEventsBinary);
        }
        json::peek_aggregate_id(message.payload()).map(|_| Self::Json)
    }
}

fn content_type(message: &Message) -> Option<&[u8]> {
    let mut headers = message.headers()?.iter();
    headers
        .find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()))
        .map(|(_, value)| value)
}

fn is_cloud_events(content_type: &[u8]) -> bool {
    const PREFIX: &[u8] = b"application/cloudevents";
    content_type.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Reads a message that is not in the header form.
#[cold]
pub(super) fn read_other(
    message: &Message,
    found: &Found<'_>,
    most: usize,
) -> Result<Envelope, EnvelopeError> {
    let Some(form) = Form::of_other(message) else { return Err(EnvelopeError::NoEnvelope) };
    let envelope = match (form, found.content_encoding) {
        (Form::CloudEventsBinary, _) => read_binary(message, found, most)?,
        (_, Some(name)) => {
            return Err(EnvelopeError::CompressedForm { form, encoding: excerpt(name) });
        }
        (Form::CloudEventsStructured, None) => {
            check_format(content_type(message).unwrap_or_default())?;
            cloud_events::read_structured(&message.payload_bytes())?
        }
        _ => with_msg_id(Envelope::from_json(message.payload_bytes())?, found.msg_id),
    };
    match Envelope::key_header(message) {
        Some(key) if key != envelope.aggregate_id().as_bytes() => {
            let envelope = excerpt(envelope.aggregate_id().as_bytes());
            Err(EnvelopeError::OtherAggregate { header: excerpt(key), envelope })
        }
        _ => Ok(envelope),
    }
}

fn read_binary(
    message: &Message,
    found: &Found<'_>,
    most: usize,
) -> Result<Envelope, EnvelopeError> {
    let payload = match found.content_encoding {
        Some(name) => unpack(name, message.payload(), most)?,
        None => message.payload_bytes(),
    };
    let mut envelope = cloud_events::read_binary(message, payload)?;
    // Where the content type of the data stands some libraries see as the bindings of other protocols do.
    if envelope.content_type().is_none() {
        envelope.texts.set_if(Field::ContentType, found.content_type.and_then(text));
    }
    Ok(envelope)
}

/// Of the formats of structured mode we know JSON; some libraries leave its name out. Batches are several events.
fn check_format(content_type: &[u8]) -> Result<(), EnvelopeError> {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    match &essence[..] {
        b"application/cloudevents+json" | b"application/cloudevents" => Ok(()),
        _ => Err(unreadable(CONTENT_TYPE, content_type)),
    }
}

/// Reads a message that says everything twice: in headers, and in a body as the Go system writes it.
pub(super) fn read_doubled(message: &Message, found: &Found<'_>) -> Option<Envelope> {
    // Nearly every payload is done with here. The Go system compresses nothing.
    if found.content_encoding.is_some() || !json::begins_as_go_writes(message.payload()) {
        return None;
    }
    let envelope = Envelope::from_json(message.payload_bytes()).ok()?;
    let same = found.aggregate_id == Some(envelope.aggregate_id().as_bytes())
        && found.event_type == Some(envelope.event_type().as_bytes());
    same.then(|| with_msg_id(envelope, found.event_id.or(found.msg_id)))
}

/// An event without an id of its own has that by which the server recognised duplicates.
fn with_msg_id(mut envelope: Envelope, msg_id: Option<&[u8]>) -> Envelope {
    if envelope.event_id().is_none() {
        envelope.texts.set_if(Field::EventId, msg_id.filter(|id| !id.is_empty()).and_then(text));
    }
    envelope
}

fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok()
}

/// An event as it stands in a message: its headers and its body, which belong together. As a header block it is the headers.
#[derive(Debug)]
pub(crate) enum Encoded<'a> {
    /// In the header form, of which nothing is encoded before it is sent.
    Header(EnvelopeHeaders<'a>),
    /// In another one.
    Other { headers: Headers, body: Bytes },
}

impl Encoded<'_> {
    /// The body.
    #[inline]
    pub(crate) fn body(&self) -> &Bytes {
        match self {
            Self::Header(headers) => headers.body(),
            Self::Other { body, .. } => body,
        }
    }
}

impl HeaderBlock for Encoded<'_> {
    #[inline]
    fn encoded_len(&self) -> usize {
        match self {
            Self::Header(headers) => headers.encoded_len(),
            Self::Other { headers, .. } => headers.encoded_len(),
        }
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Header(headers) => headers.encode(out),
            Self::Other { headers, .. } => headers.encode(out),
        }
    }
}

impl Envelope {
    /// Checks that it can be sent to `topic` in this form, and encodes it.
    #[inline]
    pub(crate) fn encode(&self, form: Form, topic: &str) -> Result<Encoded<'_>, EnvelopeError> {
        match form {
            Form::Header => Ok(Encoded::Header(self.headers()?)),
            form => self.encode_other(form, topic),
        }
    }

    #[cold]
    fn encode_other(&self, form: Form, topic: &str) -> Result<Encoded<'_>, EnvelopeError> {
        let mut headers = Headers::new();
        self.add_ids(&mut headers)?;
        let body = match form {
            Form::CloudEventsStructured => {
                add(&mut headers, "Content-Type", cloud_events::CONTENT_TYPE)?;
                self.to_structured(topic)?
            }
            Form::CloudEventsBinary => {
                self.write_binary(topic, &mut headers)?;
                if let Some(compression) = self.compression() {
                    add(&mut headers, CONTENT_ENCODING, compression.name())?;
                }
                self.wire_payload().clone()
            }
            Form::Json | Form::Header => self.to_json()?,
        };
        Ok(Encoded::Other { headers, body })
    }

    /// What every form has as headers. Lanes look for the aggregate id first.
    fn add_ids(&self, headers: &mut Headers) -> Result<(), EnvelopeError> {
        add(headers, AGGREGATE_ID, self.aggregate_id())?;
        match self.event_id() {
            Some(id) => add(headers, MSG_ID, id),
            None => Ok(()),
        }
    }
}

fn add(headers: &mut Headers, field: &'static str, value: &str) -> Result<(), EnvelopeError> {
    check(field, value)?;
    headers.append(field, value).map_err(|_| EnvelopeError::Unsendable { field })
}
