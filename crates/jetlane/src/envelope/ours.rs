//! The header form as jetlane writes it, which is nearly every event that it reads: the same lines in the same order, each known by
//! a few bytes. What is not quite so is read as any other.

use bytestring::ByteString;
use jetlane_client::Message;

use super::header::VERSION_LINE;
use super::{Envelope, json, scan, time};
use crate::payload::Packed;

/// Reads an event that is nothing but what jetlane writes, and whose payload is not compressed. `None` says that it may be an event
/// all the same: here it is never said what is wrong, as that takes more steps than reading it.
#[inline]
pub(super) fn read(message: &Message) -> Option<Envelope> {
    let payload = message.payload_bytes();
    // That may say everything twice.
    if json::begins_as_go_writes(&payload) {
        return None;
    }
    // One check and one reference for all of its texts.
    let block = ByteString::try_from(message.share(message.headers()?.as_bytes())).ok()?;
    let mut lines = Lines { block: &block, rest: block.as_bytes().strip_prefix(VERSION_LINE)? };
    // One by one, so that each comparison is of a length that the compiler knows.
    let aggregate_id = lines.text(b"X-Aggregate-ID: ")?;
    let event_type = lines.text(b"X-Event-Type: ")?;
    let event_id = lines.text(b"X-Event-ID: ")??;
    lines.same(b"Nats-Msg-Id: ", event_id.as_bytes())?;
    let trace_id = lines.text(b"X-Trace-ID: ")?;
    let correlation_id = lines.text(b"X-Correlation-ID: ")?;
    let source = lines.text(b"X-Event-Source: ")?;
    let content_type = lines.text(b"Content-Type: ")?;
    let event_version = version(lines.value(b"X-Event-Version: ")??)?;
    let timestamp = time::usual(lines.last(b"X-Timestamp: ")?)?;
    Some(Envelope {
        event_id: Some(event_id),
        aggregate_id: aggregate_id?,
        event_type: event_type?,
        event_version,
        timestamp,
        trace_id,
        correlation_id,
        source,
        content_type,
        payload,
        packed: Packed::default(),
    })
}

/// The lines of a block that were not read.
struct Lines<'a> {
    block: &'a ByteString,
    /// The end of `block`.
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The value of the next line, if it begins so; `None` if it is not as jetlane writes it.
    #[inline(always)]
    fn value(&mut self, begins: &[u8]) -> Option<Option<&'a [u8]>> {
        let Some(line) = self.rest.strip_prefix(begins) else { return Some(None) };
        let (value, rest) = scan::split_line(line)?;
        // White space around a value is none of it.
        if !value.first()?.is_ascii_graphic() || !value.last()?.is_ascii_graphic() {
            return None;
        }
        self.rest = rest;
        Some(Some(value))
    }

    /// Goes behind the next line, which begins so and has this value.
    #[inline(always)]
    fn same(&mut self, begins: &[u8], value: &[u8]) -> Option<()> {
        let rest = self.rest.strip_prefix(begins)?.strip_prefix(value)?;
        self.rest = rest.strip_prefix(b"\r\n")?;
        Some(())
    }

    /// The value of the next line, which begins so and is the last one: all that is left, whatever is in it.
    #[inline(always)]
    fn last(&self, begins: &[u8]) -> Option<&'a [u8]> {
        self.rest.strip_prefix(begins)?.strip_suffix(b"\r\n\r\n")
    }

    #[inline(always)]
    fn text(&mut self, begins: &[u8]) -> Option<Option<ByteString>> {
        let Some(value) = self.value(begins)? else { return Some(None) };
        let end = self.block.len() - self.rest.len() - b"\r\n".len();
        let text = self.block.get(end - value.len()..end)?;
        Some(Some(self.block.slice_ref(text)))
    }
}

/// Nearly all versions are short.
#[inline]
fn version(value: &[u8]) -> Option<i64> {
    match value {
        [digit @ b'0'..=b'9'] => Some(i64::from(digit - b'0')),
        _ => std::str::from_utf8(value).ok()?.parse().ok(),
    }
}
