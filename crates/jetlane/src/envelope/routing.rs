//! What lanes route by: the aggregate id of a message.

use std::borrow::Cow;

use jetlane_client::Message;

use super::header::AGGREGATE_ID;
use super::{Envelope, Form, cloud_events, json};

/// How the header block begins of what jetlane publishes: with [`AGGREGATE_ID`].
pub(super) const FIRST_LINE: &[u8] = b"NATS/1.0\r\nX-Aggregate-ID: ";

impl Envelope {
    /// The aggregate id of a message, without reading the rest. Messages that jetlane writes have it as a header in every form;
    /// only for those of others it is looked for in the body.
    pub(crate) fn aggregate_id_of(message: &Message) -> Option<Cow<'_, [u8]>> {
        match Self::key_header(message) {
            Some(id) => Some(Cow::Borrowed(id)),
            None => foreign_aggregate_id(message),
        }
    }

    #[inline]
    pub(super) fn key_header(message: &Message) -> Option<&[u8]> {
        let headers = message.headers()?;
        // Jetlane writes it first.
        let first = headers.as_bytes().strip_prefix(FIRST_LINE).and_then(|rest| {
            let line = &rest[..memchr::memchr(b'\n', rest)?];
            let value = line.strip_suffix(b"\r")?;
            // Anything but a plain value is read as any other.
            (value.trim_ascii().len() == value.len()).then_some(value)
        });
        first.or_else(|| headers.get(AGGREGATE_ID)).filter(|id| !id.is_empty())
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

#[cfg(test)]
mod tests {
    use jetlane_client::{Arena, HeaderView, MessageRef};

    use super::*;

    /// Whichever way it is read, it is the same.
    #[test]
    fn the_key_header_is_what_the_header_block_says() {
        for lines in [
            "X-Aggregate-ID: a\r\n",
            "X-Aggregate-ID: order-42\r\nX-Event-Type: t\r\n",
            "X-Aggregate-ID:a\r\n",
            "X-Aggregate-ID:  a \r\n",
            "X-Aggregate-ID: \r\n",
            "X-Aggregate-ID: a b\r\n",
            "X-Aggregate-ID: a\rb\r\n",
            "X-Aggregate-ID: a\nb\r\n",
            "X-Aggregate-ID: a\r\n b\r\n",
            "X-Aggregate-ID: a\r\nX-Aggregate-ID: b\r\n",
            "A: 1\r\nX-Aggregate-ID: b\r\n",
            "X-Aggregate-IDs: b\r\n",
            "x-aggregate-id: b\r\n",
            "",
        ] {
            let block = format!("NATS/1.0\r\n{lines}\r\n");
            let frame = format!("HMSG s 1 {0} {0}\r\n{block}\r\n", block.len());
            let message = MessageRef::read(frame.as_bytes()).unwrap().to_message(&mut Arena::new());
            let expected = HeaderView::new(block.as_bytes()).get("X-Aggregate-ID");
            let expected = expected.filter(|id| !id.is_empty());
            assert_eq!(Envelope::key_header(&message), expected, "{}", lines.escape_default());
        }
    }
}
