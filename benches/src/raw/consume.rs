use anyhow::Result;
use jetlane_cli::bench::{ConsumeWork, Line, Meter, Options};

use super::line;
use super::wire::{Frame, Wire, frame};
use crate::stage::{CONSUMER, STREAM};

/// Overlapping pulls.
const PULLS: u64 = 2;

pub(super) fn run(options: &Options, how: ConsumeWork, wire: &mut Wire) -> Result<Line> {
    let common = &options.common;
    wire.send(b"SUB _INBOX.raw 1\r\n")?;
    wire.barrier()?;
    let batch = common.batch as u64;
    let body = format!("{{\"batch\":{batch},\"expires\":30000000000}}");
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}");
    let pull = format!("PUB {subject} _INBOX.raw {}\r\n{body}\r\n", body.len()).into_bytes();

    let meter = Meter::start();
    let mut out = Vec::new();
    for _ in 0..PULLS {
        out.extend_from_slice(&pull);
    }
    let mut seen = 0;
    while seen < common.msgs {
        wire.send(&out)?;
        out.clear();
        wire.read()?;
        let mut taken = 0;
        // Where the reply subject of the last message stands.
        let mut last = 0..0;
        while let Some(found) = frame(&wire.unread()[taken..])? {
            taken += match found {
                Frame::Message { reply, len } => {
                    let start = reply.as_ptr().addr() - wire.unread().as_ptr().addr();
                    last = start..start + reply.len();
                    if how == ConsumeWork::Each {
                        ack(&mut out, reply);
                    }
                    seen += 1;
                    if seen % batch == 0 {
                        out.extend_from_slice(&pull);
                    }
                    len
                }
                Frame::Ping { len } => {
                    out.extend_from_slice(b"PONG\r\n");
                    len
                }
                Frame::Status { len } | Frame::Other { len } => len,
            };
        }
        if how == ConsumeWork::Watermark && !last.is_empty() {
            ack(&mut out, &wire.unread()[last]);
        }
        wire.take(taken);
    }
    wire.send(&out)?;
    // What answers it is behind the last messages, if there are more; the acks are processed by then.
    wire.send(b"PING\r\n")?;
    loop {
        match frame(wire.unread())? {
            Some(Frame::Other { len }) if wire.unread().starts_with(b"PONG") => {
                wire.take(len);
                return Ok(line(options, &meter));
            }
            Some(
                Frame::Message { len, .. }
                | Frame::Status { len }
                | Frame::Ping { len }
                | Frame::Other { len },
            ) => wire.take(len),
            None => wire.read()?,
        }
    }
}

fn ack(out: &mut Vec<u8>, reply: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(reply);
    out.extend_from_slice(b" 0\r\n\r\n");
}
