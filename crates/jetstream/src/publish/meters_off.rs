//! What stands in for metrics where they are not built in (without the feature `metrics`): nothing.

use super::Outcome;

#[derive(Clone, Debug)]
pub(super) struct Meters;

impl Meters {
    pub(super) fn new() -> Self {
        Self
    }

    #[inline]
    pub(super) fn published(&self) {}

    #[inline]
    pub(super) fn of(&self, _: &Outcome) -> Ended {
        Ended
    }

    #[inline]
    pub(super) fn unknown(&self, _: u32) {}
}

/// A publish that has perhaps ended.
pub(super) struct Ended;

impl Ended {
    #[inline]
    pub(super) fn count(self) {}
}
