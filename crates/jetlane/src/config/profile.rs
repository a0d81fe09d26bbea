use std::time::Duration;

use super::{ConsumerSettings, Limit, StreamSettings};

/// A set of numbers for consumers and streams: see [`crate::Config::profile`].
///
/// | | production | high-throughput | low-latency |
/// |---|---|---|---|
/// | `max_ack_pending` | 1000 | 10 000 | 500 |
/// | `max_waiting` | 512 | 1000 | 256 |
/// | `ack_wait` | 30 s | 30 s | 10 s |
/// | `max_bytes` of a stream | 1 GB | 2 GB | – |
/// | `max_msgs` of a stream | 1 000 000 | 2 000 000 | – |
///
/// A stream that has reached its bounds deletes its oldest events, handled or not: unless it is said otherwise (`discard`), or there
/// are no bounds (`max_msgs: unlimited`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// For most services.
    #[default]
    Production,
    /// For many events at once.
    HighThroughput,
    /// For few events at once, and those that a dead process had soon again.
    LowLatency,
}

impl Profile {
    /// What was said of consumers, over the numbers of the profile.
    pub(super) fn consumer(self, said: &ConsumerSettings) -> ConsumerSettings {
        let (max_ack_pending, max_waiting, ack_wait) = match self {
            Self::Production => (1000, 512, 30),
            Self::HighThroughput => (10_000, 1000, 30),
            Self::LowLatency => (500, 256, 10),
        };
        ConsumerSettings {
            max_ack_pending: said.max_ack_pending.or(Some(max_ack_pending)),
            max_waiting: said.max_waiting.or(Some(max_waiting)),
            ack_wait: said.ack_wait.or(Some(Duration::from_secs(ack_wait))),
            ..said.clone()
        }
    }

    /// What was said of streams, over the numbers of the profile.
    pub(super) fn stream(self, said: &StreamSettings) -> StreamSettings {
        let (max_bytes, max_msgs) = match self {
            Self::Production => (Limit::Most(1_000_000_000), Limit::Most(1_000_000)),
            Self::HighThroughput => (Limit::Most(2_000_000_000), Limit::Most(2_000_000)),
            Self::LowLatency => (Limit::Unlimited, Limit::Unlimited),
        };
        StreamSettings {
            max_bytes: said.max_bytes.or(Some(max_bytes)),
            max_msgs: said.max_msgs.or(Some(max_msgs)),
            ..said.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_profiles() {
        let most = |n| Some(Limit::Most(n));
        for (profile, pending, waiting, wait, bytes, msgs) in [
            (Profile::Production, 1000, 512, 30, most(1_000_000_000), most(1_000_000)),
            (Profile::HighThroughput, 10_000, 1000, 30, most(2_000_000_000), most(2_000_000)),
            (Profile::LowLatency, 500, 256, 10, Some(Limit::Unlimited), Some(Limit::Unlimited)),
        ] {
            let consumer = profile.consumer(&ConsumerSettings::default());
            assert_eq!(consumer.max_ack_pending, Some(pending), "{profile:?}");
            assert_eq!(consumer.max_waiting, Some(waiting), "{profile:?}");
            assert_eq!(consumer.ack_wait, Some(Duration::from_secs(wait)), "{profile:?}");
            let stream = profile.stream(&StreamSettings::default());
            assert_eq!((stream.max_bytes, stream.max_msgs), (bytes, msgs), "{profile:?}");
        }
    }

    #[test]
    fn what_was_said_wins() {
        let said = ConsumerSettings { max_waiting: Some(7), ..ConsumerSettings::default() };
        let consumer = Profile::LowLatency.consumer(&said);
        assert_eq!((consumer.max_waiting, consumer.max_ack_pending), (Some(7), Some(500)));
        let said = StreamSettings { max_msgs: Some(Limit::Unlimited), ..StreamSettings::default() };
        let stream = Profile::Production.stream(&said);
        assert_eq!(stream.max_msgs, Some(Limit::Unlimited));
        assert_eq!(stream.max_bytes, Some(Limit::Most(1_000_000_000)));
    }
}
