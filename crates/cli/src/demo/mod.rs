//! `jetlane demo`: the main job, end to end, on a real nats-server, with every event checked.

mod check;
mod publish;
mod report;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use jetlane::{Envelope, EventBus, Settlement, Strategy};
use jetlane_testkit::Server;

use check::Checker;
use publish::{Clock, Published};
use report::Report;

use crate::progress::Progress;

/// An event carries at least its key, its counter and its time.
const LEAST_PAYLOAD: usize = 24;

/// When nothing was handled for so long, what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the demo does.
#[derive(Debug, Args)]
pub struct Options {
    /// Events to publish.
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Bytes of payload an event.
    #[arg(long, default_value_t = 256)]
    payload: usize,
    /// Aggregates to spread the events over, each with a counter of its own.
    #[arg(long, default_value_t = 1000)]
    keys: u64,
    /// Lanes that handle events [default: one a core].
    #[arg(long)]
    lanes: Option<NonZeroUsize>,
    /// How handled events are acknowledged. The demo is the only process of its subscription, so the watermark is safe,
    /// and takes less of the server.
    #[arg(long, value_enum, default_value_t = AckBy::Watermark)]
    settlement: AckBy,
    /// A running server with JetStream; without it a nats-server is found or fetched, and started for the demo.
    #[arg(long)]
    url: Option<String>,
    /// Print one JSON object instead of the summary.
    #[arg(long)]
    json: bool,
    /// Show no progress bar.
    #[arg(long)]
    no_progress: bool,
}

/// See `jetlane::Settlement`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AckBy {
    /// An ack an event.
    Each,
    /// One ack for all events up to the lowest that is not yet handled.
    Watermark,
}

impl From<AckBy> for Settlement {
    fn from(by: AckBy) -> Self {
        match by {
            AckBy::Each => Self::Each,
            AckBy::Watermark => Self::Watermark,
        }
    }
}

/// Runs the demo. True if nothing was lost and nothing out of order; duplicates may come of a lost connection.
pub fn run(options: &Options) -> Result<bool> {
    ensure!(options.keys > 0, "--keys must be at least 1");
    ensure!(
        options.payload >= LEAST_PAYLOAD,
        "--payload must be at least {LEAST_PAYLOAD}: an event carries its key, its counter and its time"
    );
    // Dropped, and so stopped, when the demo ends: also by a panic.
    let server = match &options.url {
        Some(_) => None,
        None => Some(Server::start().context("no nats-server could be started")?),
    };
    let url = match (&options.url, &server) {
        (Some(url), _) => url.clone(),
        (None, Some(server)) => server.url(),
        (None, None) => unreachable!("without a URL a server was started"),
    };
    let report = run_on(&url, options)?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(report.is_good())
}

fn run_on(url: &str, options: &Options) -> Result<Report> {
    let bus = EventBus::connect(url)?;
    // A stream of its own, so that the demo can run twice at once, and on a server that is used for other things.
    let id = format!("{:08x}", fastrand::u32(..));
    let (topic, stream) = (format!("jetlane.demo.{id}"), format!("JETLANE_DEMO_{id}"));
    bus.topic(&topic).stream(&stream).ensure(Strategy::CreateOnly)?;
    let measured = measure(&bus, &topic, options);
    let deleted = bus.jetstream().delete_stream(&stream).wait();
    let report = measured?;
    deleted.context("the demo's stream could not be deleted")?;
    bus.client().close(Duration::from_secs(5))?;
    Ok(report)
}

fn measure(bus: &EventBus, topic: &str, options: &Options) -> Result<Report> {
    let clock = Clock::start();
    let checker = Arc::new(Checker::new(options.keys, clock));
    let subscribe = bus.subscribe("demo").settlement(options.settlement.into()).on(topic, {
        let checker = Arc::clone(&checker);
        move |event: &Envelope| checker.handle(event)
    });
    let subscribe = match options.lanes {
        Some(lanes) => subscribe.lanes(lanes),
        None => subscribe,
    };
    let subscription = subscribe.start()?;
    let quiet = options.json || options.no_progress;
    let progress = Progress::new(options.messages, "events handled", quiet);

    let started = Instant::now();
    let Published { published, stored, publish_time, threads, call, until_stored } =
        publish::publish(bus, topic, options, clock, &|| progress.show(checker.handled()))?;
    wait_for_handlers(&checker, stored, &progress);
    let end_to_end = started.elapsed();
    progress.finish();
    subscription.stop(Duration::from_secs(10))?;

    let checked = checker.result();
    let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    Ok(Report {
        published,
        stored,
        handled: checked.handled,
        duplicates: checked.duplicates,
        lost: published - checked.handled.min(published),
        out_of_order: checked.out_of_order,
        publish_per_s: per_second(stored, publish_time),
        end_to_end_per_s: per_second(checked.handled, end_to_end),
        publish_call_p50_us: call.p50_us(),
        publish_call_p99_us: call.p99_us(),
        stored_p50_us: until_stored.p50_us(),
        stored_p99_us: until_stored.p99_us(),
        handled_p50_us: checked.latency.p50_us(),
        handled_p99_us: checked.latency.p99_us(),
        threads,
        peak_rss_kb: crate::process::peak_rss_kb(),
    })
}

fn wait_for_handlers(checker: &Checker, stored: u64, progress: &Progress) {
    let mut last = (checker.handled(), Instant::now());
    while checker.handled() < stored && last.1.elapsed() < PATIENCE {
        thread::park_timeout(Duration::from_millis(1));
        progress.show(checker.handled());
        if checker.handled() > last.0 {
            last = (checker.handled(), Instant::now());
        }
    }
}
