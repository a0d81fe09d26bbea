//! What stands in for spans where they are not built in (without the feature `tracing`): nothing.

use crate::{Envelope, RawEvent};

/// A span that was entered.
pub(crate) struct Entered;

#[inline]
pub(crate) fn enter(_: &str, _: &RawEvent<'_>, _: &Envelope) -> Entered {
    Entered
}

#[inline]
pub(crate) fn enter_raw(_: &str, _: &RawEvent<'_>) -> Entered {
    Entered
}
