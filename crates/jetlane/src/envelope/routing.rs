//! What lanes route by: the aggregate id of a message.

use std::borrow::Cow;

use jetlane_client::Message;

use super::header::AGGREGATE_ID;
use super::{Envelope, Form, cloud_events, json};

impl Envelope {
    /// The aggregate id of a message, without reading the rest. Messages that jetlane writes have it as a header in every form;
    /// only for those of others it is looked for in the body.
    pub(crate) fn aggregate_id_of(message: &Message) -> Option<Cow<'_, [u8]>> {
        match Self::key_header(message) {
            Some(id) => Some(Cow::Borrowed(id)),
            None => foreign_aggregate_id(message),
        }
    }

    pub(super) fn key_header(message: &Message) -> Option<&[u8]> {
        message.headers()?.get(AGGREGATE_ID).filter(|id| !id.is_empty())
    }
}

#[cold]
fn foreign_aggregate_id(message: &Message) -> Option<Cow<'_, [u8]>> {
    let text = match Form::of_other(message)? {
        Form::CloudEventsBinary => return cloud_events::binary_subject(message),
        Form::CloudEventsStructured => cloud_events::peek_subject(message.payload()),
        _ => json::peek_aggregate_id(message.payload()),
    };
    text.map(|text| match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}
