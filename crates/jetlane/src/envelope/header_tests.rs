use std::time::{Duration, SystemTime};

use jetlane_client::{HeaderBlock, Message};

use super::testing::{event, message};
use super::{Envelope, EnvelopeError};

fn wire(envelope: &Envelope) -> Result<Message, EnvelopeError> {
    let headers = envelope.headers()?;
    let mut block = Vec::new();
    headers.encode(&mut block);
    assert_eq!(block.len(), headers.encoded_len());
    Ok(message(&block, envelope.payload()))
}

#[test]
fn what_is_sent_is_what_is_received() {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_795_211_446, 143_991_989);
    for envelope in [
        event(),
        event().with_event_id("row-7").with_event_version(i64::MIN).with_timestamp(time),
        event()
            .with_event_version(i64::MAX)
            .with_trace_id("t")
            .with_correlation_id("ä: c")
            .with_source("/s"),
        Envelope::new("ключ", "x", vec![0, 255, b'\r', b'\n']),
        Envelope::new("k", "x", ""),
    ] {
        assert_eq!(Envelope::read(&wire(&envelope).unwrap()).unwrap(), envelope);
    }
}

#[test]
fn the_headers_are_those_that_were_promised() {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_795_211_446, 143_000_000);
    let envelope = event().with_event_id("id-1").with_timestamp(time).with_trace_id("t-1");
    let wire = wire(&envelope).unwrap();
    let headers = wire.headers().unwrap();
    for (name, value) in [
        ("X-Aggregate-ID", Some("order-42")),
        ("X-Event-Type", Some("OrderCreated")),
        ("X-Event-Version", Some("1")),
        ("X-Timestamp", Some("2026-11-20T21:50:46.143Z")),
        ("X-Event-ID", Some("id-1")),
        ("Nats-Msg-Id", Some("id-1")),
        ("X-Trace-ID", Some("t-1")),
        ("X-Correlation-ID", None),
    ] {
        assert_eq!(headers.get(name), value.map(str::as_bytes), "{name}");
    }
    assert_eq!(wire.payload(), b"{}");
}

#[test]
fn ids_are_new_each_time() {
    assert_ne!(event().event_id(), event().event_id());
    assert_eq!(event().event_id().unwrap().len(), 36);
}

#[test]
fn what_can_not_be_sent_is_refused() {
    let missing = |field| Err(EnvelopeError::Missing { field });
    let unsendable = |field| Err(EnvelopeError::Unsendable { field });
    for (envelope, expected) in [
        (Envelope::new("", "x", ""), missing("X-Aggregate-ID")),
        (Envelope::new("k", "", ""), missing("X-Event-Type")),
        (event().with_event_id(""), missing("X-Event-ID")),
        (event().with_trace_id(""), missing("X-Trace-ID")),
        (Envelope::new("k\r\nX-Event-Type: y", "x", ""), unsendable("X-Aggregate-ID")),
        (Envelope::new("k", "x\n", ""), unsendable("X-Event-Type")),
        (event().with_event_id("a\0b"), unsendable("X-Event-ID")),
        (event().with_correlation_id(" c"), unsendable("X-Correlation-ID")),
        (event().with_trace_id("t "), unsendable("X-Trace-ID")),
    ] {
        assert_eq!(wire(&envelope).map(|_| ()), expected, "{envelope:?}");
    }
}

#[test]
fn what_is_no_envelope_says_what_it_lacks() {
    let good = "X-Event-ID: i\r\nX-Aggregate-ID: a\r\nX-Event-Type: t\r\nX-Event-Version: 1\r\nX-Timestamp: 2026-01-01T00:00:00Z\r\n";
    let missing = |field| Err(EnvelopeError::Missing { field });
    let unreadable =
        |field, value: &str| Err(EnvelopeError::Unreadable { field, value: value.into() });
    for (headers, expected) in [
        (good.to_string(), Ok(())),
        // The old system sent neither, or one of the two.
        (good.replace("X-Event-ID", "Nats-Msg-Id"), Ok(())),
        (good.replace("X-Event-ID", "X-Other"), missing("X-Event-ID")),
        (good.replace("X-Aggregate-ID", "X-Other"), missing("X-Aggregate-ID")),
        (good.replace("X-Aggregate-ID: a", "X-Aggregate-ID:"), missing("X-Aggregate-ID")),
        (good.replace("X-Event-Type", "x-event-type"), missing("X-Event-Type")),
        (good.replace("Version: 1", "Version: one"), unreadable("X-Event-Version", "one")),
        (
            good.replace("Version: 1", "Version: 9223372036854775808"),
            unreadable("X-Event-Version", "9223372036854775808"),
        ),
        (good.replace("2026-01-01T00:00:00Z", "yesterday"), unreadable("X-Timestamp", "yesterday")),
        (format!("X-Aggregate-ID: first\r\n{good}"), Ok(())),
        (String::new(), Err(EnvelopeError::NoEnvelope)),
    ] {
        let read = Envelope::read(&message(format!("NATS/1.0\r\n{headers}\r\n").as_bytes(), b""));
        assert_eq!(read.map(|_| ()), expected, "{headers}");
    }
    let not_utf8 = Envelope::read(&message(b"NATS/1.0\r\nX-Event-ID: \xff\r\n\r\n", b""));
    assert_eq!(not_utf8.map(|_| ()), unreadable("X-Event-ID", "\u{fffd}"));
}
