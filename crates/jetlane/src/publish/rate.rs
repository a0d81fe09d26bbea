use std::time::{Duration, Instant};

/// The part of a token that the bucket counts in: so a rate of so many tokens a second is as many parts a nanosecond, and nothing
/// is ever rounded.
const TOKEN: u128 = 1_000_000_000;

/// How many events a publisher publishes in a second at most: see [`crate::PublisherBuilder::rate`].
///
/// ```
/// use jetlane::Rate;
/// let rate = Rate::per_second(5_000).burst(100);
/// # let _ = rate;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// `1 <= per_second`
    per_second: u32,
    /// `1 <= burst`
    burst: u32,
}

impl Rate {
    /// So many in a second, at least 1, evenly.
    #[must_use]
    pub fn per_second(events: u32) -> Self {
        Self { per_second: events.max(1), burst: (events / 100).max(1) }
    }

    /// So many at once, at least 1, after a pause in which they were saved up. Default: those of ten milliseconds, at least 1; with
    /// fewer, a thread that the system wakes a little late would publish less than the rate.
    #[must_use]
    pub fn burst(mut self, events: u32) -> Self {
        self.burst = events.max(1);
        self
    }
}

/// A bucket of tokens that fills at an even pace. Whoever takes a token may do one thing. Time is passed in.
#[derive(Debug)]
pub(super) struct TokenBucket {
    /// Parts of a token a nanosecond.
    rate: u128,
    /// In parts. `credit <= most`
    credit: u128,
    most: u128,
    /// When `credit` was right.
    at: Instant,
}

impl TokenBucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let most = u128::from(rate.burst) * TOKEN;
        Self { rate: rate.per_second.into(), credit: most, most, at: now }
    }

    /// When there is a token: at `now`, if there is one already.
    pub(super) fn ready(&mut self, now: Instant) -> Instant {
        let passed = now.saturating_duration_since(self.at);
        self.credit = self.most.min(self.credit + passed.as_nanos() * self.rate);
        self.at = self.at.max(now);
        let missing = TOKEN.saturating_sub(self.credit).div_ceil(self.rate);
        // A whole token takes a second at most.
        now + Duration::from_nanos(u64::try_from(missing).unwrap_or(u64::MAX))
    }

    /// Takes a token that is there: see [`TokenBucket::ready`].
    pub(super) fn take(&mut self) {
        self.credit = self.credit.saturating_sub(TOKEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many tokens can be taken by somebody who takes all there are, looking every `step` for `time`.
    fn taken(rate: Rate, time: Duration, step: Duration) -> u64 {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(rate, start);
        let (mut now, mut taken) = (start, 0);
        while now <= start + time {
            while bucket.ready(now) <= now {
                bucket.take();
                taken += 1;
            }
            now += step;
        }
        taken
    }

    #[test]
    fn nothing_drifts_however_often_it_is_looked() {
        let (second, ms, us) =
            (Duration::from_secs(1), Duration::from_millis(1), Duration::from_micros(1));
        for (rate, time, step, expected) in [
            // What is saved up at the start, and then as many a second.
            (Rate::per_second(1000), second, ms, 10 + 1000),
            (Rate::per_second(1000).burst(1), second, ms, 1 + 1000),
            (Rate::per_second(1000).burst(100), second, ms, 100 + 1000),
            (Rate::per_second(3).burst(2), 1000 * second, 7 * ms, 2 + 3000),
            (Rate::per_second(3).burst(2), 99 * second, 333 * us, 2 + 297),
            (Rate::per_second(7), 5 * second, us, 1 + 35),
            // Who looks seldom gets no more than a burst at a time.
            (Rate::per_second(1000).burst(5), 10 * second, second, 11 * 5),
            (Rate::per_second(0).burst(0), 10 * second, ms, 1 + 10),
        ] {
            let taken = taken(rate, time, step);
            // The last one may come with the next look.
            assert!(taken == expected || taken + 1 == expected, "{rate:?}: {taken}, {expected}");
        }
    }

    #[test]
    fn it_says_when_the_next_token_comes() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Rate::per_second(4).burst(2), start);
        for expected_ms in [0, 0, 250] {
            assert_eq!(bucket.ready(start), start + Duration::from_millis(expected_ms));
            bucket.take();
        }
        let mut bucket = TokenBucket::new(Rate::per_second(4), start);
        bucket.take();
        for (at_ms, expected_ms) in [(100, 250), (249, 250), (250, 250), (400, 400)] {
            let at = start + Duration::from_millis(at_ms);
            assert_eq!(bucket.ready(at), start + Duration::from_millis(expected_ms), "{at_ms}");
        }
        // A clock that goes back gives nothing away.
        bucket.take();
        assert_eq!(bucket.ready(start), start + Duration::from_millis(250));
    }
}
