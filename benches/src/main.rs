//! `jetlane-bench`: jetlane beside its peers and a bare socket.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use jetlane_bench::{async_nats_client, compare, icount, raw};
use jetlane_cli::bench::{self, Line, Options};

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
    /// One run of a bare socket.
    #[command(hide = true)]
    Raw(Options),
    /// One run of async-nats.
    #[command(hide = true)]
    AsyncNats(Options),
    /// One run of jetlane.
    #[command(hide = true)]
    Jetlane(Options),
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
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("jetlane-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<bool> {
    match command {
        Command::Compare(options) => return compare::run(&options),
        Command::Icount => icount::run()?,
        Command::Raw(options) => print(&raw::run(&options)?)?,
        Command::AsyncNats(options) => print(&async_nats_client::run(&options)?)?,
        Command::Jetlane(options) => print(&bench::run(&options)?)?,
        Command::Piece { name, times } => icount::piece(&name, times)?,
    }
    Ok(true)
}

fn print(line: &Line) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}
