//! Any bytes may come.

use super::testing::{FORMS, message, parts};
use super::{Envelope, EnvelopeError, Form};

const ROUNDS: usize = 5000;
/// What is likely to matter to a reader.
const PIECES: [&[u8]; 15] = [
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"[",
    b"}",
    b"%",
    b"\r\n",
    b"null",
    b"-1e999",
    b"\xff",
    b"ce-",
    b"\"aggregate_id\":\"x\",",
    b"Content-Type: application/cloudevents+json\r\n",
    b"Content-Encoding: gzip\r\n",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        let end = random.usize(at..=bytes.len().min(at + 12));
        match random.u8(0..4) {
            0 => drop(bytes.drain(at..end)),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => drop(bytes.splice(at..at, PIECES[random.usize(..PIECES.len())].iter().copied())),
        }
    }
}

#[test]
fn reading_never_panics_and_lanes_route_by_what_is_read() {
    let mut random = fastrand::Rng::with_seed(20_261_121);
    let event = Envelope::new("order \"ä\"", "Created", r#"{"a":[1,{"b":"\n"}]}"#)
        .with_trace_id("t")
        .with_correlation_id("c");
    let mut read = 0;
    for form in FORMS {
        let (block, body) = parts(form, &event).unwrap();
        for _ in 0..ROUNDS {
            let (mut block, mut body) = (block.clone(), body.clone());
            // Without the key header the body is looked at for it.
            if random.bool() {
                let end = block[10..].iter().position(|&byte| byte == b'\n').unwrap();
                block.drain(10..=10 + end);
            }
            match random.bool() {
                true => mutate(&mut body, &mut random),
                // The server checks nothing behind the version.
                false => {
                    let mut rest = block.split_off(10);
                    mutate(&mut rest, &mut random);
                    block.append(&mut rest);
                }
            }
            let message = message(&block, &body);
            let (form, key) = (Form::of(&message), Envelope::aggregate_id_of(&message));
            if let Ok(envelope) = Envelope::read(&message) {
                assert!(form.is_some(), "{message:?}");
                assert_eq!(key.as_deref(), Some(envelope.aggregate_id().as_bytes()));
                read += 1;
            }
        }
    }
    assert!(read > ROUNDS / 2, "most mutations would be refused for nothing: {read}");
}

#[test]
fn depth_is_no_danger() {
    let deep = "[".repeat(1_000_000);
    let closed = format!("{deep}{}", "]".repeat(1_000_000));
    for (payload, is_read) in [(&deep, false), (&closed, true)] {
        let body = format!(
            r#"{{"aggregate_id":"a","other":{payload},"event_type":"t","event_version":1,"timestamp":"2026-01-01T00:00:00Z","payload":{payload}}}"#
        );
        let message = message(b"NATS/1.0\r\n\r\n", body.as_bytes());
        assert_eq!(Envelope::read(&message).is_ok(), is_read);
        let _ = Envelope::aggregate_id_of(&message);
    }
    let written = Envelope::new("a", "t", deep).to_json();
    assert!(matches!(written, Err(EnvelopeError::PayloadNotJson { .. })));
}
