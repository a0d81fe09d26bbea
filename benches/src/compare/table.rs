use std::fmt;

use super::report::{Report, ReportRow, Summary};
use super::verdict::Verdict;

/// The report for a terminal.
pub(crate) struct Table<'a>(pub(crate) &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { machine, runs, rows, .. } = self.0;
        writeln!(
            f,
            "\n{} · {} × {} · Linux {}",
            machine.date, machine.cores, machine.cpu, machine.kernel
        )?;
        writeln!(f, "{} · {} · medians of {runs}", machine.nats_server, machine.rustc)?;
        rows.iter().try_for_each(|row| write_row(f, row))
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &ReportRow) -> fmt::Result {
    writeln!(f, "\n{}", row.name)?;
    for Summary {
        client,
        label,
        msgs_per_s,
        cpu_ns,
        rss_mib,
        mean_us,
        p50_us,
        p99_us,
        p999_us,
        ..
    } in &row.results
    {
        let name = name(client, label);
        write!(f, "  {name:24} {:>11} /s {cpu_ns:>9.0} ns {rss_mib:>6.1} MiB", speed(*msgs_per_s))?;
        if let (Some(mean), Some(p50), Some(p99), Some(p999)) = (mean_us, p50_us, p99_us, p999_us) {
            write!(f, "   mean {mean:.1} p50 {p50:.1} p99 {p99:.1} p99.9 {p999:.1} µs")?;
        }
        writeln!(f)?;
    }
    for verdict in &row.verdicts {
        let Verdict { mode, target, must, .. } = verdict;
        let kind = if *must { "must" } else { "goal" };
        writeln!(f, "    {} {kind} {mode}: {target}: {}", mark(verdict), reached(verdict))?;
    }
    row.errors.iter().try_for_each(|error| writeln!(f, "    ✗ failed: {error}"))
}

/// The client with its mode, if it has one.
pub(crate) fn name(client: &str, label: &str) -> String {
    if label.starts_with(client) { label.into() } else { format!("{client}, {label}") }
}

pub(crate) fn mark(verdict: &Verdict) -> char {
    if verdict.met { '✓' } else { '✗' }
}

pub(crate) fn reached(verdict: &Verdict) -> String {
    verdict.reached.map_or_else(|| "not measured".into(), |reached| format!("{reached:.2}"))
}

/// Messages a second, short.
pub(crate) fn speed(per_s: f64) -> String {
    match per_s {
        1e6.. => format!("{:.2} M", per_s / 1e6),
        1e4.. => format!("{:.0} k", per_s / 1e3),
        _ => format!("{per_s:.0}"),
    }
}
