//! What a client says, read without I/O.

use jetlane_proto::read_decimal;

/// The longest control line, as in a nats-server.
const MAX_LINE: usize = 4096;
/// The largest message, headers included.
pub(crate) const MAX_PAYLOAD: usize = 1024 * 1024;

/// One thing that a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientOp<'a> {
    /// With its JSON.
    Connect(&'a [u8]),
    Ping,
    /// `PONG`, or an empty line.
    Nothing,
    Publish(Publish<'a>),
    Subscribe {
        filter: &'a str,
        queue: Option<&'a str>,
        sid: &'a str,
    },
    Unsubscribe {
        sid: &'a str,
        /// After how many messages, all since the SUB; `None` is at once.
        max: Option<u64>,
    },
}

/// A message from a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    pub(crate) subject: &'a str,
    pub(crate) reply: Option<&'a str>,
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Why a client is not listened to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonsense {
    LongLine,
    Operation,
    Payload,
}

impl Nonsense {
    /// As a nats-server says it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::LongLine => "maximum control line exceeded",
            Self::Operation => "Unknown Protocol Operation",
            Self::Payload => "Maximum Payload Violation",
        }
    }
}

/// The first operation in `bytes`, and how long it is. `None` if it is not all there yet.
pub(crate) fn read_op(bytes: &[u8]) -> Result<Option<(ClientOp<'_>, usize)>, Nonsense> {
    let Some(end) = bytes.iter().take(MAX_LINE + 1).position(|&byte| byte == b'\n') else {
        return if bytes.len() > MAX_LINE { Err(Nonsense::LongLine) } else { Ok(None) };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let line = std::str::from_utf8(line).map_err(|_| Nonsense::Operation)?;
    let (verb, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let behind = end + 1;
    let simple = |op| Ok(Some((op, behind)));
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    match verb.to_ascii_uppercase().as_str() {
        "CONNECT" => simple(ClientOp::Connect(rest.as_bytes())),
        "PING" => simple(ClientOp::Ping),
        "PONG" | "" => simple(ClientOp::Nothing),
        "SUB" => simple(subscribe(&words)?),
        "UNSUB" => simple(unsubscribe(&words)?),
        "PUB" => publish(bytes, behind, &words, Headers::No),
        "HPUB" => publish(bytes, behind, &words, Headers::Yes),
        _ => Err(Nonsense::Operation),
    }
}

fn subscribe<'a>(words: &[&'a str]) -> Result<ClientOp<'a>, Nonsense> {
    match *words {
        [filter, sid] => Ok(ClientOp::Subscribe { filter, queue: None, sid }),
        [filter, queue, sid] => Ok(ClientOp::Subscribe { filter, queue: Some(queue), sid }),
        _ => Err(Nonsense::Operation),
    }
}

fn unsubscribe<'a>(words: &[&'a str]) -> Result<ClientOp<'a>, Nonsense> {
    match *words {
        [sid] => Ok(ClientOp::Unsubscribe { sid, max: None }),
        [sid, max] => {
            let max = read_decimal(max.as_bytes()).ok_or(Nonsense::Operation)?;
            // The server takes no messages for no limit.
            Ok(ClientOp::Unsubscribe { sid, max: Some(max).filter(|&max| max > 0) })
        }
        _ => Err(Nonsense::Operation),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Headers {
    No,
    Yes,
}

fn publish<'a>(
    bytes: &'a [u8],
    begin: usize,
    words: &[&'a str],
    headers: Headers,
) -> Result<Option<(ClientOp<'a>, usize)>, Nonsense> {
    let (words, headers_len, len) = match (headers, words) {
        (Headers::No, [words @ .., len]) => (words, 0, size(len)?),
        (Headers::Yes, [words @ .., headers, len]) => (words, size(headers)?, size(len)?),
        _ => return Err(Nonsense::Operation),
    };
    let (subject, reply) = match *words {
        [subject] => (subject, None),
        [subject, reply] => (subject, Some(reply)),
        _ => return Err(Nonsense::Operation),
    };
    if headers_len > len {
        return Err(Nonsense::Operation);
    }
    let end = begin + len;
    let Some(behind) = bytes.get(end..).and_then(line_end) else {
        // Two bytes that are no end of a line will never become one.
        let never = bytes.len() >= end + 2 || bytes.get(end).is_some_and(|&byte| byte != b'\r');
        return if never { Err(Nonsense::Operation) } else { Ok(None) };
    };
    let (headers, payload) = bytes[begin..end].split_at(headers_len);
    let message = Publish { subject, reply, headers, payload };
    Ok(Some((ClientOp::Publish(message), end + behind)))
}

/// How long the end of a line is that stands here.
fn line_end(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => None,
    }
}

fn size(word: &str) -> Result<usize, Nonsense> {
    let size = read_decimal(word.as_bytes()).ok_or(Nonsense::Operation)?;
    let size = usize::try_from(size).ok().filter(|&size| size <= MAX_PAYLOAD);
    size.ok_or(Nonsense::Payload)
}

#[cfg(test)]
#[path = "client_op_tests.rs"]
mod tests;
