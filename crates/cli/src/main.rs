//! The `jetlane` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jetlane_cli::demo;

/// An event bus on NATS JetStream that keeps the order of every aggregate.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish and handle events of many aggregates at full speed on a real nats-server, and check every one.
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let Command::Demo(options) = Arguments::parse().command;
    match demo::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("jetlane: {error:#}");
            ExitCode::FAILURE
        }
    }
}
