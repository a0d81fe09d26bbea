//! The `jetlane` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use jetlane_cli::{bench, demo, dlq, outbox};

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
    /// Measure what jetlane does on a real nats-server: throughput, CPU, latency.
    Bench(bench::Options),
    /// Look at dead letters and parked events, and redrive them.
    Dlq(dlq::Options),
    /// Look at the outbox of a service in its database, and mend it.
    Outbox(outbox::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => benchmark(&options).map(|()| true),
        Command::Dlq(options) => dlq::run(&options).map(|()| true),
        Command::Outbox(options) => outbox::run(&options).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("jetlane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn benchmark(options: &bench::Options) -> Result<()> {
    if options.work == bench::Work::Pressure {
        let pressure = bench::pressure::run(options)?;
        match options.common.json {
            true => println!("{}", serde_json::to_string(&pressure)?),
            false => println!("{pressure}"),
        }
        return Ok(());
    }
    let line = bench::run(options)?;
    if options.common.json {
        println!("{}", serde_json::to_string(&line)?);
    } else {
        println!("{}", bench::Summary { options, line: &line });
    }
    Ok(())
}
