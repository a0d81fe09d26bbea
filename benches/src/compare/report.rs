//! Everything that was measured.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jetlane_cli::bench::Line;
use serde::Serialize;

use super::machine::Machine;
use super::rows::Row;
use super::verdict::{Verdict, cpu, median};
use super::{Options, html};
use crate::client::Client;

/// All runs of one row.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    /// By contender, then by round.
    pub(crate) lines: Vec<Vec<Line>>,
    pub(crate) errors: Vec<String>,
}

impl Measured {
    pub(crate) fn new(row: Row) -> Self {
        let lines = vec![Vec::new(); row.contenders.len()];
        Self { row, lines, errors: Vec::new() }
    }

    pub(crate) fn lines_of(&self, label: &str) -> Option<&[Line]> {
        let at = self.row.contenders.iter().position(|contender| contender.label == label)?;
        Some(&self.lines[at])
    }

    pub(crate) fn lines_of_who(&self, who: Client) -> Option<&[Line]> {
        let at = self.row.contenders.iter().position(|contender| contender.who == who)?;
        Some(&self.lines[at])
    }
}

/// What goes into report.json.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) runs: usize,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<ReportRow>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportRow {
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) results: Vec<Summary>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) errors: Vec<String>,
}

/// The medians of one contender, and what they are of.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) client: String,
    pub(crate) label: String,
    pub(crate) msgs_per_s: f64,
    pub(crate) cpu_ns: f64,
    pub(crate) mean_us: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) rss_mib: f64,
    pub(crate) lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(measured: Vec<Measured>, options: &Options) -> Result<Self> {
        let rows = measured.into_iter().map(ReportRow::new).collect();
        let Options { runs, quick, .. } = *options;
        Ok(Self { machine: Machine::look()?, runs, quick, rows })
    }

    /// Whether nothing failed, and all that must be reached is.
    pub(crate) fn is_good(&self) -> bool {
        let is_good = |row: &ReportRow| {
            row.errors.is_empty() && row.verdicts.iter().all(|verdict| verdict.met || !verdict.must)
        };
        self.rows.iter().all(is_good)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let json = serde_json::to_string_pretty(self)?;
        for (name, text) in [("report.json", json), ("report.html", html::Page(self).to_string())] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

impl ReportRow {
    fn new(measured: Measured) -> Self {
        let verdicts =
            measured.row.checks.iter().map(|check| Verdict::of(check, &measured)).collect();
        let Measured { row, lines, errors } = measured;
        let results = row
            .contenders
            .iter()
            .zip(lines)
            .filter_map(|(contender, lines)| {
                Summary::new(contender.who.name(), contender.label, lines)
            })
            .collect();
        Self { name: row.name.into(), size: row.size, results, verdicts, errors }
    }
}

impl Summary {
    fn new(client: &str, label: &str, lines: Vec<Line>) -> Option<Self> {
        let of =
            |figure: fn(&Line) -> Option<f64>| median(lines.iter().filter_map(figure).collect());
        Some(Self {
            client: client.into(),
            label: label.into(),
            msgs_per_s: of(|line| Some(line.msgs_per_s))?,
            cpu_ns: of(|line| Some(cpu(line)))?,
            mean_us: of(|line| line.mean_us),
            p50_us: of(|line| line.p50_us),
            p99_us: of(|line| line.p99_us),
            p999_us: of(|line| line.p999_us),
            rss_mib: of(|line| Some(line.rss_kb as f64 / 1024.0))?,
            lines,
        })
    }
}
