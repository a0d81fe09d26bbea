//! The command line of `jetlane bench`, in the shape of `nats bench`.

use clap::{Args, Subcommand, ValueEnum};

/// Measure this client against a real nats-server.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub work: Work,
    /// How much of it, and how.
    #[command(flatten)]
    pub common: Common,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
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
}

/// What to do with JetStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum PubWork {
    /// One at a time.
    Sync,
    /// As many at a time as the window allows.
    Async,
}

/// How to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum ConsumeWork {
    /// An ack a message.
    Each,
    /// One ack for all messages up to the lowest not yet done.
    Watermark,
    /// No acks.
    None,
}

/// What all benchmarks have in common. Every option may stand before or behind the words of the work.
#[derive(Clone, Debug, Args)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreIn {
    /// In memory.
    Memory,
    /// In files.
    File,
}

/// How messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// By a callback on the event loop's thread.
    Inline,
    /// From a queue, on another thread.
    Queued,
}

/// What the event loop does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IdleBy {
    /// Sleep.
    Park,
    /// Look again for a while, then sleep.
    Spin,
    /// Look again for ever.
    Busy,
}
