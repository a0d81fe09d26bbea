use std::fmt;

/// How a publish ended: stored, rejected, or not known. Every publish ends in exactly one of them, by its deadline.
pub type Outcome = Result<Stored, NotStored>;

/// The message is in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its place in the stream.
    pub sequence: u64,
    /// True if it was there already: a message with the same `Nats-Msg-Id` was stored within the duplicate window, and
    /// `sequence` is that one's.
    pub duplicate: bool,
}

/// The message is not in the stream, or may not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// It is not: the stream refused it, or there is no stream.
    #[error("the message was rejected: {0}")]
    Rejected(Box<Rejection>),
    /// It may be or may not be. Publishing it again is safe with the same `Nats-Msg-Id`, within the stream's duplicate
    /// window.
    #[error("the message may or may not be stored: {0}")]
    Unknown(Unknown),
}

/// Why a stream refused a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// HTTP-like code. 503 without an error code: no stream stores the subject, or none that has a leader now.
    pub code: u16,
    /// The server's own error number; stable, unlike the text. 0 if there is none.
    pub error_code: u32,
    /// The reason in words.
    pub reason: String,
}

/// Why it is not known whether a message was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// No ack came in time. Answers that are no acks, of others who listen on the subject, do not count.
    #[error("no ack came in time")]
    TimedOut,
    /// The connection was lost after the message was written and before its ack came.
    #[error("the connection was lost before its ack came")]
    Disconnected,
    /// The server does not permit this user to subscribe to the inbox that the ack goes to. The operator's to change, or the
    /// inbox prefix ([`jetlane_client::ConnectOptions::inbox_prefix`]).
    #[error("this user may not subscribe to the inbox that the ack goes to")]
    Denied,
    /// The connection was closed before its ack came.
    #[error("the connection was closed before its ack came")]
    Closed,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {}", self.reason, self.code)?;
        if self.error_code != 0 {
            write!(f, ", error {}", self.error_code)?;
        }
        f.write_str(")")
    }
}

impl Rejection {
    /// True if the stream, or the subject, has another newest message than was expected: somebody else was faster (errors 10071 and
    /// 10164; which one depends on whether that message is stored already).
    pub fn is_wrong_last_sequence(&self) -> bool {
        matches!(self.error_code, 10071 | 10164)
    }

    /// True if the same message may well be stored when it is published again later: no leader now (503 without a number, 10008), a
    /// condition that can not be checked yet (10163, 10158), or too much to do (10167, 10210, 10211).
    pub fn is_temporary(&self) -> bool {
        match self.error_code {
            0 => self.code == 503,
            number => matches!(number, 10008 | 10158 | 10163 | 10167 | 10210 | 10211),
        }
    }
}
