//! Structured mode: attributes and data are one JSON object.

use std::borrow::Cow;

use bytes::Bytes;
use data_encoding::BASE64;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Attribute, Attributes, Data, is_json};
use crate::envelope::error::unreadable;
use crate::envelope::{Envelope, EnvelopeError, body};

/// What the content type of a message in this mode is.
pub(in crate::envelope) const CONTENT_TYPE: &str = "application/cloudevents+json";
const DATA: &str = "data";
const DATA_BASE64: &str = "data_base64";

/// As it is read. Attributes that are not known are passed over; one that is there twice is an error.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    datacontenttype: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventversion")]
    event_version: Option<&'a RawValue>,
    #[serde(borrow)]
    traceparent: Option<&'a RawValue>,
    #[serde(borrow, rename = "traceid")]
    trace_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "correlationid")]
    correlation_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "body::present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<&'a RawValue>,
}

pub(in crate::envelope) fn read(json: &Bytes) -> Result<Envelope, EnvelopeError> {
    let fields: Fields<'_> = body::object(json)?;
    let event_version = match fields.event_version {
        // Who else writes it may well write a number.
        Some(number) if !number.get().starts_with('"') => {
            Some(body::integer(super::EVENT_VERSION, Some(number))?.to_string().into())
        }
        other => body::text(super::EVENT_VERSION, other)?,
    };
    let attributes = Attributes {
        specversion: body::text(super::SPECVERSION, fields.specversion)?,
        id: body::text(super::ID, fields.id)?,
        source: body::text(super::SOURCE, fields.source)?,
        kind: body::text(super::TYPE, fields.kind)?,
        subject: body::text(super::SUBJECT, fields.subject)?,
        time: body::text(super::TIME, fields.time)?,
        event_version,
        traceparent: body::text(super::TRACEPARENT, fields.traceparent)?,
        trace_id: body::text(super::TRACE_ID, fields.trace_id)?,
        correlation_id: body::text(super::CORRELATION_ID, fields.correlation_id)?,
        content_type: body::text(super::DATACONTENTTYPE, fields.datacontenttype)?,
    };
    let payload = payload(json, &fields, attributes.content_type.as_deref())?;
    attributes.into_envelope(payload)
}

fn payload(
    json: &Bytes,
    fields: &Fields<'_>,
    content_type: Option<&str>,
) -> Result<Bytes, EnvelopeError> {
    match (fields.data, fields.data_base64) {
        (Some(_), Some(_)) => {
            Err(EnvelopeError::Malformed { reason: "it has both data and data_base64".into() })
        }
        (None, None) => Ok(Bytes::new()),
        (None, Some(encoded)) => {
            let bad = || unreadable(DATA_BASE64, encoded.get().as_bytes());
            let text = body::text(DATA_BASE64, Some(encoded))?.unwrap_or_default();
            Ok(BASE64.decode(text.as_bytes()).map_err(|_| bad())?.into())
        }
        (Some(data), None) => {
            let is_text =
                content_type.is_some_and(|kind| !is_json(kind)) && data.get().starts_with('"');
            match is_text {
                // Data that is text, and no JSON, is in the string.
                true => Ok(match body::text(DATA, Some(data))?.unwrap_or_default() {
                    Cow::Borrowed(plain) => json.slice_ref(plain.as_bytes()),
                    Cow::Owned(text) => text.into(),
                }),
                false => Ok(json.slice_ref(data.get().as_bytes())),
            }
        }
    }
}

/// The subject, which is the aggregate id, without reading the data where that stands behind.
pub(in crate::envelope) fn peek_subject(json: &[u8]) -> Option<Cow<'_, str>> {
    let [subject] = body::peek(json, [super::SUBJECT])?;
    Some(subject)
}

struct Written<'a> {
    attributes: Vec<Attribute<'a>>,
    data: WrittenData<'a>,
}

enum WrittenData<'a> {
    Json(&'a RawValue),
    Other(&'a [u8]),
    None,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.attributes {
            map.serialize_entry(name, value)?;
        }
        match self.data {
            WrittenData::Json(json) => map.serialize_entry(DATA, json)?,
            WrittenData::Other(bytes) => {
                map.serialize_entry(DATA_BASE64, &BASE64.encode(bytes))?;
            }
            WrittenData::None => {}
        }
        map.end()
    }
}

impl Envelope {
    /// The object that stands for an event published to `topic`.
    pub(in crate::envelope) fn to_structured(&self, topic: &str) -> Result<Bytes, EnvelopeError> {
        let (attributes, data) = super::attributes(self, topic)?;
        let data = match data {
            Data::Json => WrittenData::Json(body::value(&self.payload)?),
            Data::Other => WrittenData::Other(&self.payload),
            Data::None => WrittenData::None,
        };
        let json = serde_json::to_vec(&Written { attributes, data })
            .map_err(|error| EnvelopeError::Malformed { reason: error.to_string() })?;
        Ok(json.into())
    }
}
