//! `jetlane-bench`: jetlane beside its peers and a bare socket.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use jetlane_bench::{client, compare, icount, outbox, overhead};

/// Benchmarks of jetlane.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do the same work with jetlane, async-nats and a bare socket, in turn, and hold the results against the targets.
    Compare(compare::Options),
    /// Count the instructions of each piece, by callgrind.
    Icount,
    /// What the bus costs on top of the layer below it: throughput, CPU, and instructions an event.
    Overhead(overhead::Options),
    /// Events committed to a database and brought to their stream, on SQLite and PostgreSQL.
    Outbox(outbox::Options),
    /// Nothing but handling events that are stored.
    #[command(hide = true)]
    Handle {
        /// Where.
        url: String,
        /// By what.
        layer: overhead::Layer,
        /// How many.
        events: u64,
    },
    /// Nothing but one piece, many times.
    #[command(hide = true)]
    Piece {
        /// Which.
        name: String,
        /// How often.
        times: u64,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("jetlane-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    // Before the command line is read: that alone takes more memory than some clients.
    if let Some(line) = client::run_if_asked()? {
        println!("{}", serde_json::to_string(&line)?);
        return Ok(true);
    }
    match Arguments::parse().command {
        Command::Compare(options) => return compare::run(&options),
        Command::Icount => icount::run()?,
        Command::Overhead(options) => overhead::run(&options)?,
        Command::Outbox(options) => outbox::run(&options)?,
        Command::Handle { url, layer, events } => drop(overhead::handle(&url, layer, events)?),
        Command::Piece { name, times } => icount::piece(&name, times)?,
    }
    Ok(true)
}
