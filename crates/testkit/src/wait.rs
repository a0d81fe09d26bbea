//! The one way this crate waits for another process.

use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(3);

/// Asks `ready` again and again until it has an answer, or until `limit` has passed.
///
/// The question is asked at least once, also when `limit` is zero.
pub(crate) fn until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ready() {
            return Some(answer);
        }
        if start.elapsed() >= limit {
            return None;
        }
        a_moment();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process that listens, logs or ends gives us no event to wait on"
)]
fn a_moment() {
    std::thread::sleep(MOMENT);
}
