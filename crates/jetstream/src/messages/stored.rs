use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::BASE64;
use jetlane_client::{HeaderView, Message};
use serde::Deserialize;

use crate::ApiError;
use crate::api::{malformed, read_json};
use crate::error::Names;
use crate::wire;

/// The first of the headers that the server puts behind those of the publisher.
const SERVER_HEADERS: &[u8] = b"\r\nNats-Stream: ";

/// A message as a stream keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The subject it is stored under.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// When it was stored.
    pub time: SystemTime,
    /// Its payload.
    pub payload: Bytes,
    /// The header block of its publisher; empty if it has none.
    headers: Bytes,
}

/// A message as `STREAM.MSG.GET` answers.
#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

impl StoredMessage {
    /// The headers of its publisher, if it has any.
    pub fn headers(&self) -> Option<HeaderView<'_>> {
        (!self.headers.is_empty()).then(|| HeaderView::new(&self.headers))
    }

    /// Reads an answer of `STREAM.MSG.GET`.
    pub(crate) fn read_api(answer: &Message, names: &Names) -> Result<Self, ApiError> {
        let Got { message } = read_json(answer, names)?;
        let bytes = |text: String| BASE64.decode(text.as_bytes()).map(Bytes::from);
        Ok(Self {
            subject: message.subject,
            sequence: message.seq,
            time: read_time(&message.time)?,
            payload: bytes(message.data).map_err(malformed)?,
            headers: bytes(message.hdrs).map_err(malformed)?,
        })
    }

    /// Reads an answer of `DIRECT.GET` (ADR-31): the message itself, or a status.
    pub(crate) fn read_direct(answer: &Message, names: &Names) -> Result<Self, ApiError> {
        let headers = answer.headers().ok_or_else(|| malformed("a direct get without headers"))?;
        if let Some(status) = headers.status() {
            let description = String::from_utf8_lossy(status.description).into_owned();
            return Err(explain_status(status.code, description, names));
        }
        let subject = server_header(headers, "Nats-Subject")?;
        let sequence = server_header(headers, "Nats-Sequence")?;
        Ok(Self {
            subject: subject.into(),
            sequence: sequence.parse().map_err(malformed)?,
            time: read_time(server_header(headers, "Nats-Time-Stamp")?)?,
            payload: answer.payload_bytes(),
            headers: publisher_headers(headers.as_bytes()),
        })
    }
}

/// What a status means that is the answer of a direct get.
fn explain_status(code: u16, description: String, names: &Names) -> ApiError {
    match code {
        404 => ApiError::MessageNotFound { stream: names.stream.clone() },
        412 => ApiError::NotSupported { error_code: 0, description },
        503 => ApiError::NoDirectGet { stream: names.stream.clone() },
        _ => ApiError::Rejected { code, error_code: 0, description },
    }
}

/// A header that the server has added. Its own are the last: a publisher may have sent others of the same name before.
pub(super) fn server_header<'a>(headers: HeaderView<'a>, name: &str) -> Result<&'a str, ApiError> {
    let value = headers.get_all(name).last();
    let value = value.ok_or_else(|| malformed(format_args!("no header {name}")))?;
    std::str::from_utf8(value).map_err(malformed)
}

/// The block without what the server has added to it.
fn publisher_headers(block: &[u8]) -> Bytes {
    let begin = block.windows(SERVER_HEADERS.len()).rposition(|bytes| bytes == SERVER_HEADERS);
    match begin {
        Some(begin) if block[..begin].contains(&b'\n') => {
            let mut own = block[..begin].to_vec();
            own.extend_from_slice(b"\r\n\r\n");
            own.into()
        }
        _ => Bytes::new(),
    }
}

fn read_time(text: &str) -> Result<SystemTime, ApiError> {
    let time = wire::time::read(text).map_err(malformed)?;
    // A message may well be stored at Go's zero by a clock that is wrong.
    Ok(time.unwrap_or(SystemTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_the_server_are_told_from_those_of_the_publisher() {
        for (block, own) in [
            (&b"NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: a\r\n\r\n"[..], &b""[..]),
            (b"NATS/1.0\r\nA: 1\r\nNats-Stream: S\r\n\r\n", b"NATS/1.0\r\nA: 1\r\n\r\n"),
            (
                b"NATS/1.0\r\nNats-Stream: mine\r\nNats-Stream: S\r\n\r\n",
                b"NATS/1.0\r\nNats-Stream: mine\r\n\r\n",
            ),
            (b"NATS/1.0\r\nA: 1\r\n\r\n", b""),
            (b"\r\nNats-Stream: ", b""),
            (b"", b""),
        ] {
            assert_eq!(publisher_headers(block), own, "{}", block.escape_ascii());
        }
    }
}
