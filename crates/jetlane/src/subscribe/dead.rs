//! Dead letters: events that can not be handled go to a stream of their own, with their history, so that those behind them can go on.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use jetlane_client::{Headers, SubjectFilter};
use jetlane_jetstream::{Held, PublishError, Ticket};
use jiff::Timestamp;

use super::SubscribeError;
use crate::EventBus;
use crate::bus::WeakBus;

/// How soon the ack of a dead letter is looked for.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// Longest reason in a header, in bytes.
const LONGEST_REASON: usize = 1024;

/// Where the events of a subscription go that it can not handle: see [`crate::Subscribe::dead_letters`].
///
/// The letter of an event published to `order.created` is published to `<subject>.order.created`, so a topic `<subject>.>` must be
/// ensured before. It has the event's payload and headers, and in further headers, which begin with `Jetlane-Dead-`:
/// `Reason` (the error, in words), `Attempts` (by the last process), `Deliveries` (by the server, in all), `Subscription`, `Subject`, `Stream`,
/// `Sequence` and `Time`. Where event and history together are too large for the server, the payload is left out, and
/// `Jetlane-Dead-Payload: omitted` says so: the event still stands in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "to be given to Subscribe::dead_letters"]
pub struct DeadLetters {
    subject: String,
    attempts: NonZeroU32,
}

impl DeadLetters {
    /// Letters go to subjects below `subject`, after five attempts.
    pub fn to(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), attempts: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN) }
    }

    /// How often an event is tried before it goes. Default 5. Events that are rejected or no envelopes go at once.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sees to it that the letters will be stored.
    pub(super) fn check(&self, bus: &EventBus) -> Result<(), SubscribeError> {
        let topic = format!("{}.>", self.subject);
        if let Err(source) = SubjectFilter::new(&topic) {
            return Err(SubscribeError::Topic { topic, source });
        }
        let streams = bus.jetstream().stream_names(&topic).wait()?.streams;
        match streams.is_some_and(|streams| !streams.is_empty()) {
            true => Ok(()),
            false => Err(SubscribeError::NoStream { topic }),
        }
    }
}

/// An event that is on its way to the dead letters.
#[derive(Debug)]
pub(super) struct Dying {
    reason: String,
    attempts: u32,
    /// `None` until its letter is published, and after a publish that failed.
    pub(super) ticket: Option<Ticket>,
    /// How often its letter could not be stored.
    pub(super) failed: u32,
}

impl Dying {
    pub(super) fn new(reason: String, attempts: u32) -> Self {
        Self { reason, attempts, ticket: None, failed: 0 }
    }
}

/// Writes the dead letters of a subscription.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    letters: DeadLetters,
    subscription: String,
    stream: String,
    /// It must not keep the bus open.
    bus: WeakBus,
}

impl Writer {
    pub(super) fn new(
        letters: DeadLetters,
        subscription: &str,
        stream: &str,
        bus: &EventBus,
    ) -> Self {
        let (subscription, stream) = (subscription.into(), stream.into());
        Self { letters, subscription, stream, bus: bus.downgrade() }
    }

    /// Whether an event that failed so often is not tried again.
    pub(super) fn takes_after(&self, attempts: u32) -> bool {
        attempts >= self.letters.attempts.get()
    }

    /// Publishes the letter of an event. Published again, the stream takes it for the same within its duplicate window.
    pub(super) fn write(&self, held: &Held, dying: &Dying) -> Result<Ticket, String> {
        let Some(bus) = self.bus.upgrade() else { return Err("the bus is closed".into()) };
        let event_subject = String::from_utf8_lossy(held.message.subject_bytes());
        let subject = format!("{}.{event_subject}", self.letters.subject);
        let headers = self.headers(held, dying, &event_subject);
        let payload = held.message.payload();
        match bus.jetstream().publish_with(&*subject, &headers, payload) {
            Err(PublishError::Client(jetlane_client::PublishError::TooLarge { .. })) => {
                let mut headers = headers;
                add(&mut headers, "Payload", "omitted");
                bus.jetstream().publish_with(&*subject, &headers, "")
            }
            other => other,
        }
        .map_err(|error| error.to_string())
    }

    fn headers(&self, held: &Held, dying: &Dying, subject: &str) -> Headers {
        let mut headers = Headers::new();
        let theirs = held.message.headers();
        for (name, value) in theirs.iter().flat_map(jetlane_client::HeaderView::iter) {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            // What the server acted on when the event was stored is not meant for the letter.
            if !name.starts_with("Nats-") {
                // What can not be sent could not be read either.
                let _ = headers.append(&name, &value);
            }
        }
        let delivery = &held.delivery;
        let Self { subscription, stream, .. } = self;
        let id = format!("dead:{subscription}:{stream}:{}", delivery.stream_sequence);
        let _ = headers.append("Nats-Msg-Id", &id);
        add(&mut headers, "Reason", &one_line(&dying.reason));
        add(&mut headers, "Attempts", &dying.attempts.to_string());
        add(&mut headers, "Deliveries", &delivery.delivered.to_string());
        add(&mut headers, "Subscription", subscription);
        add(&mut headers, "Subject", subject);
        add(&mut headers, "Stream", stream);
        add(&mut headers, "Sequence", &delivery.stream_sequence.to_string());
        let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
        add(&mut headers, "Time", &now.to_string());
        headers
    }
}

fn add(headers: &mut Headers, name: &str, value: &str) {
    // All of them are checked or made here, but for a subject that is no text: that one is left out.
    let _ = headers.append(&format!("Jetlane-Dead-{name}"), value);
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
