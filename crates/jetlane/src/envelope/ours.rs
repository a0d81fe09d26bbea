//! The header form as jetlane writes it, which is nearly every event that it reads: the same lines in the same order, each known by
//! a few bytes. What is not quite so is read as any other.

use bytestring::ByteString;
use jetlane_client::Message;

use super::routing::FIRST_LINE;
use super::texts::{Place, Texts};
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
    let aggregate_id = lines.needed(FIRST_LINE)?;
    let event_type = lines.needed(b"X-Event-Type: ")?;
    let event_id = lines.id(b"X-Event-ID: ")?;
    lines.again(b"Nats-Msg-Id: ", event_id)?;
    let behind_ids = lines.at;
    let trace_id = lines.next(b"X-Trace-ID: ")?;
    let correlation_id = lines.next(b"X-Correlation-ID: ")?;
    let source = lines.next(b"X-Event-Source: ")?;
    let content_type = lines.next(b"Content-Type: ")?;
    let end = if lines.at == behind_ids { event_id.end } else { lines.at - LINE_END.len() };
    // Up to 63 bytes of what stands behind: the standard library looks at 64 at once, and one by one at what is left over.
    let end = Some(end.next_multiple_of(64)).filter(|&more| more <= block.len()).unwrap_or(end);
    let version = lines.needed(b"X-Event-Version: ")?;
    let event_version = self::version(&block[version.start..version.end])?;
    let timestamp = time::usual(lines.last(b"X-Timestamp: ")?)?;

    // One check and one reference for all of its texts.
    let texts = ByteString::try_from(message.share(&block[..end])).ok()?;
    let places =
        [event_id, aggregate_id, event_type, trace_id, correlation_id, source, content_type];
    let texts = Texts::shared(texts, places);
    Some(Envelope { texts, event_version, timestamp, payload, packed: Packed::default() })
}

const LINE_END: &[u8] = b"\r\n";
/// The length of a UUID as text.
const UUID: usize = 36;

/// The lines of a block, from `at` on.
struct Lines<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// What is left, behind what the next line begins with; `None` if it begins otherwise.
    #[inline(always)]
    fn begins(&self, begins: &[u8]) -> Option<&'a [u8]> {
        self.block.get(self.at..)?.strip_prefix(begins)
    }

    /// Goes behind a line whose value is as long as that. Where the value is.
    #[inline(always)]
    fn pass(&mut self, begins: &[u8], len: usize) -> Place {
        let start = self.at + begins.len();
        let end = start + len;
        self.at = end + LINE_END.len();
        Place { start, end }
    }

    /// Where the value of the next line is, which must begin so.
    #[inline(always)]
    fn needed(&mut self, begins: &[u8]) -> Option<Place> {
        let line = self.begins(begins)?;
        let len = scan::line_len(line)?;
        // White space around a value is none of it.
        let is_trimmed =
            line.first()?.is_ascii_graphic() && line.get(len.checked_sub(1)?)?.is_ascii_graphic();
        is_trimmed.then(|| self.pass(begins, len))
    }

    /// As the others, but it need not be there.
    #[inline(always)]
    fn next(&mut self, begins: &[u8]) -> Option<Place> {
        match self.begins(begins) {
            Some(_) => self.needed(begins),
            None => Some(Place::NONE),
        }
    }

    /// As the others, but nearly always of the length of a UUID.
    #[inline(always)]
    fn id(&mut self, begins: &[u8]) -> Option<Place> {
        match self.begins(begins)?.split_first_chunk::<UUID>() {
            Some((id, rest)) if rest.starts_with(LINE_END) && scan::is_one_word(id) => {
                Some(self.pass(begins, id.len()))
            }
            _ => self.needed(begins),
        }
    }

    /// Goes behind the next line, which begins so and has the value that stands at this place.
    #[inline(always)]
    fn again(&mut self, begins: &[u8], value: Place) -> Option<()> {
        let value = self.block.get(value.start..value.end)?;
        let line = self.begins(begins)?;
        let rest = match <&[u8; UUID]>::try_from(value) {
            // A length that the compiler knows.
            Ok(id) => line.strip_prefix(id)?,
            Err(_) => line.strip_prefix(value)?,
        };
        rest.strip_prefix(LINE_END)?;
        self.pass(begins, value.len());
        Some(())
    }

    /// The value of the next line, which begins so and is the last one: all that is left, whatever is in it.
    #[inline(always)]
    fn last(&self, begins: &[u8]) -> Option<&'a [u8]> {
        self.begins(begins)?.strip_suffix(b"\r\n\r\n")
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

    /// As little stands behind the texts as can.
    #[test]
    fn the_block_may_end_close_behind_the_texts() {
        for (len, missing) in (1..=130).flat_map(|len| [(len, 4), (len, 5), (len, 7)]) {
            let mut lines = LINES.map(String::from);
            lines[0] = format!("X-Aggregate-ID: {}\r\n", "a".repeat(len));
            lines[8] = "X-Event-Version: 1\r\n".into();
            lines[9] = "X-Timestamp: 2026-12-31T12:00:00Z\r\n".into();
            lines[4] = "X-Trace-ID: t\r\n".into();
            lines[missing] = String::new();
            assert!(check(&block(&lines.each_ref().map(|line| &**line))), "{len}");
        }
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
