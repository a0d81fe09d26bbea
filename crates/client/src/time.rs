use std::time::{Duration, Instant};

/// Further than any deadline that matters, and well within what the clock can count.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// `wait` after `now`; a wait too long for the clock is a hundred years.
pub fn later(now: Instant, wait: Duration) -> Instant {
    now + wait.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_overflows_the_clock() {
        let now = Instant::now();
        assert_eq!(later(now, Duration::from_secs(1)), now + Duration::from_secs(1));
        assert_eq!(later(now, Duration::MAX), now + FAR);
    }
}
