use std::time::{Duration, Instant};

/// When to sweep a pending ring: at even intervals while anything waits in it, and not at all while nothing does.
#[derive(Debug)]
pub struct Ticks {
    every: Duration,
    next: Option<Instant>,
}

impl Ticks {
    /// A tick `every` so often.
    pub fn new(every: Duration) -> Self {
        Self { every, next: None }
    }

    /// The next tick, if `waiting` claims wait at `now`. For [`crate::Sink::next_timeout`].
    pub fn next(&mut self, waiting: u32, now: Instant) -> Option<Instant> {
        self.next = (waiting > 0).then(|| self.next.unwrap_or(now + self.every));
        self.next
    }

    /// A tick has come. They stand on a grid: after a late turn the next one comes sooner, not later.
    pub fn ticked(&mut self, now: Instant) {
        self.next = self.next.map(|tick| (tick + self.every).max(now));
    }

    /// How many ticks a claim survives that is to wait for `timeout`. The first may come at once, so one more than fits.
    pub fn patience(every: Duration, timeout: Duration) -> u32 {
        let ticks = timeout.as_nanos().div_ceil(every.as_nanos().max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX - 1).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_on_a_grid_while_anything_waits() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut ticks = Ticks::new(ms(50));
        assert_eq!(ticks.next(0, start), None);
        assert_eq!(ticks.next(1, start), Some(start + ms(50)));
        assert_eq!(ticks.next(1, start + ms(20)), Some(start + ms(50)));
        ticks.ticked(start + ms(60));
        assert_eq!(ticks.next(1, start + ms(60)), Some(start + ms(100)));
        ticks.ticked(start + ms(500));
        assert_eq!(ticks.next(1, start + ms(500)), Some(start + ms(500)));
        assert_eq!(ticks.next(0, start + ms(500)), None);
    }

    #[test]
    fn patience_covers_the_timeout() {
        for (timeout_ms, expected) in [(0, 1), (1, 2), (50, 2), (51, 3), (5000, 101)] {
            let patience =
                Ticks::patience(Duration::from_millis(50), Duration::from_millis(timeout_ms));
            assert_eq!(patience, expected, "{timeout_ms}");
        }
        assert_eq!(Ticks::patience(Duration::from_millis(50), Duration::MAX), u32::MAX);
    }
}
