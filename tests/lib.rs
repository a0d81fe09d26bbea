//! Shared pieces of the integration tests.

pub mod stream;

use std::time::{Duration, Instant};

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Looks until `look` gives something, for [`DEADLINE`] at most. For what has no event to wait on.
///
/// # Panics
/// When the deadline passes.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "this never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// The example in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
