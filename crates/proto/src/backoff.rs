use core::time::Duration;

/// How long to wait before an attempt: hardly before the first, then doubling from `first` to `most`, with jitter, so that the clients
/// of a server that comes back do not all come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the second attempt. The first comes before so much time has passed.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Default for Backoff {
    /// 50 ms, doubling up to 2 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(50), most: Duration::from_secs(2) }
    }
}

impl Backoff {
    /// The wait before attempt number `attempt` (from 0). `random` spreads it evenly over the upper half: a wait
    /// of `w` becomes something between `w / 2` and `w`; that before the first attempt, over all of `first`.
    pub fn delay(&self, attempt: u32, random: u32) -> Duration {
        let part = f64::from(random) / f64::from(u32::MAX);
        let Some(doublings) = attempt.checked_sub(1) else { return self.first.mul_f64(part) };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let wait = self.first.saturating_mul(factor).min(self.most);
        let half = wait / 2;
        half + half.mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_most_with_jitter_in_the_upper_half() {
        let backoff = Backoff::default();
        for (attempt, random, expected_ms) in [
            (0, 0, 0),
            (0, u32::MAX, 50),
            (1, 0, 25),
            (1, u32::MAX, 50),
            (2, u32::MAX, 100),
            (6, u32::MAX, 1600),
            (7, u32::MAX, 2000),
            (7, 0, 1000),
            (40, u32::MAX, 2000),
            (u32::MAX, u32::MAX, 2000),
        ] {
            let delay = backoff.delay(attempt, random);
            assert_eq!(delay.as_millis(), expected_ms, "attempt {attempt}, random {random}");
        }
    }
}
