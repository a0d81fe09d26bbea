//! The boundaries of frames in bytes that a client has encoded, found again after a connection was lost.
//!
//! Nothing is recorded while publishing; what is needed after a loss is read back from the bytes themselves.

use core::ops::Range;

use crate::{Span, read_decimal};

/// A frame that a client sent or was about to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutFrame {
    /// Where it lies in the buffer.
    pub range: Range<usize>,
    /// The reply subject, for PUB and HPUB; empty if there is none. `None` for any other frame.
    pub publish_reply: Option<Span>,
    /// Bytes of headers and payload; 0 for any other frame.
    pub size: usize,
}

/// The frames in `bytes`, which begin with a whole frame and were written by [`crate::encode`].
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = OutFrame> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let frame = frame_at(bytes, at)?;
        at = frame.range.end;
        Some(frame)
    })
}

/// The first frame boundary at or behind `at`: where writing must go on if `at` bytes of the last connection's frames
/// were written, and the frame that was cut is to be counted as written (`end`) or as not written (`start`).
pub fn frame_around(bytes: &[u8], at: usize) -> Range<usize> {
    for frame in frames(bytes) {
        if frame.range.start == at {
            return at..at;
        }
        if frame.range.end > at {
            return frame.range;
        }
    }
    bytes.len()..bytes.len()
}

fn frame_at(bytes: &[u8], at: usize) -> Option<OutFrame> {
    let rest = bytes.get(at..)?;
    let line_len = memchr::memchr(b'\n', rest)? + 1;
    let line = rest[..line_len].trim_ascii_end();
    let mut words = line.split(|&byte| byte == b' ');
    let (least, operation) = (3, words.next()?);
    let header_words = match operation {
        b"PUB" => 0,
        b"HPUB" => 1,
        _ => return Some(OutFrame { range: at..at + line_len, publish_reply: None, size: 0 }),
    };
    let count = line.split(|&byte| byte == b' ').count();
    let subject_len = words.next()?.len();
    let reply = if count > least + header_words { words.next()? } else { &[] };
    let size = usize::try_from(read_decimal(words.next_back()?)?).ok()?;
    let len = line_len.checked_add(size)?.checked_add(2)?;
    let reply_at = at + operation.len() + 1 + subject_len + 1;
    let publish_reply = Some(Span::new(reply_at..reply_at + reply.len()));
    (len <= rest.len()).then(|| OutFrame { range: at..at + len, publish_reply, size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Headers, encode};

    fn outgoing() -> Vec<u8> {
        let mut out = Vec::new();
        encode::subscribe(&mut out, b"a.>", b"", 1);
        encode::publish(&mut out, b"a", b"", b"PUB x 1\r\n");
        encode::publish(&mut out, b"a", b"_INBOX.r.17", b"");
        out.extend_from_slice(encode::PING);
        let headers = Headers::new().with("A", "1").unwrap();
        encode::publish_with_headers(&mut out, b"a", b"", &headers, b"1").unwrap();
        encode::publish_with_headers(&mut out, b"a", b"_INBOX.r.18", &headers, b"22").unwrap();
        encode::unsubscribe(&mut out, 1);
        out
    }

    #[test]
    fn boundaries_and_reply_subjects_are_found_again() {
        let out = outgoing();
        let replies: Vec<_> = frames(&out)
            .map(|frame| {
                frame
                    .publish_reply
                    .map(|reply| String::from_utf8_lossy(reply.of(&out)).into_owned())
            })
            .collect();
        let reply = |text: &str| Some(text.to_string());
        assert_eq!(
            replies,
            [None, reply(""), reply("_INBOX.r.17"), None, reply(""), reply("_INBOX.r.18"), None]
        );
        let sizes: Vec<_> = frames(&out).map(|frame| frame.size).collect();
        assert_eq!(sizes, [0, 9, 0, 0, 19, 20, 0]);
        let mut at = 0;
        for frame in frames(&out) {
            assert_eq!(frame.range.start, at);
            at = frame.range.end;
        }
        assert_eq!(at, out.len());
    }

    #[test]
    fn every_cut_falls_on_a_boundary_or_within_a_frame() {
        let out = outgoing();
        let starts: Vec<_> =
            frames(&out).map(|frame| frame.range.start).chain([out.len()]).collect();
        for at in 0..=out.len() {
            let around = frame_around(&out, at);
            assert!(around.start <= at && at <= around.end, "{at}: {around:?}");
            assert!(starts.contains(&around.start) && starts.contains(&around.end), "{at}");
            assert_eq!(around.is_empty(), starts.contains(&at), "{at}");
        }
    }
}
