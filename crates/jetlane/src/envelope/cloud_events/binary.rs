//! Binary mode: every attribute is a header `ce-…`, and the body is the payload as it is.

use std::borrow::Cow;

use bytes::Bytes;
use jetlane_client::{Headers, Message};

use super::{Attributes, percent};
use crate::envelope::error::unreadable;
use crate::envelope::{Envelope, EnvelopeError};

const PREFIX: &[u8] = b"ce-";

/// The attribute that a header stands for. Libraries differ in the letter case of header names.
fn attribute(header: &[u8]) -> Option<Vec<u8>> {
    let (prefix, name) = header.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then(|| name.to_ascii_lowercase())
}

/// Reads the attributes; `payload` is the body, decompressed.
pub(in crate::envelope) fn read(
    message: &Message,
    payload: Bytes,
) -> Result<Envelope, EnvelopeError> {
    let mut attributes = Attributes::default();
    for (header, value) in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        let Some(name) = attribute(header) else { continue };
        let (field, place) = match &name[..] {
            b"specversion" => (super::SPECVERSION, &mut attributes.specversion),
            b"id" => (super::ID, &mut attributes.id),
            b"source" => (super::SOURCE, &mut attributes.source),
            b"type" => (super::TYPE, &mut attributes.kind),
            b"subject" => (super::SUBJECT, &mut attributes.subject),
            b"time" => (super::TIME, &mut attributes.time),
            b"eventversion" => (super::EVENT_VERSION, &mut attributes.event_version),
            b"traceparent" => (super::TRACEPARENT, &mut attributes.traceparent),
            b"traceid" => (super::TRACE_ID, &mut attributes.trace_id),
            b"datacontenttype" => (super::DATACONTENTTYPE, &mut attributes.content_type),
            b"correlationid" => (super::CORRELATION_ID, &mut attributes.correlation_id),
            _ => continue,
        };
        // As with all headers the first one counts.
        if place.is_none() && !value.is_empty() {
            *place = Some(text(field, value)?);
        }
    }
    attributes.into_envelope(payload)
}

fn text<'a>(field: &'static str, value: &'a [u8]) -> Result<Cow<'a, str>, EnvelopeError> {
    let text = match percent::decode(value) {
        Cow::Borrowed(plain) => str::from_utf8(plain).ok().map(Cow::Borrowed),
        Cow::Owned(decoded) => String::from_utf8(decoded).ok().map(Cow::Owned),
    };
    text.ok_or_else(|| unreadable(field, value))
}

/// The subject, which is the aggregate id.
pub(in crate::envelope) fn subject(message: &Message) -> Option<Cow<'_, [u8]>> {
    let headers = message.headers()?;
    let is_subject = |(name, value): &(&[u8], &[u8])| {
        name.eq_ignore_ascii_case(b"ce-subject") && !value.is_empty()
    };
    headers.iter().find(is_subject).map(|(_, value)| percent::decode(value))
}

impl Envelope {
    /// Adds the attributes to the headers of an event that is published to `topic`.
    pub(in crate::envelope) fn write_binary(
        &self,
        topic: &str,
        headers: &mut Headers,
    ) -> Result<(), EnvelopeError> {
        let (attributes, _) = super::attributes(self, topic)?;
        for (name, value) in attributes {
            headers
                .append(&format!("ce-{name}"), &percent::encode(&value))
                .map_err(|_| EnvelopeError::Unsendable { field: name })?;
        }
        Ok(())
    }
}
