//! What must hold of a single frame, and of everything that is read from its parts.

use jetlane_proto::jetstream::{Delivery, PubAck, PubAckError, PullStatus};
use jetlane_proto::{Frame, HeaderView, Limits, MessageFrame, ServerError, ServerInfo, Span};

/// Checks a frame that took `bytes`, and reads its parts as the layers above would.
pub(crate) fn check_frame(frame: Frame, bytes: &[u8], limits: &Limits) {
    assert_eq!(bytes.last(), Some(&b'\n'), "a frame ends with its line");
    match frame {
        Frame::Message(message) => check_message(message, bytes, limits),
        Frame::Info(json) => {
            if let Err(error) = ServerInfo::read(part(json, bytes)) {
                assert!(!error.to_string().is_empty());
            }
        }
        Frame::Error(text) => {
            let error = ServerError::read(part(text, bytes));
            assert!(!error.to_string().is_empty());
            assert!(error.closes() || !error.is_auth(), "{error}");
        }
        Frame::Ping | Frame::Pong | Frame::Ok => {
            assert!(bytes.len() <= limits.control_line_bytes + 1)
        }
        other => panic!("a frame that the checks do not know: {other:?}"),
    }
}

/// The bytes of a span, which must lie within those of its frame.
fn part(span: Span, bytes: &[u8]) -> &[u8] {
    assert!(
        span.start <= span.end && span.range().end <= bytes.len(),
        "{span:?} of {}",
        bytes.len()
    );
    &bytes[span.range()]
}

fn check_message(message: MessageFrame, bytes: &[u8], limits: &Limits) {
    let MessageFrame { subject, reply, headers, payload, .. } = message;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
    assert!(!subject.is_empty() && !part(subject, bytes).iter().any(blank), "{message:?}");
    assert!(!part(reply, bytes).iter().any(blank), "{message:?}");
    assert!(reply.is_empty() || subject.end < reply.start, "{message:?}");
    assert!(subject.end < headers.start && reply.end < headers.start, "{message:?}");
    assert_eq!(headers.end, payload.start, "{message:?}");
    assert_eq!(bytes[payload.range().end..], *b"\r\n", "{message:?}");
    assert!(headers.len() + payload.len() <= limits.message_bytes, "{message:?} under {limits:?}");

    let view = HeaderView::new(part(headers, bytes));
    check_headers(view);
    check_status(view);
    check_delivery(part(reply, bytes));
    check_pub_ack(part(payload, bytes));
}

fn check_headers(view: HeaderView<'_>) {
    let lines = view.as_bytes().iter().filter(|&&byte| byte == b'\n').count();
    assert!(view.iter().count() <= lines, "{view:?}");
    for (name, value) in view.iter() {
        assert!(!name.is_empty() && !name.iter().any(|byte| matches!(byte, b':' | b'\n')));
        assert!(!value.contains(&b'\n') && value == value.trim_ascii());
    }
    // One name is enough: looking up each would take the square of their number.
    if let Some((name, value)) = view.iter().next()
        && let Ok(name) = str::from_utf8(name)
    {
        assert_eq!(view.get(name), Some(value), "{name:?}");
        assert_eq!(view.get_all(name).next(), Some(value), "{name:?}");
    }
    assert!(!format!("{view:?}").is_empty());
}

fn check_status(view: HeaderView<'_>) {
    let status = view.status();
    if let Some(status) = status {
        assert!(status.code <= 999 && !status.description.contains(&b'\n'), "{status:?}");
    }
    assert_eq!(PullStatus::read(view).is_some(), status.is_some(), "{status:?}");
}

fn check_delivery(reply: &[u8]) {
    let Some(delivery) = Delivery::read(reply) else { return };
    for name in [delivery.stream, delivery.consumer] {
        assert!(!name.is_empty() && !part(name, reply).contains(&b'.'), "{delivery:?}");
    }
    assert!(delivery.stream.end < delivery.consumer.start, "{delivery:?}");
    assert!(reply.starts_with(b"$JS.ACK."), "{delivery:?}");
}

/// The short way that knows the usual answer by its prefix must never contradict the JSON reader, which a space in
/// front leads to. (It may read what JSON would refuse: it does not look into names.)
fn check_pub_ack(body: &[u8]) {
    let ack = PubAck::read(body);
    let by_json = PubAck::read(&[b" ", body].concat());
    match (&ack, &by_json) {
        // The short reader does not look at the bytes of a name; the JSON reader refuses control characters.
        (Ok(_), Err(PubAckError::Malformed)) => {
            assert!(body.iter().any(|byte| !(b' '..=b'~').contains(byte)), "{ack:?}");
        }
        _ => assert_eq!(ack, by_json),
    }
}
