//! The frames that a client sends, appended to a buffer.
//!
//! Nothing here checks subjects: they come from types that were checked when they were made. What is written is
//! always whole frames.

use crate::HeaderBlock;

/// PING, to which the server answers PONG once it has processed all before it.
pub const PING: &[u8] = b"PING\r\n";

/// PONG, the answer to a server's PING.
pub const PONG: &[u8] = b"PONG\r\n";

/// A [`HeaderBlock`] that wrote another number of bytes than it announced. A bug in that type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header block announced {announced} bytes and wrote {written}")]
pub struct HeaderLenError {
    /// What `encoded_len` said.
    pub announced: usize,
    /// What `encode` wrote.
    pub written: usize,
}

/// CONNECT, with its JSON.
pub fn connect(out: &mut Vec<u8>, json: &str) {
    for part in ["CONNECT ", json, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// PUB. `reply` may be empty.
#[inline]
pub fn publish(out: &mut Vec<u8>, subject: &[u8], reply: &[u8], payload: &[u8]) {
    out.reserve(subject.len() + reply.len() + payload.len() + 32);
    out.extend_from_slice(b"PUB ");
    subject_and_reply(out, subject, reply);
    decimal(out, payload.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// HPUB. `reply` may be empty.
///
/// # Errors
/// [`HeaderLenError`]; `out` is as it was then.
#[inline]
pub fn publish_with_headers(
    out: &mut Vec<u8>,
    subject: &[u8],
    reply: &[u8],
    headers: &impl HeaderBlock,
    payload: &[u8],
) -> Result<(), HeaderLenError> {
    let before = out.len();
    let announced = headers.encoded_len();
    out.reserve(subject.len() + reply.len() + announced + payload.len() + 56);
    out.extend_from_slice(b"HPUB ");
    subject_and_reply(out, subject, reply);
    decimal(out, announced as u64);
    out.push(b' ');
    decimal(out, (announced + payload.len()) as u64);
    out.extend_from_slice(b"\r\n");
    let headers_at = out.len();
    headers.encode(out);
    let written = out.len() - headers_at;
    if written != announced {
        out.truncate(before);
        return Err(HeaderLenError { announced, written });
    }
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// SUB. `queue` may be empty.
pub fn subscribe(out: &mut Vec<u8>, filter: &[u8], queue: &[u8], sid: u64) {
    out.extend_from_slice(b"SUB ");
    subject_and_reply(out, filter, queue);
    decimal(out, sid);
    out.extend_from_slice(b"\r\n");
}

/// UNSUB: at once.
pub fn unsubscribe(out: &mut Vec<u8>, sid: u64) {
    out.extend_from_slice(b"UNSUB ");
    decimal(out, sid);
    out.extend_from_slice(b"\r\n");
}

/// UNSUB: when `most` messages have been sent since the SUB.
pub fn unsubscribe_after(out: &mut Vec<u8>, sid: u64, most: u64) {
    out.extend_from_slice(b"UNSUB ");
    decimal(out, sid);
    out.push(b' ');
    decimal(out, most);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal digits.
#[inline]
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Two words, the second of which may be missing, each with a space behind it.
#[inline]
fn subject_and_reply(out: &mut Vec<u8>, subject: &[u8], reply: &[u8]) {
    out.extend_from_slice(subject);
    out.push(b' ');
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    #[test]
    fn frames() {
        let headers = Headers::new().with("A", "1").unwrap();
        type Write<'a> = Box<dyn Fn(&mut Vec<u8>) + 'a>;
        let table: Vec<(Write<'_>, &str)> = vec![
            (Box::new(|out| connect(out, "{}")), "CONNECT {}\r\n"),
            (Box::new(|out| publish(out, b"a.b", b"", b"hi")), "PUB a.b 2\r\nhi\r\n"),
            (Box::new(|out| publish(out, b"a", b"r", b"")), "PUB a r 0\r\n\r\n"),
            (
                Box::new(|out| publish_with_headers(out, b"a", b"r", &headers, b"hi").unwrap()),
                "HPUB a r 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\n",
            ),
            (Box::new(|out| subscribe(out, b"a.>", b"", 7)), "SUB a.> 7\r\n"),
            (Box::new(|out| subscribe(out, b"a.>", b"q", 7)), "SUB a.> q 7\r\n"),
            (Box::new(|out| unsubscribe(out, u64::MAX)), "UNSUB 18446744073709551615\r\n"),
            (Box::new(|out| unsubscribe_after(out, 7, 10)), "UNSUB 7 10\r\n"),
        ];
        for (write, expected) in table {
            let mut out = b"before ".to_vec();
            write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before {expected}"));
        }
    }

    #[test]
    fn a_header_block_that_lies_about_its_length_sends_nothing() {
        struct Liar;
        impl HeaderBlock for Liar {
            fn encoded_len(&self) -> usize {
                3
            }
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(b"four");
            }
        }
        let mut out = b"before".to_vec();
        let lied = publish_with_headers(&mut out, b"a", b"", &Liar, b"x");
        assert_eq!(lied, Err(HeaderLenError { announced: 3, written: 4 }));
        assert_eq!(out, b"before");
    }
}
