use serde::Deserialize;

use crate::scan;

/// A stream's answer to a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubAck {
    /// The message's place in the stream.
    pub sequence: u64,
    /// True if a message with the same `Nats-Msg-Id` was stored within the duplicate window; `sequence` is its.
    pub duplicate: bool,
}

/// A stream's answer to a publish that it did not store, or that is no answer at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PubAckError {
    /// The stream refused the message.
    #[error("{description} (code {code}, error {error_code})")]
    Rejected {
        /// HTTP-like code.
        code: u16,
        /// The server's own error number; stable, unlike the text.
        error_code: u32,
        /// The server's text.
        description: String,
    },
    /// The answer is not that of a stream.
    #[error("the answer is not a pub-ack")]
    Malformed,
}

impl PubAck {
    /// Reads the body of an answer. The usual one, `{"stream":"S","seq":N}` or the same with a domain and
    /// `"duplicate": true` (nats-server 2.15.1 writes it by hand, without spaces but that one), is recognised by
    /// its prefix and digits; anything else goes to the JSON reader.
    ///
    /// # Errors
    /// [`PubAckError`] if the message was not stored.
    #[inline]
    pub fn read(body: &[u8]) -> Result<Self, PubAckError> {
        match Self::read_usual(body) {
            Some(ack) => Ok(ack),
            None => Self::read_json(body),
        }
    }

    #[inline]
    fn read_usual(body: &[u8]) -> Option<Self> {
        let rest = body.strip_prefix(b"{\"stream\":\"")?;
        let rest = behind_text(rest)?;
        let rest = match rest.strip_prefix(b",\"domain\":\"") {
            Some(rest) => behind_text(rest)?,
            None => rest,
        };
        let rest = rest.strip_prefix(b",\"seq\":")?;
        let (sequence, end) = scan::number(rest, 0)?;
        let duplicate = match &rest[end..] {
            b"}" => false,
            b",\"duplicate\": true}" => true,
            _ => return None,
        };
        // A stream counts from 1: a zero is part of some error, or of no number.
        (rest[0] != b'0').then_some(Self { sequence, duplicate })
    }

    #[cold]
    fn read_json(body: &[u8]) -> Result<Self, PubAckError> {
        #[derive(Deserialize)]
        struct Wire {
            error: Option<Error>,
            #[serde(default)]
            seq: u64,
            #[serde(default)]
            duplicate: bool,
            stream: Option<serde::de::IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Error {
            #[serde(default)]
            code: u16,
            #[serde(default)]
            err_code: u32,
            #[serde(default)]
            description: String,
        }
        let wire: Wire = serde_json::from_slice(body).map_err(|_| PubAckError::Malformed)?;
        match wire {
            Wire { error: Some(Error { code, err_code: error_code, description }), .. } => {
                Err(PubAckError::Rejected { code, error_code, description })
            }
            Wire { stream: Some(_), seq: sequence @ 1.., duplicate, .. } => {
                Ok(Self { sequence, duplicate })
            }
            _ => Err(PubAckError::Malformed),
        }
    }
}

/// What follows the quote that ends a text. `None` if there is none but near the end, or an escape: the JSON reader
/// understands both.
#[inline]
fn behind_text(rest: &[u8]) -> Option<&[u8]> {
    let end = scan::find(rest, 0, |eight| scan::equal(eight, b'"') | scan::equal(eight, b'\\'))?;
    (rest[end] == b'"').then(|| &rest[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let ack = |sequence, duplicate| Ok(PubAck { sequence, duplicate });
        let deep = format!("{{\"stream\":{}", "[".repeat(100_000));
        for (body, expected) in [
            (r#"{"stream":"S","seq":1}"#, ack(1, false)),
            (r#"{"stream":"S","seq":18446744073709551615}"#, ack(u64::MAX, false)),
            (r#"{"stream":"S","seq":7,"duplicate": true}"#, ack(7, true)),
            (r#"{"stream":"S","domain":"hub","seq":7}"#, ack(7, false)),
            (r#"{"stream":"S","domain":"hub","seq":7,"duplicate": true}"#, ack(7, true)),
            (r#"{"stream":"S","seq":7,"duplicate":true}"#, ack(7, true)),
            (r#" {"seq": 7, "stream": "S"} "#, ack(7, false)),
            (r#"{"stream":"S","seq":7,"val":"3"}"#, ack(7, false)),
            (r#"{"stream":"S","seq":7,"batch":"b","count":2}"#, ack(7, false)),
            (
                r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}"#,
                Err(PubAckError::Rejected {
                    code: 503,
                    error_code: 10077,
                    description: "maximum messages exceeded".into(),
                }),
            ),
            (
                r#"{"error":{}}"#,
                Err(PubAckError::Rejected { code: 0, error_code: 0, description: String::new() }),
            ),
            (r#"{"stream":"S","seq":0}"#, Err(PubAckError::Malformed)),
            (r#"{"stream":"S","seq":18446744073709551616}"#, Err(PubAckError::Malformed)),
            (r#"{"stream":"S","seq":}"#, Err(PubAckError::Malformed)),
            (r#"{"stream":"S","seq":007}"#, Err(PubAckError::Malformed)),
            (r#"{"stream":"S\","seq":7}"#, Err(PubAckError::Malformed)),
            (r#"{"stream":"S\u0041","seq":7}"#, ack(7, false)),
            (r#"{"stream":"S","seq":1"#, Err(PubAckError::Malformed)),
            (r#"{"stream":"S"}"#, Err(PubAckError::Malformed)),
            (r#"{"seq":1}"#, Err(PubAckError::Malformed)),
            ("", Err(PubAckError::Malformed)),
            ("[]", Err(PubAckError::Malformed)),
            (&deep, Err(PubAckError::Malformed)),
        ] {
            assert_eq!(PubAck::read(body.as_bytes()), expected, "{body:.60}");
        }
    }
}
