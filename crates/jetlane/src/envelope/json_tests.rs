use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::testing::{FORMS, event, message, wire, with_headers};
use super::{Envelope, EnvelopeError, Form};

/// As Go marshals its struct.
const GO: &str = r#"{"event_id":"row-7","aggregate_id":"order-42","event_type":"OrderCreated","event_version":3,"timestamp":"2026-11-20T21:50:46.143991989+08:00","trace_id":"t-1","correlation_id":"c-1","payload":{"total":7}}"#;

fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_795_211_446, 143_991_989)
}

fn full() -> Envelope {
    Envelope::new("order-42", "OrderCreated", r#"{"total":7}"#)
        .with_event_id("row-7")
        .with_event_version(3)
        .with_timestamp(time() - Duration::from_secs(8 * 3600))
        .with_trace_id("t-1")
        .with_correlation_id("c-1")
}

#[test]
fn every_form_is_read_as_it_was_written() {
    let plain = full().with_source("order").with_content_type("application/json");
    for envelope in [
        plain.clone(),
        plain.clone().with_event_version(i64::MIN),
        plain.clone().with_event_version(i64::MAX),
        Envelope::new("ключ \"%41\" x", "t", "[1, \"\\u00e4\"]")
            .with_source("/a?b=%20")
            .with_content_type("application/json"),
        plain.with_correlation_id("a\u{1}b \\ \"").with_trace_id("é"),
    ] {
        for form in FORMS {
            let message = wire(form, &envelope).unwrap();
            assert_eq!(Form::of(&message), Some(form));
            let mut read = Envelope::read(&message).unwrap();
            if form == Form::Json {
                assert_eq!(read.source(), None, "it has no place there");
                read = read.with_source(envelope.source().unwrap());
                read = read.with_content_type("application/json");
            }
            assert_eq!(read, envelope, "{form:?}");
            let headers = message.headers().unwrap();
            let id = envelope.event_id().map(str::as_bytes);
            assert_eq!(headers.get("Nats-Msg-Id"), id, "{form:?}");
            assert_eq!(headers.get("X-Aggregate-ID"), Some(envelope.aggregate_id().as_bytes()));
            let key = Envelope::aggregate_id_of(&message);
            assert_eq!(key.as_deref(), Some(envelope.aggregate_id().as_bytes()));
        }
    }
}

#[test]
fn what_go_wrote_is_read() {
    assert_eq!(Envelope::from_json(GO).unwrap(), full());
    let bare = r#"{"aggregate_id":"a","event_type":"t","event_version":0,"timestamp":"0001-01-01T00:00:00Z","payload":null}"#;
    for json in [bare, &bare.replace(r#""payload""#, r#""event_id":"","trace_id":null,"payload""#)]
    {
        let read = Envelope::from_json(json.to_string()).unwrap();
        assert_eq!((read.event_id(), read.trace_id()), (None, None));
        assert_eq!((&read.payload()[..], read.event_version()), (&b"null"[..], 0));
    }
    assert!(wire(Form::Json, &Envelope::from_json(bare).unwrap()).is_ok(), "an id is optional");
    let without = Envelope::from_json(bare).unwrap();
    let missing = |field| Err(EnvelopeError::Missing { field });
    assert_eq!(wire(Form::Header, &without).map(|_| ()), missing("X-Event-ID"));
    assert_eq!(wire(Form::CloudEventsBinary, &without).map(|_| ()), missing("id"));
}

#[test]
fn what_is_written_has_the_field_names_and_types_of_the_go_struct() {
    let written: Value = serde_json::from_slice(&full().to_json().unwrap()).unwrap();
    let expected = json!({
        "event_id": "row-7", "aggregate_id": "order-42", "event_type": "OrderCreated",
        "event_version": 3, "timestamp": "2026-11-20T13:50:46.143991989Z", "trace_id": "t-1",
        "correlation_id": "c-1", "payload": {"total": 7},
    });
    assert_eq!(written, expected);
    let least: Value = serde_json::from_slice(&event().to_json().unwrap()).unwrap();
    let names: Vec<_> = least.as_object().unwrap().keys().collect();
    let expected =
        ["aggregate_id", "event_id", "event_type", "event_version", "payload", "timestamp"];
    assert_eq!(names, expected, "ids that are not there are left out");
}

/// The Go system sent its JSON without headers, with all of them, or with all but an id.
#[test]
fn the_messages_of_every_version_of_the_go_system_are_read() {
    let all = ["X-Aggregate-ID: order-42", "X-Event-Type: OrderCreated", "X-Event-Version: 3"];
    let dated = [&all[..], &["X-Timestamp: 2026-11-20T21:50:46+08:00"]].concat();
    let named = [&dated[..], &["X-Event-ID: row-7", "Nats-Msg-Id: row-7"]].concat();
    let nameless = GO.replace(r#""event_id":"row-7","#, "");
    for (headers, body, id) in [
        (&[][..], GO, Some("row-7")),
        (&[], &*nameless, None),
        (&["Nats-Msg-Id: row-7"], &nameless, Some("row-7")),
        (&dated, &nameless, None),
        (&dated, GO, Some("row-7")),
        (&named, GO, Some("row-7")),
        (&named, &nameless, Some("row-7")),
    ] {
        let message = with_headers(headers, body);
        assert_eq!(Form::of(&message), Some(Form::Json), "{message:?}");
        let read = Envelope::read(&message).unwrap();
        assert_eq!(read.event_id(), id);
        assert_eq!(read.with_event_id("row-7"), full());
        assert_eq!(Envelope::aggregate_id_of(&message).as_deref(), Some(&b"order-42"[..]));
    }
    // A payload that only resembles it is the payload of the header form.
    for body in [r#"{"aggregate_id":"order-42"}"#, &GO.replace("order-42", "other")] {
        let message = with_headers(&named, body);
        assert_eq!(Form::of(&message), Some(Form::Header));
        assert_eq!(Envelope::read(&message).unwrap().payload(), body);
    }
}

#[test]
fn a_malformed_object_says_what_is_wrong() {
    let missing = |field| EnvelopeError::Missing { field };
    let unreadable = |field, value: &str| EnvelopeError::Unreadable { field, value: value.into() };
    for (from, to, expected) in [
        (r#""aggregate_id""#, r#""x""#, missing("aggregate_id")),
        (r#""order-42""#, r#""""#, missing("aggregate_id")),
        (r#""event_type""#, r#""x""#, missing("event_type")),
        (r#""event_version""#, r#""x""#, missing("event_version")),
        (r#""timestamp""#, r#""x""#, missing("timestamp")),
        (r#""payload""#, r#""x""#, missing("payload")),
        (r#""order-42""#, "42", unreadable("aggregate_id", "42")),
        (r#""order-42""#, r#""\ud800""#, unreadable("aggregate_id", r#""\ud800""#)),
        (":3,", r#":"3","#, unreadable("event_version", r#""3""#)),
        (":3,", ":3.0,", unreadable("event_version", "3.0")),
        (":3,", ":9223372036854775808,", unreadable("event_version", "9223372036854775808")),
        ("2026-11-20", "yesterday", unreadable("timestamp", "yesterdayT21:50:46.143991989+08:00")),
        (r#""t-1""#, "{}", unreadable("trace_id", "{}")),
    ] {
        assert_eq!(Envelope::from_json(GO.replace(from, to)), Err(expected), "{from} → {to}");
    }
    let twice = GO.replace(r#""payload""#, r#""aggregate_id":"other","payload""#);
    for json in ["", "[]", "null", r#"["i","a","t",1,"z","t","c",1]"#, "{", &GO[..80], &twice] {
        let read = Envelope::from_json(json.to_string());
        assert!(matches!(read, Err(EnvelopeError::Malformed { .. })), "{json}: {read:?}");
    }
}

#[test]
fn what_can_not_be_written_is_refused() {
    for payload in [&b""[..], b"text", b"{", b"{} {}", b"\xff", b"\"\xff\"", b"01"] {
        let written = Envelope::new("a", "t", payload.to_vec()).to_json();
        assert!(matches!(written, Err(EnvelopeError::PayloadNotJson { .. })), "{payload:?}");
    }
    let missing = |field| Err(EnvelopeError::Missing { field });
    assert_eq!(event().with_event_id("").to_json(), missing("event_id"));
    assert_eq!(event().with_trace_id("").to_json(), missing("trace_id"));
    assert_eq!(Envelope::new("", "t", "1").to_json(), missing("aggregate_id"));
    let mut early = event();
    early.timestamp = jiff::Timestamp::MIN;
    assert_eq!(early.to_json(), Err(EnvelopeError::UnsendableTime { field: "timestamp" }));
    let header = wire(Form::Json, &Envelope::new("a\nb", "t", "1")).map(|_| ());
    assert_eq!(header, Err(EnvelopeError::Unsendable { field: "X-Aggregate-ID" }));
}

#[test]
fn another_aggregate_in_the_key_header_is_refused() {
    let message = with_headers(&["X-Aggregate-ID: other"], GO);
    let (header, envelope) = ("other".into(), "order-42".into());
    let expected = Err(EnvelopeError::OtherAggregate { header, envelope });
    assert_eq!(Envelope::read(&message), expected);
}

#[test]
fn what_is_no_envelope_has_no_form() {
    for body in ["", "text", "{}", r#"{"aggregate_id":"a"}"#, r#"{"event_type":"t"}"#, "[{}]"] {
        let message = message(b"NATS/1.0\r\n\r\n", body.as_bytes());
        assert_eq!(Form::of(&message), None, "{body}");
        assert_eq!(Envelope::read(&message), Err(EnvelopeError::NoEnvelope), "{body}");
        assert_eq!(Envelope::aggregate_id_of(&message), None, "{body}");
    }
}
