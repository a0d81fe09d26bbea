//! What ensuring a topic would change, worked out before anything is changed.

mod lag;

use std::fmt;
use std::time::{Duration, SystemTime};

use jetlane_jetstream::{
    ConsumerInfo, Discard, Retention, Storage, StreamConfig, StreamInfo, StreamState,
};

/// What ensuring a topic would do: see [`crate::Topic::plan`]. Printed, it is a list of differences.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The stream that stores the topic, or is to.
    pub stream: String,
    /// What is to be done with it.
    pub step: Step,
    /// What differs between the stream as it is and as it is declared. Empty for a stream that is to be created.
    pub changes: Vec<Change>,
    /// What can happen to events, in words: limits that delete them whether or not somebody has handled them, and subscriptions that are
    /// so far behind that it will happen to theirs, or has.
    pub warnings: Vec<String>,
}

/// What is to be done with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// There is none: it is created.
    Create,
    /// It is there and is changed.
    Update,
    /// It is as it is declared.
    Keep,
}

/// A setting of a stream that is not as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The setting, by its name in the server's API.
    pub setting: &'static str,
    /// What it is.
    pub from: String,
    /// What is declared.
    pub to: String,
    /// What of the events that are stored would be deleted by the change, in words; `None` if nothing is.
    pub loses: Option<String>,
}

impl Plan {
    pub(super) fn creates(wanted: &StreamConfig) -> Self {
        let warnings = warnings(wanted, &StreamState::default());
        Self { stream: wanted.name.clone(), step: Step::Create, changes: Vec::new(), warnings }
    }

    /// `consumers` are those of the stream that is there.
    pub(super) fn of(
        there: &StreamInfo,
        wanted: &StreamConfig,
        consumers: &[ConsumerInfo],
    ) -> Self {
        let changes = changes(&there.config, wanted, &there.state);
        let mut warnings = warnings(wanted, &there.state);
        let now = there.ts.unwrap_or_else(SystemTime::now);
        for consumer in consumers {
            warnings.extend(lag::warnings(wanted, &there.state, consumer, now));
        }
        let step = if changes.is_empty() { Step::Keep } else { Step::Update };
        Self { stream: wanted.name.clone(), step, changes, warnings }
    }

    /// Those changes that would delete events.
    pub fn losses(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.loses.is_some())
    }
}

fn changes(from: &StreamConfig, to: &StreamConfig, state: &StreamState) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut compare = |setting, from: String, to: String, loses: Option<String>| {
        if from != to {
            changes.push(Change { setting, from, to, loses });
        }
    };
    compare("subjects", from.subjects.join(" "), to.subjects.join(" "), None);
    compare("storage", storage(from.storage).into(), storage(to.storage).into(), None);
    compare("retention", retention(from.retention).into(), retention(to.retention).into(), None);
    compare("discard", discard(from.discard).into(), discard(to.discard).into(), None);
    let cut = |limit: Option<u64>, there: u64, what: &str| {
        limit
            .filter(|&limit| limit < there)
            .map(|limit| format!("{} of {there} {what}", there - limit))
    };
    let loses = cut(to.max_msgs, state.messages, "events");
    compare("max_msgs", limit(from.max_msgs), limit(to.max_msgs), loses);
    let loses = cut(to.max_bytes, state.bytes, "bytes");
    compare("max_bytes", limit(from.max_bytes), limit(to.max_bytes), loses);
    let is_shorter = !to.max_age.is_zero() && (from.max_age.is_zero() || to.max_age < from.max_age);
    let loses = (is_shorter && state.messages > 0)
        .then(|| format!("those of {} events that are older", state.messages));
    compare("max_age", age(from.max_age), age(to.max_age), loses);
    compare("num_replicas", from.num_replicas.to_string(), to.num_replicas.to_string(), None);
    compare("allow_atomic", from.allow_atomic.to_string(), to.allow_atomic.to_string(), None);
    let (window_from, window_to) = (from.duplicate_window, to.duplicate_window);
    compare("duplicate_window", format!("{window_from:?}"), format!("{window_to:?}"), None);
    changes
}

/// Where the oldest events go to make room, handled or not.
fn warnings(config: &StreamConfig, state: &StreamState) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.discard == Discard::Old {
        let mut warn = |limit: Option<u64>, there: u64, what: &str| {
            // Nine tenths: near enough to say so before it happens.
            if let Some(limit) = limit.filter(|limit| there >= limit - limit / 10) {
                warnings.push(format!(
                    "the stream holds {there} of at most {limit} {what}: the oldest events are deleted as new ones come, handled or not"
                ));
            }
        };
        warn(config.max_msgs, state.messages, "events");
        warn(config.max_bytes, state.bytes, "bytes");
    }
    if !config.max_age.is_zero() {
        warnings.push(format!(
            "events are deleted after {:?}, handled or not: no subscription may be behind by as much",
            config.max_age
        ));
    }
    warnings
}

fn limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string())
}

fn age(age: Duration) -> String {
    if age.is_zero() { "unlimited".into() } else { format!("{age:?}") }
}

fn storage(storage: Storage) -> &'static str {
    match storage {
        Storage::Memory => "memory",
        _ => "file",
    }
}

fn retention(retention: Retention) -> &'static str {
    match retention {
        Retention::Interest => "interest",
        Retention::WorkQueue => "workqueue",
        _ => "limits",
    }
}

fn discard(discard: Discard) -> &'static str {
    match discard {
        Discard::New => "new",
        _ => "old",
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, from, to, loses } = self;
        write!(f, "{setting}: {from} → {to}")?;
        loses.as_ref().map_or(Ok(()), |loses| write!(f, " (deletes {loses})"))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.step {
            Step::Create => "is created",
            Step::Update => "is changed",
            Step::Keep => "stays as it is",
        };
        write!(f, "stream {} {what}", self.stream)?;
        self.changes.iter().try_for_each(|change| write!(f, "\n  {change}"))?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  warning: {warning}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(messages: u64, bytes: u64) -> StreamState {
        let mut state = StreamState::default();
        (state.messages, state.bytes) = (messages, bytes);
        state
    }

    #[test]
    fn what_would_delete_events_says_how_many() {
        let there = || StreamConfig::new("S").subject("s");
        let hour = Duration::from_secs(3600);
        let loses = |from: StreamConfig, to: StreamConfig, state: StreamState| {
            let changes = changes(&from, &to, &state);
            assert_eq!(changes.len(), 1, "{changes:?}");
            changes[0].loses.clone()
        };
        for (from, to, state, expected) in [
            (there(), there().max_msgs(10), state(11, 0), Some("1 of 11 events")),
            (there(), there().max_msgs(10), state(10, 0), None),
            (there().max_msgs(5), there().max_msgs(10), state(5, 0), None),
            (there(), there().max_bytes(10), state(1, 25), Some("15 of 25 bytes")),
            (there(), there().max_age(hour), state(0, 0), None),
            (there(), there().max_age(hour), state(2, 0), Some("those of 2 events that are older")),
            (there().max_age(hour), there().max_age(2 * hour), state(2, 0), None),
            (there().max_age(hour), there(), state(2, 0), None),
            (there(), there().replicas(3), state(9, 9), None),
            (there(), there().subject("t"), state(9, 9), None),
        ] {
            assert_eq!(loses(from, to.clone(), state).as_deref(), expected, "{to:?}");
        }
        assert!(changes(&there(), &there(), &state(9, 9)).is_empty());
    }

    #[test]
    fn a_plan_can_be_read() {
        let plan = Plan {
            stream: "S".into(),
            step: Step::Update,
            changes: changes(
                &StreamConfig::new("S"),
                &StreamConfig::new("S").max_msgs(10),
                &state(11, 0),
            ),
            warnings: warnings(&StreamConfig::new("S").max_msgs(10), &state(11, 0)),
        };
        assert_eq!(
            plan.to_string(),
            "stream S is changed\n  max_msgs: unlimited → 10 (deletes 1 of 11 events)\n  warning: the stream holds 11 of at most 10 events: the oldest events are deleted as new ones come, handled or not"
        );
    }
}
