//! What stands in for metrics where they are not built in (without the feature `metrics`): nothing.

#[derive(Debug)]
pub(crate) struct Meters;

/// A handler that runs.
pub(crate) struct Handling;

impl Meters {
    pub(crate) fn new(_: &str) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn begin(&self, _: Option<u64>) -> Handling {
        Handling
    }

    #[inline]
    pub(crate) fn took(&self) {}

    #[inline]
    pub(crate) fn settled(&self) {}

    pub(crate) fn ended(&self, _: usize) {}
}
