//! Dead letters: events that can not be handled go to a stream of their own, with their history, so that those behind them can go on.

use std::num::NonZeroU32;

use jetlane_client::SubjectFilter;

use super::SubscribeError;
use crate::EventBus;

/// Where the events of a subscription go that it can not handle: see [`crate::Subscribe::dead_letters`].
///
/// The letter of an event published to `order.created` is published to `<subject>.order.created`, so a topic `<subject>.>` must be
/// ensured before. It has the event's payload and headers, and in further headers, which begin with `Jetlane-Letter-`:
/// `Kind` (`dead`), `Reason` (the error, in words), `Attempts` (by the last process), `Deliveries` (by the server, in all), `Subscription`,
/// `Subject`, `Stream`, `Sequence` and `Time`. Where event and history together are too large for the server, the payload is left
/// out, and `Jetlane-Letter-Payload: omitted` says so: the event still stands in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "to be given to Subscribe::dead_letters"]
pub struct DeadLetters {
    pub(super) subject: String,
    pub(super) attempts: NonZeroU32,
    pub(super) deliveries: Option<u64>,
}

impl DeadLetters {
    /// Letters go to subjects below `subject`, after five attempts.
    pub fn to(subject: impl Into<String>) -> Self {
        let attempts = NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN);
        Self { subject: subject.into(), attempts, deliveries: None }
    }

    /// How often an event is tried before it goes. Default 5. Events that are rejected or no envelopes go at once.
    ///
    /// Under [`crate::Settlement::Watermark`] it goes sooner once half of the window is done and waits for it, since a full one would
    /// stop the others.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How often an event may be delivered: one that comes once more goes without being tried, as whoever had it before has died of
    /// it or was stopped each time. Default: no limit. Every process that stops or dies while it holds an event counts, so this
    /// should be well above the number of restarts in a row.
    pub fn deliveries(mut self, most: u64) -> Self {
        self.deliveries = Some(most);
        self
    }

    /// The subject of the letter of an event that was published to `subject`.
    pub(super) fn letter_subject(&self, subject: &[u8]) -> String {
        format!("{}.{}", self.subject, String::from_utf8_lossy(subject))
    }
}

/// Sees to it that letters to subjects below `subject` will be stored, and tells in which stream.
pub(super) fn stream_of_letters(bus: &EventBus, subject: &str) -> Result<String, SubscribeError> {
    let topic = format!("{subject}.>");
    if let Err(source) = SubjectFilter::new(&topic) {
        return Err(SubscribeError::Topic { topic, source });
    }
    let streams = bus.jetstream().stream_names(&topic).wait()?.streams;
    let first = streams.and_then(|streams| streams.into_iter().next());
    first.ok_or(SubscribeError::NoStream { topic })
}
