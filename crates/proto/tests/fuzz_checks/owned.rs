//! Frames with their bytes, so that those of two parsers can be compared.

use jetlane_proto::{Frame, Span};

/// A frame that needs no input any more.
#[derive(Debug, PartialEq)]
pub(crate) enum Owned {
    Message { sid: u64, subject: Vec<u8>, reply: Vec<u8>, headers: Vec<u8>, payload: Vec<u8> },
    Info(Vec<u8>),
    Ping,
    Pong,
    Ok,
    Error(Vec<u8>),
}

/// Copies what `frame` points at in `input`.
pub(crate) fn own(frame: Frame, input: &[u8]) -> Owned {
    // Slices rather than `Span::of`, which forgives a span that lies elsewhere.
    let copy = |span: Span| input[span.range()].to_vec();
    match frame {
        Frame::Message(message) => Owned::Message {
            sid: message.sid,
            subject: copy(message.subject),
            reply: copy(message.reply),
            headers: copy(message.headers),
            payload: copy(message.payload),
        },
        Frame::Info(json) => Owned::Info(copy(json)),
        Frame::Ping => Owned::Ping,
        Frame::Pong => Owned::Pong,
        Frame::Ok => Owned::Ok,
        Frame::Error(text) => Owned::Error(copy(text)),
        other => panic!("a frame that the checks do not know: {other:?}"),
    }
}
