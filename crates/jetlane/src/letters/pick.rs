use std::time::SystemTime;

use super::{Letter, LetterKind};

/// Which letters: those that all that was said holds for. See [`crate::Letters`].
///
/// ```
/// use jetlane::{LetterKind, Pick};
/// let pick = Pick::all().subscription("billing").reason("timeout").kind(LetterKind::Dead);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it only says which"]
pub struct Pick {
    kind: Option<LetterKind>,
    subscription: Option<String>,
    key: Option<String>,
    reason: Option<String>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    sequence: Option<u64>,
}

impl Pick {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// Of this kind.
    pub fn kind(mut self, kind: LetterKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Of this subscription.
    pub fn subscription(mut self, name: impl Into<String>) -> Self {
        self.subscription = Some(name.into());
        self
    }

    /// Of this aggregate.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this text in the reason.
    pub fn reason(mut self, text: impl Into<String>) -> Self {
        self.reason = Some(text.into());
        self
    }

    /// Written at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Written before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// The one at this place in the stream of letters.
    pub fn sequence(mut self, sequence: u64) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// Whether this is one of them.
    pub fn takes(&self, letter: &Letter) -> bool {
        let Self { kind, subscription, key, reason, since, until, sequence } = self;
        kind.is_none_or(|kind| kind == letter.kind)
            && subscription.as_ref().is_none_or(|name| *name == letter.subscription)
            && key.as_ref().is_none_or(|key| Some(key) == letter.key.as_ref())
            && reason.as_ref().is_none_or(|text| letter.reason.contains(text))
            && since.is_none_or(|time| letter.time >= time)
            && until.is_none_or(|time| letter.time < time)
            && sequence.is_none_or(|sequence| sequence == letter.sequence)
    }
}
