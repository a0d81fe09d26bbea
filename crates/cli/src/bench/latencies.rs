use std::time::Duration;

use hdrhistogram::Histogram;

use super::Line;

/// How long operations took, to three digits.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// In nanoseconds.
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// None yet.
    ///
    /// # Panics
    /// Never: the bounds are sound.
    pub fn new() -> Self {
        let minute = u64::try_from(Duration::from_secs(60).as_nanos()).unwrap_or(u64::MAX);
        let histogram = Histogram::new_with_bounds(1, minute, 3).expect("the bounds are sound");
        Self { histogram }
    }

    /// One took this long. More than a minute counts as a minute.
    #[inline]
    pub fn record(&mut self, latency: Duration) {
        self.histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Those of `other`, too.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so nothing can be out of them.
        let _ = self.histogram.add(&other.histogram);
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// So many of a hundred took no longer than this, in microseconds.
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        self.histogram.value_at_percentile(percentile) as f64 / 1e3
    }

    /// How long they took on average, in microseconds.
    pub fn mean_us(&self) -> f64 {
        self.histogram.mean() / 1e3
    }

    /// Writes them into a line.
    pub fn write_to(&self, line: &mut Line) {
        line.p50_us = Some(self.percentile_us(50.0));
        line.p99_us = Some(self.percentile_us(99.0));
        line.p999_us = Some(self.percentile_us(99.9));
        line.mean_us = Some(self.mean_us());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        let mut more = Latencies::new();
        more.record(Duration::from_secs(3600));
        latencies.add(&more);
        assert_eq!(latencies.count(), 1001);
        for (percentile, expected) in [(50.0, 500.0), (99.0, 990.0), (100.0, 60e6)] {
            let seen = latencies.percentile_us(percentile);
            assert!((seen / expected - 1.0).abs() < 0.003, "{percentile}: {seen}");
        }
    }
}
