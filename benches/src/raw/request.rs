use std::time::Instant;

use anyhow::Result;
use jetlane_cli::bench::{Latencies, Line, Meter, Options};

use super::wire::{Frame, Wire, frame};
use super::{frames, line, line_with};

pub(super) fn run(options: &Options, wire: &mut Wire) -> Result<Line> {
    let common = &options.common;
    wire.send(b"SUB _INBOX.raw.* 1\r\n")?;
    wire.barrier()?;
    let request = frames(1, common.size, |_| format!("{} _INBOX.raw.1", common.subject));
    let mut latencies = Latencies::new();
    let meter = Meter::start();
    for _ in 0..common.msgs {
        let begun = Instant::now();
        wire.send(&request)?;
        wait_for_answer(wire)?;
        latencies.record(begun.elapsed());
    }
    Ok(line_with(options, &meter, &latencies))
}

/// Reads until a message came, and takes it.
pub(super) fn wait_for_answer(wire: &mut Wire) -> Result<()> {
    loop {
        match frame(wire.unread())? {
            Some(Frame::Message { len, .. }) => {
                wire.take(len);
                return Ok(());
            }
            Some(Frame::Ping { len }) => {
                wire.take(len);
                wire.send(b"PONG\r\n")?;
            }
            Some(Frame::Status { len }) => {
                let text = String::from_utf8_lossy(&wire.unread()[..len]).into_owned();
                anyhow::bail!("no answer, but {text:?}");
            }
            Some(Frame::Other { len }) => wire.take(len),
            None => wire.read()?,
        }
    }
}

pub(super) fn serve(options: &Options, wire: &mut Wire) -> Result<Line> {
    let common = &options.common;
    wire.send(format!("SUB {} 1\r\n", common.subject).as_bytes())?;
    wire.barrier()?;
    eprintln!("subscribed");
    let meter = Meter::start();
    let mut out = Vec::new();
    let mut left = common.msgs;
    while left > 0 {
        let mut taken = 0;
        while let Some(found) = frame(&wire.unread()[taken..])? {
            let len = match found {
                Frame::Message { reply, len } => {
                    let body = &wire.unread()[taken + len - common.size - 2..taken + len];
                    out.extend_from_slice(b"PUB ");
                    out.extend_from_slice(reply);
                    out.extend_from_slice(format!(" {}\r\n", common.size).as_bytes());
                    out.extend_from_slice(body);
                    left = left.saturating_sub(1);
                    len
                }
                Frame::Ping { len } => {
                    out.extend_from_slice(b"PONG\r\n");
                    len
                }
                Frame::Status { len } | Frame::Other { len } => len,
            };
            taken += len;
        }
        wire.take(taken);
        if !out.is_empty() {
            wire.send(&out)?;
            out.clear();
        }
        if left > 0 {
            wire.read()?;
        }
    }
    wire.barrier()?;
    Ok(line(options, &meter))
}
