use serde_json::{Value, json};

use super::testing::{event, wire, with_headers};
use super::{Envelope, EnvelopeError, Form};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const BINARY: [&str; 6] = [
    "ce-specversion: 1.0",
    "ce-id: i",
    "ce-source: /s",
    "ce-type: t",
    "ce-subject: order%20%C3%A4",
    "ce-time: 2026-01-01T00:00:00Z",
];
const STRUCTURED: &str = r#"{"specversion":"1.0","id":"i","source":"/s","type":"t","subject":"order ä","time":"2026-01-01T00:00:00Z","datacontenttype":"text/plain","comexampleother":1,"data":"a\n"}"#;

fn structured(body: &str) -> Result<Envelope, EnvelopeError> {
    Envelope::read(&with_headers(&["content-type: application/cloudevents+json"], body))
}

fn example() -> Envelope {
    let time = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    Envelope::new("order ä", "t", "a\n")
        .with_event_id("i")
        .with_source("/s")
        .with_timestamp(time.into())
}

#[test]
fn the_events_of_others_are_read() {
    assert_eq!(structured(STRUCTURED).unwrap(), example().with_content_type("text/plain"));
    let binary = Envelope::read(&with_headers(&BINARY, "a\n")).unwrap();
    assert_eq!(binary, example());
    let cased = BINARY.map(|line| line.replacen("ce-", "Ce-", 1));
    let cased: Vec<_> = cased.iter().map(String::as_str).collect();
    assert_eq!(Envelope::read(&with_headers(&cased, "a\n")).unwrap(), example());
    for content_type in [
        "Content-Type: application/cloudevents",
        "content-type: Application/CloudEvents+JSON; charset=utf-8",
    ] {
        let message = with_headers(&[content_type, "ce-id: copy"], STRUCTURED);
        assert_eq!(Form::of(&message), Some(Form::CloudEventsStructured));
        let read = Envelope::read(&message).unwrap();
        assert_eq!(read, example().with_content_type("text/plain"));
        assert_eq!(Envelope::aggregate_id_of(&message).as_deref(), Some("order ä".as_bytes()));
    }
    let message = with_headers(&BINARY, "");
    assert_eq!(Envelope::aggregate_id_of(&message).as_deref(), Some("order ä".as_bytes()));
}

#[test]
fn data_is_read_as_its_content_type_says() {
    for (from, to, payload) in [
        (r#""data":"a\n""#, r#""data_base64":"AP8=""#, &b"\0\xff"[..]),
        (r#","data":"a\n""#, "", b""),
        (r#""text/plain""#, r#""application/x+json; charset=utf-8""#, b"\"a\\n\""),
        (r#""text/plain""#, "null", b"\"a\\n\""),
        (r#""a\n""#, r#"{"total": 7}"#, b"{\"total\": 7}"),
        (r#""a\n""#, "null", b"null"),
    ] {
        let read = structured(&STRUCTURED.replace(from, to)).unwrap();
        assert_eq!(read.payload(), payload, "{to}");
    }
}

#[test]
fn what_is_written_has_the_attributes_of_the_specification() {
    let envelope = example().with_correlation_id("c 1").with_trace_id(PARENT);
    let message = wire(Form::CloudEventsBinary, &envelope).unwrap();
    let headers: Vec<_> = message.headers().unwrap().iter().collect();
    let expected: Vec<(&str, &str)> = vec![
        ("X-Aggregate-ID", "order ä"),
        ("Nats-Msg-Id", "i"),
        ("ce-specversion", "1.0"),
        ("ce-id", "i"),
        ("ce-source", "/s"),
        ("ce-type", "t"),
        ("ce-subject", "order%20%C3%A4"),
        ("ce-time", "2026-01-01T00:00:00Z"),
        ("ce-datacontenttype", "application/octet-stream"),
        ("ce-eventversion", "1"),
        ("ce-traceparent", PARENT),
        ("ce-correlationid", "c%201"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    assert_eq!(headers, expected);
    let message = wire(Form::CloudEventsStructured, &envelope.with_trace_id("t")).unwrap();
    let body: Value = serde_json::from_slice(message.payload()).unwrap();
    let expected = json!({
        "specversion": "1.0", "id": "i", "source": "/s", "type": "t", "subject": "order ä",
        "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/octet-stream",
        "eventversion": "1", "traceid": "t", "correlationid": "c 1", "data_base64": "YQo=",
    });
    assert_eq!(body, expected);
}

#[test]
fn without_a_source_the_aggregate_type_is_the_source() {
    for form in [Form::CloudEventsBinary, Form::CloudEventsStructured] {
        let read = Envelope::read(&wire(form, &event()).unwrap()).unwrap();
        assert_eq!(read.source(), Some("order"), "the topic is order.created");
        let spaced = wire(form, &event().with_source("a b")).map(|_| ());
        assert_eq!(spaced, Err(EnvelopeError::Unsendable { field: "source" }));
        let empty = wire(form, &event().with_source("")).map(|_| ());
        assert_eq!(empty, Err(EnvelopeError::Missing { field: "source" }));
    }
}

#[test]
fn malformed_events_say_what_is_wrong() {
    let missing = |field| Err(EnvelopeError::Missing { field });
    let unreadable =
        |field, value: &str| Err(EnvelopeError::Unreadable { field, value: value.into() });
    for (at, field) in ["specversion", "id", "source", "type", "subject", "time"].iter().enumerate()
    {
        let mut lines = BINARY.to_vec();
        lines.remove(at);
        assert_eq!(Envelope::read(&with_headers(&lines, "")), missing(field));
        let body = STRUCTURED.replace(&format!("\"{field}\""), "\"x\"");
        assert_eq!(structured(&body), missing(field));
    }
    for (at, line, expected) in [
        (0, "ce-specversion: 0.3", unreadable("specversion", "0.3")),
        (1, "ce-id: %FF", unreadable("id", "%FF")),
        (4, "CE-EventVersion: x", unreadable("eventversion", "x")),
        (5, "ce-time: soon", unreadable("time", "soon")),
    ] {
        let mut lines = BINARY.to_vec();
        lines[at] = line;
        assert_eq!(
            Envelope::read(&with_headers(&lines, "")).map(|_| ()),
            expected.map(|_: Envelope| ()),
            "{line}"
        );
    }
    for (from, to, expected) in [
        ("\"1.0\"", "\"2.0\"", unreadable("specversion", "2.0")),
        ("\"i\"", "7", unreadable("id", "7")),
        ("\"data\":\"a\\n\"", "\"data_base64\":\"-\"", unreadable("data_base64", "\"-\"")),
        ("\"data\"", "\"eventversion\":1e3,\"data\"", unreadable("eventversion", "1e3")),
    ] {
        assert_eq!(structured(&STRUCTURED.replace(from, to)), expected, "{to}");
    }
    let both = STRUCTURED.replace("\"data\"", "\"data_base64\":\"\",\"data\"");
    for body in [&both, "", "[]", &STRUCTURED[..60]] {
        assert!(matches!(structured(body), Err(EnvelopeError::Malformed { .. })), "{body}");
    }
    let batch = "application/cloudevents-batch+json";
    let read = Envelope::read(&with_headers(&[&format!("Content-Type: {batch}")], STRUCTURED));
    assert_eq!(read, unreadable("content-type", batch));
}

#[test]
fn an_event_version_may_be_a_number_or_a_string() {
    for version in ["7", "\"7\""] {
        let body = STRUCTURED.replace("\"data\"", &format!("\"eventversion\":{version},\"data\""));
        assert_eq!(structured(&body).unwrap().event_version(), 7);
    }
}
