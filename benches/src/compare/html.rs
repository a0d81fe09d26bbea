//! One page with everything on it: no scripts, no fonts, nothing from elsewhere.

use std::fmt;

use super::report::{Report, ReportRow, Summary};
use super::table::{mark, name, reached, speed};
use super::verdict::Verdict;

pub(crate) struct Page<'a>(pub(crate) &'a Report);

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2330; --soft: #667; --paper: #fbfbfd; --line: #dde;
  --raw: #9aa3b5; --async-nats: #d98a3d; --jetlane: #2f6fde; --good: #1a8f4c; --bad: #c4352b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f2; --soft: #99a; --paper: #14171f;
  --line: #2b3040; --raw: #69728a; --async-nats: #c57b32; --jetlane: #5b92f5; --good: #47c07b; --bad: #f0685e; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p.soft, td.soft { color: var(--soft); } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg text.soft { fill: var(--soft); }
.raw { fill: var(--raw); stroke: var(--raw); } .async-nats { fill: var(--async-nats); stroke: var(--async-nats); }
.jetlane { fill: var(--jetlane); stroke: var(--jetlane); }
svg rect { stroke: none; } svg polyline { fill: none; stroke-width: 2; } svg line { stroke: var(--line); }
ul { list-style: none; padding: 0; margin: .5rem 0; } li.good::before { content: '✓ '; color: var(--good); font-weight: 700; }
li.bad::before { content: '✗ '; color: var(--bad); font-weight: 700; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; } td.bad { color: var(--bad); } td.good { color: var(--good); }
";

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { machine, runs, quick, rows } = self.0;
        write!(
            f,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>jetlane beside its peers</title>\
             <style>{STYLE}</style><h1>jetlane beside its peers</h1>"
        )?;
        let Machine { date, cores, cpu, kernel, nats_server, rustc, command } = machine.into();
        write!(
            f,
            "<p class=\"soft\">{date} · {cores} cores, {cpu} · Linux {kernel} · {nats_server} · {rustc} · \
             jetlane {} · medians of {runs}{} · <code>{command}</code></p>",
            escape(&machine.jetlane),
            if *quick { ", quick: to see that it works, not to measure" } else { "" }
        )?;
        write!(
            f,
            "<p>Every client does the same work in a process of its own, in turn with the others, against one server on the \
             same machine. <em>raw</em> is a bare socket that replays bytes encoded before: the limit. CPU is that of the \
             client process, in user space and kernel, a message. Ratios are medians of those of each round.</p>"
        )?;
        verdicts(f, rows)?;
        rows.iter().try_for_each(|row| section(f, row))?;
        write!(f, "</html>")
    }
}

/// What of the machine is shown, safe to show.
struct Machine {
    date: String,
    cores: usize,
    cpu: String,
    kernel: String,
    nats_server: String,
    rustc: String,
    command: String,
}

impl From<&super::machine::Machine> for Machine {
    fn from(machine: &super::machine::Machine) -> Self {
        Self {
            date: escape(&machine.date),
            cores: machine.cores,
            cpu: escape(&machine.cpu),
            kernel: escape(&machine.kernel),
            nats_server: escape(&machine.nats_server),
            rustc: escape(&machine.rustc),
            command: escape(&machine.command),
        }
    }
}

fn verdicts(f: &mut fmt::Formatter<'_>, rows: &[ReportRow]) -> fmt::Result {
    write!(f, "<h2>Targets</h2><table><tr><th>work<th>mode<th>target<th>reached<th>")?;
    for row in rows {
        for verdict in &row.verdicts {
            let Verdict { mode, target, met, must, .. } = verdict;
            write!(
                f,
                "<tr><td>{}<td>{}<td>{}{}<td class=\"number\">{}<td class=\"{}\">{}",
                escape(&row.name),
                escape(mode),
                escape(target),
                if *must { " (must)" } else { "" },
                reached(verdict),
                if *met { "good" } else { "bad" },
                mark(verdict)
            )?;
        }
        for error in &row.errors {
            write!(
                f,
                "<tr><td>{}<td colspan=\"3\">{}<td class=\"bad\">✗",
                escape(&row.name),
                escape(error)
            )?;
        }
    }
    write!(f, "</table>")
}

fn section(f: &mut fmt::Formatter<'_>, row: &ReportRow) -> fmt::Result {
    write!(f, "<h2>{}</h2>", escape(&row.name))?;
    let is_latency = row.results.iter().any(|result| result.p50_us.is_some());
    if is_latency {
        curves(f, row)?;
    } else {
        bars(
            f,
            row,
            "messages a second",
            |result| result.msgs_per_s,
            |result| format!("{}/s", speed(result.msgs_per_s)),
        )?;
    }
    bars(
        f,
        row,
        "CPU a message",
        |result| result.cpu_ns,
        |result| format!("{:.0} ns", result.cpu_ns),
    )?;
    bars(f, row, "memory", |result| result.rss_mib, |result| format!("{:.1} MiB", result.rss_mib))
}

/// One bar a client.
fn bars(
    f: &mut fmt::Formatter<'_>,
    row: &ReportRow,
    title: &str,
    value: fn(&Summary) -> f64,
    text: fn(&Summary) -> String,
) -> fmt::Result {
    let most = row.results.iter().map(value).fold(f64::MIN_POSITIVE, f64::max);
    let height = 24 + 22 * row.results.len();
    write!(
        f,
        "<svg viewBox=\"0 0 800 {height}\" role=\"img\"><text class=\"soft\" x=\"0\" y=\"14\">{title}</text>"
    )?;
    for (at, result) in row.results.iter().enumerate() {
        let (y, width) = (22 + 22 * at, 470.0 * value(result) / most);
        write!(
            f,
            "<text x=\"0\" y=\"{}\">{}</text><rect class=\"{}\" x=\"190\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            y + 13,
            escape(&name(&result.client, &result.label)),
            escape(&result.client),
            196.0 + width,
            y + 13,
            escape(&text(result))
        )?;
    }
    write!(f, "</svg>")
}

/// Latencies at three percentiles, on a scale where each step is ten times the one before.
fn curves(f: &mut fmt::Formatter<'_>, row: &ReportRow) -> fmt::Result {
    let points = |result: &Summary| {
        [result.p50_us, result.p99_us, result.p999_us].map(|us| us.unwrap_or(1.0))
    };
    let all: Vec<_> = row.results.iter().flat_map(points).collect();
    let low = all.iter().copied().fold(f64::MAX, f64::min).log10().floor();
    let high = all.iter().copied().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let y = |us: f64| 34.0 + 186.0 * (high - us.log10()) / (high - low);
    write!(
        f,
        "<svg viewBox=\"0 0 800 250\" role=\"img\"><text class=\"soft\" x=\"0\" y=\"12\">latency, µs</text>"
    )?;
    let mut power = low;
    while power <= high {
        let (value, y) = (10f64.powf(power), y(10f64.powf(power)));
        write!(
            f,
            "<line x1=\"60\" x2=\"620\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"soft\" x=\"0\" y=\"{:.1}\">{value}</text>",
            y + 4.0
        )?;
        power += 1.0;
    }
    let places = [100.0, 340.0, 580.0];
    for (x, title) in places.into_iter().zip(["p50", "p99", "p99.9"]) {
        write!(f, "<text class=\"soft\" x=\"{:.0}\" y=\"242\">{title}</text>", x - 12.0)?;
    }
    for (at, result) in row.results.iter().enumerate() {
        let ours = points(result);
        let line: Vec<_> =
            places.into_iter().zip(ours).map(|(x, us)| format!("{x:.0},{:.1}", y(us))).collect();
        let dash = ["", "6 4", "2 3", "8 3 2 3", "1 4"][at % 5];
        let class = escape(&result.client);
        write!(
            f,
            "<polyline class=\"{class}\" style=\"fill:none\" stroke-dasharray=\"{dash}\" points=\"{}\"/>\
             <line class=\"{class}\" stroke-width=\"2\" style=\"stroke:var(--{class})\" stroke-dasharray=\"{dash}\" x1=\"640\" x2=\"670\" y1=\"{ly}\" y2=\"{ly}\"/>\
             <text x=\"676\" y=\"{}\">{}</text>",
            line.join(" "),
            34 + 20 * at,
            escape(&name(&result.client, &result.label)),
            ly = 30 + 20 * at,
        )?;
    }
    write!(f, "</svg>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_is_taken_for_markup() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
