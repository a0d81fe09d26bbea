//! The command line of `jetlane bench`, in the shape of `nats bench`.

use std::fmt;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use jetlane::client::Inbox;
use serde::{Deserialize, Serialize};

/// A payload with the number of its message takes so many bytes at least.
pub(super) const LEAST_SIZE: usize = 8;

/// An event's body is a JSON text around the padding.
pub(super) const EVENT_FRAME: [&str; 2] = [r#"{"note":""#, r#""}"#];

/// More could not all have a ticket that is still to be looked at.
const MOST_WINDOW: u32 = Inbox::SLOTS / 4;

/// Measure this client against a real nats-server.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub work: Work,
    /// How much of it, and how.
    #[command(flatten)]
    pub common: Common,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
pub enum Work {
    /// Publish, then flush. With --rate: publish→receive latency, on a second connection.
    Pub,
    /// Receive what others publish, from the first message to the last.
    Sub,
    /// Send requests, one at a time a connection.
    Req,
    /// Answer requests until --msgs were answered.
    Serve,
    /// JetStream.
    #[command(subcommand)]
    Js(JsWork),
    /// The event bus: publish and handle events at the same time.
    Bus,
    /// The event bus by the pressure test of the Go one: 500 to 10 000 envelopes over five topics, each part of a publish timed.
    Pressure,
}

/// What to do with JetStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
pub enum JsWork {
    /// Publish with acknowledgement.
    #[command(subcommand)]
    Pub(PubWork),
    /// Consume with overlapping pulls.
    #[command(subcommand)]
    Consume(ConsumeWork),
    /// Consume by asking for a batch at a time.
    Fetch,
}

/// How to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
pub enum PubWork {
    /// One at a time.
    Sync,
    /// As many at a time as the window allows.
    Async,
}

/// How to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
pub enum ConsumeWork {
    /// An ack a message.
    Each,
    /// One ack for all messages up to the lowest not yet done.
    Watermark,
    /// No acks.
    None,
}

/// What all benchmarks have in common. Every option may stand before or behind the words of the work.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Options of all benchmarks")]
pub struct Common {
    /// Messages, over all connections.
    #[arg(long, global = true, default_value_t = 1_000_000)]
    pub msgs: u64,
    /// Bytes of payload a message.
    #[arg(long, global = true, default_value_t = 128)]
    pub size: usize,
    /// Connections.
    #[arg(long, global = true, default_value_t = 1)]
    pub clients: usize,
    /// Publishing threads a connection; lanes of the bus.
    #[arg(long, global = true, default_value_t = 1)]
    pub threads: usize,
    /// Publishes that may wait for their ack; messages that may be requested or held by a consumer [default: the
    /// library's].
    #[arg(long, global = true)]
    pub window: Option<u32>,
    /// Messages a fetch.
    #[arg(long, global = true, default_value_t = 500)]
    pub batch: usize,
    /// Where the stream is stored.
    #[arg(long, global = true, value_enum, default_value_t = StoreIn::File)]
    pub storage: StoreIn,
    /// The subject.
    #[arg(long, global = true, default_value = "bench")]
    pub subject: String,
    /// Spread messages over so many subjects, `bench.0` and so on, each with a subscription of its own: for `pub` and
    /// `sub`.
    #[arg(long, global = true, default_value_t = 1)]
    pub subjects: usize,
    /// A running server; without it a nats-server is found or fetched, and started for the benchmark.
    #[arg(long, global = true)]
    pub url: Option<String>,
    /// How messages are taken.
    #[arg(long, global = true, value_enum, default_value_t = Mode::Queued)]
    pub mode: Mode,
    /// Have the calling thread do its own input and output (`LocalClient`): for `req` and `js pub sync`.
    #[arg(long, global = true)]
    pub local: bool,
    /// What the event loop does when there is nothing to do.
    #[arg(long, global = true, value_enum, default_value_t = IdleBy::Park)]
    pub idle: IdleBy,
    /// Operations a second, on a fixed schedule; latencies count from when an operation was due [default: as fast as it
    /// goes].
    #[arg(long, global = true)]
    pub rate: Option<u64>,
    /// Print one JSON line instead of the summary.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress bar.
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// Where a stream is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum StoreIn {
    /// In memory.
    Memory,
    /// In files.
    File,
}

/// How messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Mode {
    /// By a callback on the event loop's thread.
    Inline,
    /// From a queue, on another thread.
    Queued,
}

/// What the event loop does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum IdleBy {
    /// Sleep.
    Park,
    /// Look again for a while, then sleep.
    Spin,
    /// Look again for ever.
    Busy,
}

impl Options {
    /// Refuses what makes no sense, before anything is begun.
    pub(super) fn check(&self) -> Result<()> {
        let Common { msgs, size, clients, threads, batch, subjects, rate, local, .. } = self.common;
        for (name, value) in
            [("clients", clients), ("threads", threads), ("batch", batch), ("subjects", subjects)]
        {
            ensure!(value > 0, "--{name} must be at least 1");
        }
        ensure!(msgs > 0, "--msgs must be at least 1");
        ensure!(rate != Some(0), "--rate must be at least 1");
        ensure!(
            self.common.window.is_none_or(|window| (1..=MOST_WINDOW).contains(&window)),
            "--window must be at least 1, and at most {MOST_WINDOW}"
        );
        let workers = clients.saturating_mul(threads);
        ensure!(
            workers as u64 <= msgs,
            "--msgs must be at least one for each of the {workers} threads (--clients times --threads)"
        );
        let is_core = matches!(self.work, Work::Pub | Work::Sub);
        ensure!(
            subjects == 1 || is_core,
            "--subjects is for `pub` and `sub`, not for `{}`",
            self.work
        );
        let can_be_local = matches!(self.work, Work::Req | Work::Js(JsWork::Pub(PubWork::Sync)));
        ensure!(
            !local || (can_be_local && workers == 1),
            "--local is for `req` and `js pub sync` with one client and one thread"
        );
        let can_be_paced =
            matches!(self.work, Work::Pub | Work::Req | Work::Js(JsWork::Pub(PubWork::Sync)));
        ensure!(
            rate.is_none() || can_be_paced,
            "--rate is for `pub`, `req` and `js pub sync`, not for `{}`",
            self.work
        );
        if rate.is_some() && self.work == Work::Pub {
            ensure!(
                workers == 1 && subjects == 1,
                "`pub --rate` measures one client, one thread and one subject"
            );
            ensure!(
                size >= LEAST_SIZE,
                "--size must be at least {LEAST_SIZE} with `pub --rate`: each message carries its number"
            );
        }
        ensure!(
            self.work != Work::Serve || self.common.url.is_some(),
            "`serve` answers requests of others: say on which server, by --url"
        );
        // One watermark would acknowledge what the other connection still has.
        let one_client = matches!(
            self.work,
            Work::Js(JsWork::Fetch | JsWork::Consume(ConsumeWork::Watermark))
                | Work::Bus
                | Work::Pressure
        );
        ensure!(clients == 1 || !one_client, "`{}` is for one client", self.work);
        let least_event: usize = EVENT_FRAME.iter().map(|part| part.len()).sum();
        ensure!(
            self.work != Work::Bus || size >= least_event,
            "--size must be at least {least_event} with `bus`: the body of an event is a JSON text"
        );
        Ok(())
    }

    /// How many messages there are to be, over all connections.
    pub(super) fn messages(&self) -> u64 {
        match self.work {
            // Each gets all of them.
            Work::Sub => self.common.msgs.saturating_mul(self.common.clients as u64),
            _ => self.common.msgs,
        }
    }

    /// Whether a worker waits for each message, or for when it is due.
    pub(super) fn is_one_at_a_time(&self) -> bool {
        let by_nature = matches!(self.work, Work::Req | Work::Js(JsWork::Pub(PubWork::Sync)));
        by_nature || self.common.rate.is_some()
    }

    /// The subject of message `n`, and of subscription `n`.
    pub fn subject_of(&self, n: usize) -> String {
        match self.common.subjects {
            1 => self.common.subject.clone(),
            subjects => format!("{}.{}", self.common.subject, n % subjects),
        }
    }
}

/// As on the command line.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pub => "pub",
            Self::Sub => "sub",
            Self::Req => "req",
            Self::Serve => "serve",
            Self::Js(JsWork::Pub(PubWork::Sync)) => "js pub sync",
            Self::Js(JsWork::Pub(PubWork::Async)) => "js pub async",
            Self::Js(JsWork::Consume(ConsumeWork::Each)) => "js consume each",
            Self::Js(JsWork::Consume(ConsumeWork::Watermark)) => "js consume watermark",
            Self::Js(JsWork::Consume(ConsumeWork::None)) => "js consume none",
            Self::Js(JsWork::Fetch) => "js fetch",
            Self::Bus => "bus",
            Self::Pressure => "pressure",
        })
    }
}
