use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{DecodeError, EncodeError, Event, Fault, Json, Raw};
use crate::Envelope;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Created {
    order: String,
    total: u64,
}

impl Event for Created {
    const TYPE: &'static str = "OrderCreated";
    const VERSION: i64 = 2;
    type Encoding = Json;

    fn aggregate_id(&self) -> Cow<'_, str> {
        format!("order-{}", self.order).into()
    }

    fn from_older(version: i64, payload: &Bytes) -> Result<Self, Fault> {
        match version {
            // It was the order's name alone.
            1 => Ok(Self { order: serde_json::from_slice(payload)?, total: 0 }),
            _ => Err(format!("there was no version {version}").into()),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Note(ByteString);

impl AsRef<[u8]> for Note {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<Bytes> for Note {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(ByteString::try_from(bytes).expect("it was looked at")))
    }
}

impl Event for Note {
    const TYPE: &'static str = "Noted";
    type Encoding = Raw;

    fn aggregate_id(&self) -> Cow<'_, str> {
        "notes".into()
    }
}

fn created() -> Created {
    Created { order: "42".into(), total: 7 }
}

fn json(version: i64, payload: &str) -> Envelope {
    Envelope::new("order-42", "OrderCreated", payload.to_string()).with_event_version(version)
}

#[test]
fn a_value_becomes_an_event_that_says_what_it_is() {
    let envelope = Envelope::of(&created()).unwrap();
    assert_eq!(envelope.payload(), r#"{"order":"42","total":7}"#);
    assert_eq!(envelope.aggregate_id(), "order-42");
    assert_eq!((envelope.event_type(), envelope.event_version()), ("OrderCreated", 2));
    assert_eq!(envelope.content_type(), Some("application/json"));
    assert_eq!(envelope.decode::<Created>().unwrap(), created());
    let note = Envelope::of(&Note("ä".into())).unwrap();
    assert_eq!((note.payload().as_ref(), note.event_version()), ("ä".as_bytes(), 1));
    assert_eq!(note.content_type(), Some("application/octet-stream"));
    assert_eq!(note.decode::<Note>().unwrap(), Note("ä".into()));
}

#[cfg(feature = "prost")]
#[test]
fn protobuf_is_read_and_written() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Paid {
        #[prost(string, tag = "1")]
        order: String,
        #[prost(uint64, tag = "2")]
        cents: u64,
    }
    impl Event for Paid {
        const TYPE: &'static str = "OrderPaid";
        type Encoding = super::Protobuf;

        fn aggregate_id(&self) -> Cow<'_, str> {
            self.order.as_str().into()
        }
    }
    let paid = Paid { order: "order-42".into(), cents: 300 };
    let envelope = Envelope::of(&paid).unwrap();
    assert_eq!(&envelope.payload()[..], b"\x0a\x08order-42\x10\xac\x02");
    assert_eq!(envelope.content_type(), Some("application/protobuf"));
    assert_eq!(envelope.decode::<Paid>().unwrap(), paid);
    for (content_type, is_read) in [
        ("Application/X-Protobuf", true),
        ("application/vnd.google.protobuf", true),
        ("application/octet-stream", true),
        ("application/json", false),
    ] {
        let read = envelope.clone().with_content_type(content_type).decode::<Paid>();
        assert_eq!(read.is_ok(), is_read, "{content_type}");
    }
    let cut = Envelope::new("a", "OrderPaid", envelope.payload().slice(..5));
    assert!(matches!(cut.decode::<Paid>(), Err(DecodeError::Payload { .. })));
}

#[test]
fn what_does_not_fit_says_why() {
    let other =
        |found: &str| DecodeError::OtherType { expected: "OrderCreated", found: found.into() };
    let other_content = |found: &str| DecodeError::OtherContentType {
        event_type: "OrderCreated",
        expected: "application/json",
        found: found.into(),
    };
    let good = r#"{"order":"42","total":7,"new":[{}]}"#;
    let typed = |content_type| json(2, good).with_content_type(content_type);
    for (envelope, expected) in [
        (json(2, good), Ok(())),
        (typed("application/json; charset=utf-8"), Ok(())),
        (typed(" Application/JSON"), Ok(())),
        (typed("text/json"), Ok(())),
        (typed("application/cloudevents+json"), Ok(())),
        (typed("application/octet-stream"), Ok(())),
        (typed("text/plain"), Err(other_content("text/plain"))),
        (typed("application/protobuf"), Err(other_content("application/protobuf"))),
        (Envelope::new("a", "ordercreated", good), Err(other("ordercreated"))),
        (
            json(3, good),
            Err(DecodeError::NewerVersion { event_type: "OrderCreated", known: 2, found: 3 }),
        ),
    ] {
        assert_eq!(envelope.decode::<Created>().map(drop), expected, "{envelope:?}");
    }
    for payload in ["", "{", "{}", "[]", r#"{"order":42,"total":7}"#, "\u{0}"] {
        match json(2, payload).decode::<Created>() {
            Err(DecodeError::Payload { event_type: "OrderCreated", reason, .. }) => {
                assert!(!reason.is_empty());
            }
            other => panic!("{payload}: {other:?}"),
        }
    }
    let bytes = Envelope::new("notes", "Noted", vec![0xff]);
    assert!(matches!(bytes.decode::<Note>(), Err(DecodeError::Payload { .. })));
}

#[test]
fn older_versions_are_read_as_their_type_says() {
    let old = json(1, "\"42\"").decode::<Created>().unwrap();
    assert_eq!(old, Created { order: "42".into(), total: 0 });
    let error = json(0, "\"42\"").decode::<Created>().unwrap_err().to_string();
    assert!(error.contains("there was no version 0"), "{error}");
    // By default they are read as those of today.
    let note = Envelope::new("notes", "Noted", "x").with_event_version(0);
    assert_eq!(note.decode::<Note>().unwrap(), Note("x".into()));
}

#[test]
fn a_value_that_has_no_form_is_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Odd(BTreeMap<Vec<u8>, ()>);
    impl Event for Odd {
        const TYPE: &'static str = "Odd";
        type Encoding = Json;

        fn aggregate_id(&self) -> Cow<'_, str> {
            "a".into()
        }
    }
    let odd = Odd(BTreeMap::from([(vec![1], ())]));
    let EncodeError { event_type, content_type, reason } = Envelope::of(&odd).unwrap_err();
    assert_eq!((event_type, content_type), ("Odd", "application/json"));
    assert_eq!(reason, "key must be a string");
}

#[test]
fn depth_is_no_danger() {
    for (depth, is_read) in [(100, true), (1_000, false), (200_000, false)] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let payload = format!(r#"{{"order":"42","other":{deep},"total":7}}"#);
        let read = json(2, &payload).decode::<Created>();
        // A reader that skips what it does not know may do so however deep that is.
        assert!(read.is_ok() || !is_read, "{depth}: {read:?}");
        let nested = Envelope::new("a", "Nested", deep).decode::<Nested>();
        assert_eq!(nested.is_ok(), is_read, "{depth}");
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Nested(Vec<Nested>);

impl Event for Nested {
    const TYPE: &'static str = "Nested";
    type Encoding = Json;

    fn aggregate_id(&self) -> Cow<'_, str> {
        "a".into()
    }
}
