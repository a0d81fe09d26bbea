//! Who is so far behind that the limits of the stream delete what they have not handled.

use std::time::SystemTime;

use jetlane_jetstream::{ConsumerInfo, Discard, StreamConfig, StreamState};

/// What the limits of a stream do to the events of one consumer.
pub(super) fn warnings(
    config: &StreamConfig,
    state: &StreamState,
    consumer: &ConsumerInfo,
    now: SystemTime,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let name = &consumer.name;
    let unhandled = consumer.num_pending.saturating_add(consumer.num_ack_pending);
    if config.discard == Discard::Old
        && let Some(limit) = config.max_msgs
        // Half is left to come, while there is time to do something about it.
        && unhandled >= limit.div_ceil(2).max(1)
    {
        warnings.push(format!(
            "{name} has {unhandled} events to handle, and the stream keeps at most {limit}: those beyond are deleted unhandled"
        ));
    }
    // What it has handled last is the one before the oldest that is there, or older.
    let is_at_the_oldest = unhandled > 0 && consumer.ack_floor.stream_seq < state.first_seq;
    let age = state.first_ts.and_then(|first| now.duration_since(first).ok()).unwrap_or_default();
    if is_at_the_oldest && !config.max_age.is_zero() && age >= config.max_age / 2 {
        warnings.push(format!(
            "the oldest event that {name} has to handle is {} s old, and events are deleted after {:?}",
            age.as_secs(),
            config.max_age
        ));
    }
    let next = consumer.delivered.stream_seq.saturating_add(1);
    if is_at_the_oldest && consumer.delivered.stream_seq > 0 && next < state.first_seq {
        let missed = state.first_seq - next;
        warnings.push(format!(
            "up to {missed} events were deleted before {name} got them: it had got those up to {}, and the oldest one now is {}",
            consumer.delivered.stream_seq, state.first_seq
        ));
    }
    warnings
}
