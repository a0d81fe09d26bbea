//! `pressure`: the test by which the Go event bus was measured. Envelopes over five topics at four levels, and beside each figure
//! what was measured then.

mod level;
mod report;

use std::num::NonZeroUsize;

use anyhow::{Context, Result};
use jetlane::jetstream::{JetStream, Storage};
use jetlane::{EventBus, Strategy};
use jetlane_testkit::Server;
use serde::{Deserialize, Serialize};

use super::setup::Setup;
use super::{Options, StoreIn};

pub use report::Pressure;

/// How many envelopes there are at each level, and what the level was called.
const LEVELS: [(&str, u64); 4] =
    [("low", 500), ("medium", 2_000), ("high", 5_000), ("extreme", 10_000)];
const TOPICS: [&str; 5] = ["order", "payment", "audit", "user", "stock"];
const STREAM: &str = "JETLANE_PRESSURE";
const PREFIX: &str = "jetlane.pressure";

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 95 of a hundred.
    pub p95: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// On average.
    pub mean: f64,
}

/// What was measured at one level.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Level {
    /// What it was called.
    pub name: String,
    /// Envelopes.
    pub events: u64,
    /// The whole call of publishing, as it was measured then.
    pub send: Percentiles,
    /// Of it: checking the envelope.
    pub validate: Percentiles,
    /// Of it: writing its headers.
    pub encode: Percentiles,
    /// Of it: into the write queue, and waking the reactor if it sleeps.
    pub enqueue: Percentiles,
    /// From the call to the ack of the stream.
    pub stored: Percentiles,
    /// From the call to the handler.
    pub handled: Percentiles,
    /// Events a second, from the first call to the last event handled.
    pub events_per_s: f64,
    /// Peak of resident memory, in KiB, of the whole process so far.
    pub rss_kb: u64,
    /// Threads of the process.
    pub threads: u64,
}

/// Runs all levels.
///
/// # Errors
/// If the server can not do it, or something got lost.
pub fn run(options: &Options) -> Result<Pressure> {
    options.check()?;
    let server = match &options.common.url {
        Some(_) => None,
        None => Some(Server::start().context("no nats-server could be started")?),
    };
    let url = server.as_ref().map(Server::url).or_else(|| options.common.url.clone());
    let setup = Setup::new(options.clone(), url.unwrap_or_default(), Default::default());
    let levels = LEVELS.iter().map(|(name, events)| measure(&setup, name, *events));
    let levels = levels.collect::<Result<_>>()?;
    Ok(Pressure { size: options.common.size, levels })
}

/// Each level has a connection and a stream of its own, as then.
fn measure(setup: &Setup, name: &str, events: u64) -> Result<Level> {
    let js = JetStream::new(setup.connect()?)?;
    // Not there, unless a run was broken off.
    let _ = js.delete_stream(STREAM).wait();
    let bus = EventBus::on(js.clone());
    let storage = match setup.common().storage {
        StoreIn::Memory => Storage::Memory,
        StoreIn::File => Storage::File,
    };
    let topic = format!("{PREFIX}.*");
    bus.topic(&topic).stream(STREAM).storage(storage).ensure(Strategy::CreateOnly)?;
    let lanes = NonZeroUsize::new(setup.common().threads).unwrap_or(NonZeroUsize::MIN);
    let measured = level::run(&bus, setup.common().size, lanes, events);
    js.delete_stream(STREAM).wait()?;
    Ok(Level { name: name.into(), ..measured? })
}
