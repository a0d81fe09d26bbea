//! The header form as jetlane writes it, which is nearly every event that it reads: the same lines in the same order, each known by
//! a few bytes. What is not quite so is read as any other.

use std::ops::Range;

use bytestring::ByteString;
use jetlane_client::Message;

use super::routing::FIRST_LINE;
use super::{Envelope, json, scan, time};
use crate::payload::Packed;

/// Reads an event that is nothing but what jetlane writes, and whose payload is not compressed. `None` says that it may be an event
/// all the same: here it is never said what is wrong, as that takes more steps than reading it.
#[inline]
pub(super) fn read(message: &Message) -> Option<Envelope> {
    let payload = message.payload_bytes();
    // That may say everything twice.
    if json::begins_as_go_writes(&payload) {
        return None;
    }
    let block = message.headers()?.as_bytes();
    let mut lines = Lines { block, at: 0 };
    // One by one, so that each comparison is of a length that the compiler knows.
    let aggregate_id = lines.next(FIRST_LINE)??;
    let event_type = lines.next(b"X-Event-Type: ")??;
    let event_id = lines.next_id(b"X-Event-ID: ")?;
    lines.pass(b"Nats-Msg-Id: ", &block[event_id.clone()])?;
    let trace_id = lines.next(b"X-Trace-ID: ")?;
    let correlation_id = lines.next(b"X-Correlation-ID: ")?;
    let source = lines.next(b"X-Event-Source: ")?;
    let content_type = lines.next(b"Content-Type: ")?;
    let event_version = version(&block[lines.next(b"X-Event-Version: ")??])?;
    let timestamp = time::usual(lines.last(b"X-Timestamp: ")?)?;

    // One check and one reference for all of its texts.
    let texts = [&trace_id, &correlation_id, &source, &content_type];
    let end = texts.into_iter().flatten().map(|at| at.end).fold(event_id.end, usize::max);
    let texts = ByteString::try_from(message.share(&block[..end])).ok()?;
    let text = |at: Range<usize>| texts.get(at).map(|text| texts.slice_ref(text));
    Some(Envelope {
        event_id: Some(text(event_id)?),
        aggregate_id: text(aggregate_id)?,
        event_type: text(event_type)?,
        event_version,
        timestamp,
        trace_id: trace_id.and_then(text),
        correlation_id: correlation_id.and_then(text),
        source: source.and_then(text),
        content_type: content_type.and_then(text),
        payload,
        packed: Packed::default(),
    })
}

/// The lines of a block, from `at` on.
struct Lines<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// Where the value of the next line is, if it begins so; `None` if it is not as jetlane writes it.
    #[inline(always)]
    fn next(&mut self, begins: &[u8]) -> Option<Option<Range<usize>>> {
        let Some(line) = self.block.get(self.at..)?.strip_prefix(begins) else { return Some(None) };
        let len = scan::line_len(line)?;
        // White space around a value is none of it.
        if !line.first()?.is_ascii_graphic() || !line.get(len.checked_sub(1)?)?.is_ascii_graphic() {
            return None;
        }
        let start = self.at + begins.len();
        self.at = start + len + 2;
        Some(Some(start..start + len))
    }

    /// As the others, but nearly always of the length of a UUID.
    #[inline(always)]
    fn next_id(&mut self, begins: &[u8]) -> Option<Range<usize>> {
        let start = self.at + begins.len();
        let line = self.block.get(self.at..)?.strip_prefix(begins)?;
        match line.split_first_chunk() {
            Some((id, rest)) if rest.starts_with(b"\r\n") && scan::is_one_word(id) => {
                self.at = start + id.len() + 2;
                Some(start..start + id.len())
            }
            _ => self.next(begins)?,
        }
    }

    /// Goes behind the next line, which begins so and has this value.
    #[inline(always)]
    fn pass(&mut self, begins: &[u8], value: &[u8]) -> Option<()> {
        let line = self.block.get(self.at..)?.strip_prefix(begins)?;
        line.strip_prefix(value)?.strip_prefix(b"\r\n")?;
        self.at += begins.len() + value.len() + 2;
        Some(())
    }

    /// The value of the next line, which begins so and is the last one: all that is left, whatever is in it.
    #[inline(always)]
    fn last(&self, begins: &[u8]) -> Option<&'a [u8]> {
        self.block.get(self.at..)?.strip_prefix(begins)?.strip_suffix(b"\r\n\r\n")
    }
}

/// Nearly all versions are short.
#[inline]
fn version(value: &[u8]) -> Option<i64> {
    match value {
        [digit @ b'0'..=b'9'] => Some(i64::from(digit - b'0')),
        _ => std::str::from_utf8(value).ok()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use jetlane_client::{Arena, MessageRef};

    use super::*;

    const LINES: [&str; 11] = [
        "X-Aggregate-ID: order-4711\r\n",
        "X-Event-Type: OrderCreated\r\n",
        "X-Event-ID: 01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b\r\n",
        "Nats-Msg-Id: 01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b\r\n",
        "X-Trace-ID: t ä 1\r\n",
        "X-Correlation-ID: c\r\n",
        "X-Event-Source: urn:shop\r\n",
        "Content-Type: application/json\r\n",
        "X-Event-Version: 17\r\n",
        "X-Timestamp: 2026-11-20T12:00:00.123456789Z\r\n",
        "\r\n",
    ];

    fn message(block: &[u8], payload: &[u8]) -> Message {
        let head = format!("HMSG s 1 {} {}\r\n", block.len(), block.len() + payload.len());
        let frame = [head.as_bytes(), block, payload, b"\r\n"].concat();
        MessageRef::read(&frame).unwrap().to_message(&mut Arena::new())
    }

    /// What is read here is what is read the long way; whether it was read here.
    fn check(block: &[u8]) -> bool {
        let message = message(block, b"{}");
        let (here, anyhow) = (read(&message), Envelope::read_any(&message, 1 << 20));
        let block = block.escape_ascii();
        let is_here = here.is_some();
        assert!(here.is_none_or(|here| anyhow.as_ref() == Ok(&here)), "{block}: {anyhow:?}");
        is_here
    }

    fn block(lines: &[&str]) -> Vec<u8> {
        ["NATS/1.0\r\n", &lines.concat()].concat().into_bytes()
    }

    #[test]
    fn events_as_jetlane_writes_them_are_read_here() {
        assert!(check(&block(&LINES)));
        // Any of the four that need not be there may be missing.
        for missing in 0..16 {
            let is_there = |at: &usize| !(4..8).contains(at) || missing & (1 << (at - 4)) == 0;
            let lines: Vec<_> = (0..LINES.len()).filter(is_there).map(|at| LINES[at]).collect();
            assert!(check(&block(&lines)), "{missing:b}");
        }
        let own_ids = LINES.map(|line| line.replace("01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b", "7"));
        assert!(check(&block(&own_ids.each_ref().map(|line| &**line))));
    }

    #[test]
    fn what_may_be_said_twice_is_read_with_care() {
        let payload = br#"{"event_id":"7"}"#;
        assert!(read(&message(&block(&LINES), &payload[1..])).is_some());
        assert!(read(&message(&block(&LINES), payload)).is_none());
    }

    #[test]
    fn whatever_else_is_read_here_is_read_as_it_always_was() {
        let mut random = fastrand::Rng::with_seed(7);
        let good = block(&LINES);
        // An id that is no id, and the same one again.
        for other in
            ["abc\r\nNats-Msg-Id: 6a5f3e1d2c4b12345", "1939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b\n"]
        {
            let twice =
                LINES.map(|line| line.replace("01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b", other));
            assert!(!check(&block(&twice.each_ref().map(|line| &**line))), "{other}");
        }
        let mut here = 0;
        for at in 0..good.len() {
            for byte in *b"\r\n\t :\0aX9Z\x7f\x80\xc3\xff" {
                let mut block = good.clone();
                block[at] = byte;
                here += usize::from(check(&block));
            }
            let (mut longer, mut shorter) = (good.clone(), good.clone());
            longer.insert(at, b'\n');
            shorter.remove(at);
            here += usize::from(check(&longer)) + usize::from(check(&shorter));
        }
        for _ in 0..20_000 {
            let mut lines = LINES;
            lines.swap(random.usize(..10), random.usize(..10));
            let some: Vec<_> = lines.into_iter().filter(|_| random.u8(..) < 240).collect();
            here += usize::from(check(&block(&some)));
        }
        assert!(here > 2_000, "{here}: or else nothing was compared");
    }
}
