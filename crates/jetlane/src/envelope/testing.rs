//! What the tests of all forms share.

use jetlane_client::{Arena, HeaderBlock, Message, MessageRef};

use super::{Envelope, EnvelopeError, Form};

pub(super) const FORMS: [Form; 4] =
    [Form::Header, Form::Json, Form::CloudEventsBinary, Form::CloudEventsStructured];

/// The message that a receiver gets when `block` and `payload` are published.
pub(super) fn message(block: &[u8], payload: &[u8]) -> Message {
    let mut frame =
        format!("HMSG s 1 {} {}\r\n", block.len(), block.len() + payload.len()).into_bytes();
    frame.extend_from_slice(block);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(b"\r\n");
    MessageRef::read(&frame).unwrap().to_message(&mut Arena::new())
}

/// A message with these lines of headers.
pub(super) fn with_headers(lines: &[&str], payload: &str) -> Message {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    message(format!("NATS/1.0\r\n{lines}\r\n").as_bytes(), payload.as_bytes())
}

/// The header block and the body of `envelope` in `form`, published to `order.created`.
pub(super) fn parts(form: Form, envelope: &Envelope) -> Result<(Vec<u8>, Vec<u8>), EnvelopeError> {
    let mut block = Vec::new();
    let encoded = envelope.encode(form, "order.created")?;
    encoded.encode(&mut block);
    Ok((block, encoded.body().to_vec()))
}

/// What a receiver gets.
pub(super) fn wire(form: Form, envelope: &Envelope) -> Result<Message, EnvelopeError> {
    parts(form, envelope).map(|(block, body)| message(&block, &body))
}

pub(super) fn event() -> Envelope {
    Envelope::new("order-42", "OrderCreated", "{}")
}
