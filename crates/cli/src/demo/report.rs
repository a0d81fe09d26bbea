//! What the demo found, for people and for programs.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// A distribution of times.
#[derive(Clone)]
pub(super) struct Latency {
    /// In nanoseconds, to three digits; what is above a minute counts as a minute.
    histogram: Histogram<u64>,
}

impl Latency {
    pub(super) fn new() -> Self {
        let minute_ns = 60_000_000_000;
        let histogram = Histogram::new_with_bounds(1, minute_ns, 3);
        Self { histogram: histogram.unwrap_or_else(|_| unreachable!("the bounds are in order")) }
    }

    pub(super) fn record_ns(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
    }

    pub(super) fn p50_us(&self) -> f64 {
        self.quantile_us(0.5)
    }

    pub(super) fn p99_us(&self) -> f64 {
        self.quantile_us(0.99)
    }

    fn quantile_us(&self, quantile: f64) -> f64 {
        // A hundredth of a microsecond is more than the clock can tell.
        (self.histogram.value_at_quantile(quantile) as f64 / 10.0).round() / 100.0
    }
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) published: u64,
    pub(super) stored: u64,
    pub(super) handled: u64,
    pub(super) duplicates: u64,
    pub(super) lost: u64,
    pub(super) out_of_order: u64,
    pub(super) publish_per_s: f64,
    pub(super) end_to_end_per_s: f64,
    pub(super) publish_call_p50_us: f64,
    pub(super) publish_call_p99_us: f64,
    pub(super) stored_p50_us: f64,
    pub(super) stored_p99_us: f64,
    pub(super) handled_p50_us: f64,
    pub(super) handled_p99_us: f64,
    pub(super) threads: u64,
    pub(super) peak_rss_kb: u64,
}

impl Report {
    fn verdict(&self) -> &'static str {
        match (self.is_good(), self.duplicates) {
            (false, _) => "SOMETHING IS WRONG: see lost and out of order",
            (true, 0) => "every event stored once, handled once, in the order of its aggregate",
            // At least once is what is promised: a lost connection can lose acks.
            (true, _) => {
                "every event stored once and handled in the order of its aggregate, some of them again"
            }
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.verdict())?;
        for (name, count) in [
            ("published", self.published),
            ("stored", self.stored),
            ("handled", self.handled),
            ("duplicates", self.duplicates),
            ("lost", self.lost),
            ("out of order", self.out_of_order),
        ] {
            writeln!(f, "  {name:<22}{:>14}", grouped(count))?;
        }
        writeln!(f)?;
        for (name, rate) in [
            ("published and stored", self.publish_per_s),
            ("published to handled", self.end_to_end_per_s),
        ] {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            let rate = grouped(rate.round() as u64);
            writeln!(f, "  {name:<22}{rate:>14} events/s")?;
        }
        writeln!(f, "\n  {:<22}{:>14}{:>14}", "", "p50", "p99")?;
        for (name, p50, p99) in [
            ("publish call", self.publish_call_p50_us, self.publish_call_p99_us),
            ("publish to stored", self.stored_p50_us, self.stored_p99_us),
            ("publish to handled", self.handled_p50_us, self.handled_p99_us),
        ] {
            writeln!(f, "  {name:<22}{:>14}{:>14}", duration(p50), duration(p99))?;
        }
        writeln!(f, "\n  {:<22}{:>14}", "threads", self.threads)?;
        write!(
            f,
            "  {:<22}{:>14}",
            "peak memory",
            format!("{:.1} MiB", self.peak_rss_kb as f64 / 1024.0)
        )
    }
}

/// `1234567` as `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn duration(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.1} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_claims_no_more_than_was_seen() {
        for (lost, out_of_order, duplicates, expected, good) in [
            (0, 0, 0, "handled once,", true),
            (0, 0, 1, "some of them again", true),
            (1, 0, 0, "SOMETHING IS WRONG", false),
            (0, 1, 0, "SOMETHING IS WRONG", false),
            (1, 0, 1, "SOMETHING IS WRONG", false),
        ] {
            let report = Report { lost, out_of_order, duplicates, ..Report::default() };
            assert!(report.to_string().contains(expected), "{report}");
            assert_eq!(report.is_good(), good);
        }
    }

    #[test]
    fn numbers_are_for_people() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")]
        {
            assert_eq!(grouped(number), expected);
        }
        for (us, expected) in
            [(0.25, "0.2 µs"), (999.0, "999.0 µs"), (1500.0, "1.50 ms"), (2e6, "2.00 s")]
        {
            assert_eq!(duration(us), expected);
        }
    }
}
