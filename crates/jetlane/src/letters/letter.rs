use std::time::SystemTime;

use bytes::Bytes;
use jetlane_client::HeaderView;
use jetlane_jetstream::StoredMessage;
use jiff::Timestamp;

use super::header::{
    ATTEMPTS, DELIVERIES, KEY, KIND, PAYLOAD, REASON, SEQUENCE, STREAM, SUBJECT, SUBSCRIPTION, TIME,
};

/// What became of the event of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LetterKind {
    /// It was given up, and the later events of its aggregate went on: see [`crate::DeadLetters`].
    Dead,
    /// It waits, and the later events of its aggregate behind it: see [`crate::Parking`].
    Parked,
}

/// An event that a subscription could not handle, with its history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Letter {
    /// What became of the event.
    pub kind: LetterKind,
    /// The letter's place in the stream of letters.
    pub sequence: u64,
    /// The subject of the letter itself.
    pub letter_subject: String,
    /// The subscription that could not handle the event.
    pub subscription: String,
    /// The subject that the event was published to.
    pub subject: String,
    /// The stream that the event stands in.
    pub stream: String,
    /// The event's place there.
    pub event_sequence: u64,
    /// What its order is by, nearly always its aggregate id; `None` if it has none, or one that is no text.
    pub key: Option<String>,
    /// Why it could not be handled, in words.
    pub reason: String,
    /// How often its handler was called, by the process that wrote the letter. 0 if it was not even tried.
    pub attempts: u32,
    /// How often the server had delivered it.
    pub deliveries: u64,
    /// When the letter was written, by the clock of who wrote it.
    pub time: SystemTime,
    /// The event's payload as it was published, so still compressed if the header `Content-Encoding` says so; `None` if event and history together were too large: it still stands in its stream.
    pub payload: Option<Bytes>,
    pub(super) message: StoredMessage,
}

impl Letter {
    /// Reads a letter; `None` if the message is none.
    pub(super) fn read(message: StoredMessage) -> Option<Self> {
        let headers = message.headers()?;
        let text = |name: &str| {
            let value = headers.get(name)?;
            str::from_utf8(value).ok().map(String::from)
        };
        let kind = match text(KIND)?.as_str() {
            "dead" => LetterKind::Dead,
            "parked" => LetterKind::Parked,
            _ => return None,
        };
        let time = text(TIME).and_then(|time| time.parse::<Timestamp>().ok());
        let is_omitted = headers.get(PAYLOAD).is_some();
        Some(Self {
            kind,
            sequence: message.sequence,
            letter_subject: message.subject.clone(),
            subscription: text(SUBSCRIPTION)?,
            subject: text(SUBJECT)?,
            stream: text(STREAM)?,
            event_sequence: text(SEQUENCE)?.parse().ok()?,
            key: text(KEY),
            reason: text(REASON).unwrap_or_default(),
            attempts: text(ATTEMPTS).and_then(|n| n.parse().ok()).unwrap_or_default(),
            deliveries: text(DELIVERIES).and_then(|n| n.parse().ok()).unwrap_or_default(),
            time: time.map_or(message.time, SystemTime::from),
            payload: (!is_omitted).then(|| message.payload.clone()),
            message,
        })
    }

    /// All its headers: those of the event, and its history.
    pub fn headers(&self) -> Option<HeaderView<'_>> {
        self.message.headers()
    }
}
