use anyhow::{Result, ensure};
use jetlane_cli::bench::{Line, Meter, Options};

use super::line;
use super::wire::Wire;

pub(super) fn run(options: &Options, wire: &mut Wire) -> Result<Line> {
    let common = &options.common;
    ensure!(common.subjects == 1, "a bare socket counts frames of one length");
    wire.send(format!("SUB {} 1\r\n", common.subject).as_bytes())?;
    wire.barrier()?;
    eprintln!("subscribed");
    let frame = format!("MSG {} 1 {}\r\n", common.subject, common.size).len() + common.size + 2;

    wire.read()?;
    let meter = Meter::start();
    let mut left = common.msgs;
    loop {
        let (mut at, unread) = (0, wire.unread());
        let mut pings = 0;
        while unread.len() >= at + frame && left > 0 {
            match unread[at] {
                b'M' => (at, left) = (at + frame, left - 1),
                _ => (at, pings) = (at + b"PING\r\n".len(), pings + 1),
            }
        }
        wire.take(at);
        for _ in 0..pings {
            wire.send(b"PONG\r\n")?;
        }
        if left == 0 {
            return Ok(line(options, &meter));
        }
        wire.read()?;
    }
}
