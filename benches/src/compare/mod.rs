//! `compare`: the table of targets, with every client in turn.

mod child;
mod html;
mod machine;
mod report;
mod rows;
mod table;
mod verdict;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use jetlane_testkit::Server;

use crate::stage::Stage;
use child::Run;
use report::{Measured, Report};
use rows::Row;

/// What to compare.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Only rows whose names have one of these words in them.
    #[arg(long, num_args = 1..)]
    pub rows: Vec<String>,
    /// Runs of each client in each row; what counts is the median.
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// A tenth of the messages: to see that all works, not to measure.
    #[arg(long)]
    pub quick: bool,
    /// Where report.json and report.html go.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
}

/// Runs all rows, prints the table, and writes the report. True if nothing failed and all targets that must be met are.
///
/// # Errors
/// If there is no server, or the report can not be written. A run that fails is part of the report.
pub fn run(options: &Options) -> Result<bool> {
    ensure!(options.runs > 0, "--runs must be at least 1");
    let wanted = |row: &Row| {
        options.rows.is_empty() || options.rows.iter().any(|word| row.name.contains(word.as_str()))
    };
    let rows: Vec<_> = rows::all().into_iter().filter(wanted).collect();
    ensure!(!rows.is_empty(), "no row has one of {:?} in its name", options.rows);
    let server = Server::builder().config("max_payload: 8MB").start();
    let server = server.context("no nats-server could be started")?;
    let stage = Stage::new(&server.url())?;
    let mut measured = Vec::new();
    for row in rows {
        eprintln!("{}", row.name);
        measured.push(measure(&row, options, &server.url(), &stage));
    }
    stage.no_stream();
    let report = Report::new(measured, options)?;
    print!("{}", table::Table(&report));
    report.write(&options.out)?;
    eprintln!("\nreport: {}", options.out.join("report.html").display());
    Ok(report.is_good())
}

/// All clients in turn, and that again and again: what drifts drifts for all.
fn measure(row: &Row, options: &Options, url: &str, stage: &Stage) -> Measured {
    let mut measured = Measured::new(row.clone());
    for round in 0..options.runs {
        for (index, contender) in row.contenders.iter().enumerate() {
            let run = Run { row, contender, url, stage, quick: options.quick };
            match run.perform() {
                Ok(line) => {
                    eprintln!(
                        "  {} {}: {:.3} M/s, {:.0} ns",
                        round + 1,
                        contender.label,
                        line.msgs_per_s / 1e6,
                        line.user_ns + line.sys_ns
                    );
                    measured.lines[index].push(line);
                }
                Err(error) => {
                    eprintln!("  {} {}: failed: {error:#}", round + 1, contender.label);
                    measured.errors.push(format!("{}: {error:#}", contender.label));
                }
            }
        }
    }
    measured
}
