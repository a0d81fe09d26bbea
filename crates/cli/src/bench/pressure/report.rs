use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Level, Percentiles};

/// The mean of one publish in the Go event bus, in milliseconds: on Kafka, and on NATS. Measured on another machine.
const THEN_MS: [(f64, f64); 4] = [(0.343, 1.570), (0.527, 9.358), (1.317, 45.353), (2.852, 68.444)];
/// Its throughput at the highest level, in events a second: on Kafka, and on NATS.
const THEN_PER_S: (f64, f64) = (995.65, 242.92);

/// What the pressure test found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pressure {
    /// Bytes of payload an event.
    pub size: usize,
    /// The levels, the lowest first.
    pub levels: Vec<Level>,
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "pressure: envelopes of {} bytes over 5 topics; latencies in microseconds",
            self.size
        )?;
        for level in &self.levels {
            let Level { name, events, events_per_s, rss_kb, threads, .. } = level;
            let mib = *rss_kb as f64 / 1024.0;
            writeln!(f)?;
            writeln!(
                f,
                "{name}: {events} events, {events_per_s:.0}/s, {mib:.1} MiB at most, {threads} threads"
            )?;
            writeln!(
                f,
                "  {:<20} {:>10} {:>10} {:>10} {:>10} {:>10}",
                "", "mean", "p50", "p90", "p95", "p99"
            )?;
            for (what, percentiles) in [
                ("send", level.send),
                ("  validate", level.validate),
                ("  encode", level.encode),
                ("  enqueue", level.enqueue),
                ("publish to stored", level.stored),
                ("publish to handled", level.handled),
            ] {
                let Percentiles { p50, p90, p95, p99, mean } = percentiles;
                writeln!(
                    f,
                    "  {what:<20} {mean:>10.2} {p50:>10.2} {p90:>10.2} {p95:>10.2} {p99:>10.2}"
                )?;
            }
        }
        writeln!(f)?;
        writeln!(
            f,
            "beside the figures of the Go event bus, which are of another machine: mean time of one publish"
        )?;
        writeln!(f, "  {:<10} {:>12} {:>12} {:>12}", "", "Go, NATS", "Go, Kafka", "jetlane")?;
        for (level, (kafka, nats)) in self.levels.iter().zip(THEN_MS) {
            let now = level.send.mean / 1e3;
            writeln!(f, "  {:<10} {nats:>9.3} ms {kafka:>9.3} ms {now:>9.5} ms", level.name)?;
        }
        let (kafka, nats) = THEN_PER_S;
        let now = self.levels.last().map_or(0.0, |level| level.events_per_s);
        write!(f, "  {:<10} {nats:>10.2}/s {kafka:>10.2}/s {now:>10.0}/s", "events")
    }
}
