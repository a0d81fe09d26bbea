use std::time::SystemTime;

use jetlane_jetstream::{ConsumerConfig, DeliverPolicy};

/// Where a subscription begins that is new: see [`crate::Subscribe::start_at`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// With the oldest event that is stored. The default: what was published before the subscription was there is not skipped
    /// without a word.
    #[default]
    All,
    /// With what is stored from now on.
    New,
    /// With the newest event of each subject.
    LastPerSubject,
    /// With the first event that was stored at this time or later, by the server's clock.
    Time(SystemTime),
    /// With the event at this place of the stream, or the first one behind it.
    Sequence(u64),
}

impl StartAt {
    pub(super) fn of(self, config: ConsumerConfig) -> ConsumerConfig {
        match self {
            Self::All => config.deliver(DeliverPolicy::All),
            Self::New => config.deliver(DeliverPolicy::New),
            Self::LastPerSubject => config.deliver(DeliverPolicy::LastPerSubject),
            Self::Time(time) => config.deliver_from_time(time),
            Self::Sequence(sequence) => config.deliver_from_sequence(sequence.max(1)),
        }
    }
}
