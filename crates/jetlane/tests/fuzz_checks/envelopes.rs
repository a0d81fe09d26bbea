//! Any headers and any body as an event.

use std::borrow::Cow;

use jetlane::client::{Arena, Message, MessageRef};
use jetlane::{Compress, Compression, Envelope, EnvelopeError, Event, Form, Json};

/// The most bytes that a payload may become.
const MOST: usize = 1 << 16;
/// Longer payloads would only be slower to compress.
const LONGEST: usize = 4096;

/// The header lines of the input, up to the first 0xFF, and the body behind it.
pub(crate) fn check(data: &[u8]) {
    let at = data.iter().position(|&byte| byte == 0xff);
    let (lines, body) = match at {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    if let Some(message) = message(lines, body) {
        check_reading(&message);
    }
    check_decoding(body);
    check_compressing(&body[..body.len().min(LONGEST)]);
}

fn message(lines: &[u8], body: &[u8]) -> Option<Message> {
    let block = [b"NATS/1.0\r\n", lines, b"\r\n\r\n"].concat();
    let start = format!("HMSG order.x 1 {} {}\r\n", block.len(), block.len() + body.len());
    let frame = [start.as_bytes(), &block, body, b"\r\n"].concat();
    Some(MessageRef::read(&frame)?.to_message(&mut Arena::new()))
}

/// It is read or not, and within the bound whatever is asked for.
fn check_reading(message: &Message) {
    let form = Form::of(message);
    let Ok(envelope) = Envelope::read_up_to(message, MOST) else { return };
    assert!(form.is_some());
    assert!(envelope.payload().len() <= MOST.max(message.payload().len()));
    assert!(!envelope.aggregate_id().is_empty() && !envelope.event_type().is_empty());
    assert_eq!(envelope.compression(), None);
    let is_marked = message.headers().is_some_and(|headers| {
        headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"Content-Encoding"))
    });
    if !is_marked && matches!(form, Some(Form::Header | Form::CloudEventsBinary)) {
        assert_eq!(envelope.payload(), message.payload());
    }
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Anything(serde_json::Value);

impl Event for Anything {
    const TYPE: &'static str = "Anything";
    type Encoding = Json;

    fn aggregate_id(&self) -> Cow<'_, str> {
        "a".into()
    }
}

/// What was read as JSON can be written, and is read as the same.
fn check_decoding(body: &[u8]) {
    let envelope = Envelope::new("a", "Anything", body.to_vec());
    let Ok(value) = envelope.decode::<Anything>() else { return };
    let again = Envelope::of(&value).expect("it was read");
    assert!(again.decode::<Anything>().is_ok(), "{value:?}");
}

/// What was compressed is read as it was, if it fits, and not if something is missing.
fn check_compressing(body: &[u8]) {
    for &compression in Compression::ALL {
        let compress = Compress::with(compression).above(0);
        let event = Envelope::new("a", "t", body.to_vec()).compressed(&compress);
        if event.compression().is_none() {
            continue;
        }
        let wire = event.wire_payload();
        let read = |wire: &[u8], most| {
            let name = compression.name();
            let lines = format!(
                "X-Aggregate-ID: a\r\nX-Event-Type: t\r\nX-Event-ID: i\r\nX-Event-Version: 1\r\nX-Timestamp: 2026-01-01T00:00:00Z\r\nContent-Encoding: {name}"
            );
            let message = message(lines.as_bytes(), wire).expect("a message");
            Envelope::read_up_to(&message, most).map(|read| read.payload().clone())
        };
        assert_eq!(read(wire, body.len()).as_deref(), Ok(body));
        let most = body.len() - 1;
        assert_eq!(read(wire, most), Err(EnvelopeError::TooLarge { most }));
        assert!(read(&wire[..wire.len() - 1], MOST).is_err(), "{compression:?}");
    }
}
