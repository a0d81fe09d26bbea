use std::time::Instant;

use anyhow::{Result, ensure};
use jetlane_cli::bench::{Latencies, Line, Meter, Options};

use super::request::wait_for_answer;
use super::wire::Wire;
use super::{frames, line, line_with};

/// As many publishes as jetlane lets wait for their acks, to the same reused reply subjects.
const WINDOW: u32 = 1000;

pub(super) fn many_at_a_time(options: &Options, wire: &mut Wire) -> Result<Line> {
    let common = &options.common;
    wire.send(b"SUB _INBOX.raw.* 1\r\n")?;
    wire.barrier()?;
    let window = u64::from(common.window.unwrap_or(WINDOW));
    let slots = usize::try_from(window)?;
    let block = frames(slots, common.size, |n| format!("{} _INBOX.raw.{n:04}", common.subject));
    let frame = block.len() / slots;
    ensure!(frame * slots == block.len(), "with this window the frames differ in length");

    let meter = Meter::start();
    let (mut sent, mut acked) = (0, 0);
    while acked < common.msgs {
        let free = (window - (sent - acked)).min(common.msgs - sent);
        let from = sent % window;
        // Up to the end of the block; the rest comes with the next write.
        let count = free.min(window - from);
        if count > 0 {
            let bytes = |n: u64| usize::try_from(n).map(|n| n * frame);
            wire.send(&block[bytes(from)?..bytes(from + count)?])?;
            sent += count;
        }
        if count < free {
            continue;
        }
        acked += acks(wire)?;
    }
    Ok(line(options, &meter))
}

/// Reads some acks, and counts them: each has two lines.
fn acks(wire: &mut Wire) -> Result<u64> {
    loop {
        wire.read()?;
        // Up to the end of the last whole ack: `}` stands nowhere else.
        let Some(end) = memchr::memrchr(b'}', wire.unread()).map(|at| at + 3) else { continue };
        let end = if end > wire.unread().len() {
            // The last one is cut off; it is counted with the next ones.
            match memchr::memrchr(b'}', &wire.unread()[..end - 3]) {
                Some(at) => at + 3,
                None => continue,
            }
        } else {
            end
        };
        let whole = &wire.unread()[..end];
        let acks = memchr::memchr_iter(b'}', whole).count() as u64;
        // No ack of our stream has a P.
        let pings = memchr::memchr_iter(b'P', whole).count();
        let errors = memchr::memmem::find(whole, b"\"error\"");
        ensure!(errors.is_none(), "refused: {}", String::from_utf8_lossy(whole));
        wire.take(end);
        for _ in 0..pings {
            wire.send(b"PONG\r\n")?;
        }
        return Ok(acks);
    }
}

pub(super) fn one_at_a_time(options: &Options, wire: &mut Wire) -> Result<Line> {
    let common = &options.common;
    wire.send(b"SUB _INBOX.raw.* 1\r\n")?;
    wire.barrier()?;
    let publish = frames(1, common.size, |_| format!("{} _INBOX.raw.0001", common.subject));
    let mut latencies = Latencies::new();
    let meter = Meter::start();
    for _ in 0..common.msgs {
        let begun = Instant::now();
        wire.send(&publish)?;
        wait_for_answer(wire)?;
        latencies.record(begun.elapsed());
    }
    Ok(line_with(options, &meter, &latencies))
}
