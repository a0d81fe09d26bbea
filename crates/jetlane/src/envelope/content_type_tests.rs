use super::testing::{FORMS, event, wire, with_headers};
use super::{Envelope, EnvelopeError, Form};

#[test]
fn a_content_type_comes_back_in_every_form_that_has_a_place_for_it() {
    for form in FORMS {
        for (content_type, payload) in [
            ("application/json", "{\"a\":1}"),
            ("application/vnd.order+json; charset=utf-8", "[1]"),
            // JSON by its looks only: it stays as it is.
            ("text/plain", " 7 "),
            ("application/protobuf", "7"),
            ("application/x", ""),
        ] {
            let sent = Envelope::new("a", "t", payload).with_content_type(content_type);
            let sent = sent.with_source("/s");
            if form == Form::Json {
                continue;
            }
            let read = Envelope::read(&wire(form, &sent).unwrap()).unwrap();
            assert_eq!(read, sent, "{form:?}");
        }
    }
    let json = wire(Form::Json, &event().with_content_type("application/json")).unwrap();
    assert_eq!(Envelope::read(&json).unwrap().content_type(), None);
}

#[test]
fn without_one_nothing_is_written_but_in_cloud_events() {
    for (form, payload, expected) in [
        (Form::Header, "{}", None),
        (Form::Json, "{}", None),
        (Form::CloudEventsBinary, "{}", Some("application/json")),
        (Form::CloudEventsStructured, "{}", Some("application/json")),
        (Form::CloudEventsBinary, "x", Some("application/octet-stream")),
        (Form::CloudEventsStructured, "x", Some("application/octet-stream")),
        (Form::CloudEventsBinary, "", None),
        (Form::CloudEventsStructured, "", None),
    ] {
        let message = wire(form, &Envelope::new("a", "t", payload)).unwrap();
        assert_eq!(Envelope::read(&message).unwrap().content_type(), expected, "{form:?}");
        let header = message.headers().unwrap().get("Content-Type");
        assert_eq!(header.is_some(), form == Form::CloudEventsStructured);
    }
}

#[test]
fn of_others_it_is_read_where_other_bindings_have_it() {
    let lines = [
        "ce-specversion: 1.0",
        "ce-id: i",
        "ce-source: /s",
        "ce-type: t",
        "ce-subject: a",
        "ce-time: 2026-01-01T00:00:00Z",
        "content-type: text/plain",
        "ce-datacontenttype: text/html",
    ];
    let both = Envelope::read(&with_headers(&lines, "")).unwrap();
    assert_eq!(both.content_type(), Some("text/html"));
    let header = Envelope::read(&with_headers(&lines[..7], "")).unwrap();
    assert_eq!(header.content_type(), Some("text/plain"));
}

#[test]
fn what_can_not_be_a_header_is_refused() {
    for (content_type, expected) in [
        ("", EnvelopeError::Missing { field: "Content-Type" }),
        ("a\r\nb", EnvelopeError::Unsendable { field: "Content-Type" }),
        (" a", EnvelopeError::Unsendable { field: "Content-Type" }),
    ] {
        let event = event().with_content_type(content_type);
        assert_eq!(wire(Form::Header, &event).map(drop), Err(expected));
    }
}
