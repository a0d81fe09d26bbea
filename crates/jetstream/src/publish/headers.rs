use std::time::Duration;

use jetlane_client::proto::HeaderError;
use jetlane_client::{HeaderBlock, HeaderView, Headers};

/// Headers that tell a stream under which condition to store a message, and for how long. Each is set once: again is instead.
///
/// What a stream refuses for them ends as [`NotStored::Rejected`](crate::NotStored::Rejected);
/// [`Rejection::is_wrong_last_sequence`](crate::Rejection::is_wrong_last_sequence) tells a lost race from the rest.
///
/// ```
/// use jetlane_jetstream::PublishHeaders;
/// let headers = PublishHeaders::new().msg_id("order-42-1")?.expected_last_subject_sequence(0);
/// assert_eq!(headers.view().iter().count(), 2);
/// # Ok::<(), jetlane_client::proto::HeaderError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishHeaders {
    headers: Headers,
}

/// What a message replaces: everything before it is deleted when it is stored. The stream has to allow it
/// ([`crate::StreamConfig::allow_rollup`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rollup {
    /// All messages of its subject.
    Subject,
    /// All messages of the stream.
    All,
}

impl PublishHeaders {
    /// No condition yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A second message with this id within the stream's duplicate window is not stored (`Nats-Msg-Id`).
    ///
    /// # Errors
    /// [`HeaderError`] if it can not stand in a header.
    pub fn msg_id(self, id: &str) -> Result<Self, HeaderError> {
        self.text("Nats-Msg-Id", id)
    }

    /// Stored by this stream or not at all (`Nats-Expected-Stream`; refused with 10060).
    ///
    /// # Errors
    /// [`HeaderError`] if it can not stand in a header.
    pub fn expected_stream(self, stream: &str) -> Result<Self, HeaderError> {
        self.text("Nats-Expected-Stream", stream)
    }

    /// Stored only behind the message with this id (`Nats-Expected-Last-Msg-Id`; refused with 10070).
    ///
    /// # Errors
    /// [`HeaderError`] if it can not stand in a header.
    pub fn expected_last_msg_id(self, id: &str) -> Result<Self, HeaderError> {
        self.text("Nats-Expected-Last-Msg-Id", id)
    }

    /// Stored only if this is the sequence of the stream's newest message; 0 if it never had one (`Nats-Expected-Last-Sequence`;
    /// refused with 10071).
    #[must_use]
    pub fn expected_last_sequence(self, sequence: u64) -> Self {
        self.number("Nats-Expected-Last-Sequence", sequence)
    }

    /// Stored only if this is the sequence of the newest message of its subject; 0 if it has none
    /// (`Nats-Expected-Last-Subject-Sequence`; refused with 10071 or 10164).
    #[must_use]
    pub fn expected_last_subject_sequence(self, sequence: u64) -> Self {
        self.number("Nats-Expected-Last-Subject-Sequence", sequence)
    }

    /// As [`PublishHeaders::expected_last_subject_sequence`], of another subject, wildcards allowed
    /// (`Nats-Expected-Last-Subject-Sequence-Subject`, server 2.12).
    ///
    /// # Errors
    /// [`HeaderError`] if the subject can not stand in a header.
    pub fn expected_last_sequence_of(
        self,
        subject: &str,
        sequence: u64,
    ) -> Result<Self, HeaderError> {
        self.expected_last_subject_sequence(sequence)
            .text("Nats-Expected-Last-Subject-Sequence-Subject", subject)
    }

    /// Deleted so long after it was stored (`Nats-TTL`, ADR-43, server 2.11), in whole seconds, rounded up, and 1 s at least: a server
    /// counts in seconds. The stream has to allow it ([`crate::StreamConfig::allow_msg_ttl`]); otherwise it is refused with 10166.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        let rounded = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
        self.number("Nats-TTL", rounded.max(1))
    }

    /// Kept even beyond the stream's `max_age` (`Nats-TTL: never`, ADR-43, server 2.11).
    #[must_use]
    pub fn never_expires(self) -> Self {
        self.fixed("Nats-TTL", "never")
    }

    /// Deletes what came before it (`Nats-Rollup`).
    #[must_use]
    pub fn rollup(self, rollup: Rollup) -> Self {
        let what = match rollup {
            Rollup::Subject => "sub",
            Rollup::All => "all",
        };
        self.fixed("Nats-Rollup", what)
    }

    /// How a receiver will see them.
    pub fn view(&self) -> HeaderView<'_> {
        self.headers.view()
    }

    fn text(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        self.headers.insert(name, value)?;
        Ok(self)
    }

    fn number(self, name: &str, value: u64) -> Self {
        self.fixed(name, &value.to_string())
    }

    fn fixed(self, name: &str, value: &str) -> Self {
        self.text(name, value).expect("digits and words can stand in a header")
    }
}

/// Adds conditions to headers that are there already.
impl From<Headers> for PublishHeaders {
    fn from(headers: Headers) -> Self {
        Self { headers }
    }
}

impl HeaderBlock for PublishHeaders {
    fn encoded_len(&self) -> usize {
        self.headers.encoded_len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.headers.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_rounded_up_to_what_a_server_can_count() {
        for (ttl, expected) in [
            (Duration::ZERO, "1"),
            (Duration::from_nanos(1), "1"),
            (Duration::from_secs(5), "5"),
            (Duration::from_millis(5001), "6"),
            (Duration::MAX, "18446744073709551615"),
        ] {
            let headers = PublishHeaders::new().never_expires().ttl(ttl);
            assert_eq!(headers.view().get("Nats-TTL"), Some(expected.as_bytes()));
            assert_eq!(headers.view().iter().count(), 1);
        }
        assert!(PublishHeaders::new().msg_id("a\r\nb").is_err());
    }
}
