use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::shared::Shared;
use crate::stats::Counters;

/// Keeps the panics of callbacks from ending the reactor, and counts them in [`crate::Stats::callback_panics`]. For sinks
/// that call what is not theirs ([`crate::Client::containment`]); it does not keep the connection open.
#[derive(Clone, Debug)]
pub struct Containment {
    shared: Arc<Shared>,
}

impl Containment {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Calls `callback`. `None` if it panicked; it may be called again: what it left behind is its own business.
    #[inline]
    pub fn call<R>(&self, callback: impl FnOnce() -> R) -> Option<R> {
        contain(&self.shared.counters, callback)
    }
}

/// Calls `callback`, and counts its panic.
#[inline]
pub(crate) fn contain<R>(counters: &Counters, callback: impl FnOnce() -> R) -> Option<R> {
    match std::panic::catch_unwind(AssertUnwindSafe(callback)) {
        Ok(result) => Some(result),
        Err(_) => {
            counters.callback_panics.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}
