//! Writing letters: an event that is not handled here, with its history, to where somebody will look for it.

use std::time::SystemTime;

use jetlane_client::{HeaderView, Headers};
use jetlane_jetstream::{Held, PublishError, Ticket};
use jiff::Timestamp;

use crate::EventBus;
use crate::bus::WeakBus;
use crate::letters::header::{
    ATTEMPTS, DELIVERIES, KEY, KIND, LETTER, PAYLOAD, REASON, REDRIVE, SEQUENCE, STREAM, SUBJECT,
    SUBSCRIPTION, TIME,
};
use crate::letters::redrive::Redrive;

/// Longest reason in a header, in bytes.
const LONGEST_REASON: usize = 1024;

/// What an event is that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is given up; the later events of its key go on.
    Dead,
    /// It waits elsewhere, and the later events of its key behind it.
    Parked,
}

/// Why an event leaves, and after how many calls of its handler.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) kind: Kind,
    pub(super) reason: String,
    pub(super) attempts: u32,
}

/// An event that leaves, wherever it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaver<'a> {
    pub(super) subject: &'a [u8],
    pub(super) headers: Option<HeaderView<'a>>,
    pub(super) payload: &'a [u8],
    pub(super) sequence: u64,
    /// How often it was delivered.
    pub(super) deliveries: u64,
    pub(super) key: Option<&'a [u8]>,
}

impl<'a> Leaver<'a> {
    pub(super) fn held(held: &'a Held, key: Option<&'a [u8]>) -> Self {
        let Held { message, delivery, .. } = held;
        Self {
            subject: message.subject_bytes(),
            headers: message.headers(),
            payload: message.payload(),
            sequence: delivery.stream_sequence,
            deliveries: delivery.delivered,
            key,
        }
    }
}

/// Writes the letters of a subscription.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    subscription: String,
    stream: String,
    /// It must not keep the bus open.
    bus: WeakBus,
}

impl Writer {
    pub(super) fn new(subscription: &str, stream: &str, bus: &EventBus) -> Self {
        Self { subscription: subscription.into(), stream: stream.into(), bus: bus.downgrade() }
    }

    /// Publishes the letter of an event. Published again, the stream takes it for the same within its duplicate window.
    pub(super) fn write(
        &self,
        subject: &str,
        event: &Leaver<'_>,
        story: &Story,
    ) -> Result<Ticket, String> {
        let bus = self.bus()?;
        let mut headers = self.headers(event, story);
        match bus.jetstream().publish_with(subject, &headers, event.payload) {
            Err(PublishError::Client(jetlane_client::PublishError::TooLarge { .. })) => {
                add(&mut headers, PAYLOAD, "omitted");
                bus.jetstream().publish_with(subject, &headers, "")
            }
            other => other,
        }
        .map_err(|error| error.to_string())
    }

    pub(super) fn bus(&self) -> Result<EventBus, String> {
        self.bus.upgrade().ok_or_else(|| "the bus is closed".into())
    }

    fn headers(&self, event: &Leaver<'_>, story: &Story) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in event.headers.iter().flat_map(HeaderView::iter) {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            // What the server acted on when the event was stored is not meant for the letter, nor what was said of former letters.
            if !["Nats-", LETTER, REDRIVE].iter().any(|ours| name.starts_with(ours)) {
                // What can not be sent could not be read either.
                let _ = headers.append(&name, &value);
            }
        }
        let Self { subscription, stream, .. } = self;
        let kind = match story.kind {
            Kind::Dead => "dead",
            Kind::Parked => "parked",
        };
        let id = format!("{kind}:{subscription}:{stream}:{}", event.sequence);
        // By the place it had the first time: so those of a key are in order, whichever way they took.
        let redrive = event.headers.and_then(Redrive::of_headers);
        let sequence = redrive.and_then(|redrive| redrive.sequence).unwrap_or(event.sequence);
        let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
        add(&mut headers, "Nats-Msg-Id", &id);
        add(&mut headers, KIND, kind);
        add(&mut headers, REASON, &one_line(&story.reason));
        add(&mut headers, ATTEMPTS, &story.attempts.to_string());
        add(&mut headers, DELIVERIES, &event.deliveries.to_string());
        add(&mut headers, SUBSCRIPTION, subscription);
        add(&mut headers, SUBJECT, &String::from_utf8_lossy(event.subject));
        add(&mut headers, STREAM, stream);
        add(&mut headers, SEQUENCE, &sequence.to_string());
        add(&mut headers, TIME, &now.to_string());
        if let Some(Ok(key)) = event.key.map(str::from_utf8) {
            add(&mut headers, KEY, key);
        }
        headers
    }
}

fn add(headers: &mut Headers, name: &str, value: &str) {
    // All of them are checked or made here, but for a subject that is no text: that one is left out.
    let _ = headers.append(name, value);
}

/// What can be the value of a header.
fn one_line(reason: &str) -> String {
    let mut ends = (0..=reason.len().min(LONGEST_REASON)).rev();
    let end = ends.find(|&end| reason.is_char_boundary(end));
    reason[..end.unwrap_or(0)].replace(['\r', '\n', '\0'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_becomes_one_short_line() {
        assert_eq!(one_line("a\r\nb\0c"), "a  b c");
        let long = "ä".repeat(LONGEST_REASON);
        assert_eq!(one_line(&long).len(), LONGEST_REASON);
        assert_eq!(one_line(&format!("x{long}")).len(), LONGEST_REASON - 1);
    }
}
