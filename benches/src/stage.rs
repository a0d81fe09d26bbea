//! What a run needs on the server before it begins, and what must be there when it has ended.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jetlane::client::Client;
use jetlane::jetstream::{AckPolicy, ConsumerConfig, JetStream, Storage, StreamConfig};
use jetlane_cli::bench::{ConsumeWork, StoreIn};

pub(crate) use jetlane_cli::bench::STREAM;

/// The consumer of raw and async-nats. That of jetlane has the same set-up.
pub(crate) const CONSUMER: &str = "bench";

/// The subject of everything.
pub(crate) const SUBJECT: &str = "bench";

/// More than any client asks for.
const MAX_ACK_PENDING: usize = 20_000;

const PATIENCE: Duration = Duration::from_secs(30);

/// The set-up side of a server.
pub(crate) struct Stage {
    js: JetStream,
}

impl Stage {
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self { js: JetStream::new(Client::connect(url)?)? })
    }

    /// An empty stream.
    pub(crate) fn empty_stream(&self, storage: StoreIn) -> Result<()> {
        self.no_stream();
        let storage = match storage {
            StoreIn::Memory => Storage::Memory,
            StoreIn::File => Storage::File,
        };
        let config = StreamConfig::new(STREAM).subject(SUBJECT).storage(storage);
        self.js.create_stream(&config).wait().context("the stream could not be made")?;
        Ok(())
    }

    /// No stream, whether there was one or not.
    pub(crate) fn no_stream(&self) {
        let _ = self.js.delete_stream(STREAM).wait();
    }

    /// A stream with exactly `n` messages of `size` bytes. One that is there already is kept.
    pub(crate) fn full_stream(&self, storage: StoreIn, n: u64, size: usize) -> Result<()> {
        if self.js.stream_info(STREAM).wait().is_ok_and(|info| info.state.messages == n) {
            return Ok(());
        }
        self.empty_stream(storage)?;
        let payload = vec![b'x'; size];
        let mut tickets = std::collections::VecDeque::new();
        for _ in 0..n {
            tickets.push_back(self.js.publish(SUBJECT, &payload)?);
            if tickets.len() > 10_000
                && let Some(ticket) = tickets.pop_front()
            {
                ticket.wait()?;
            }
        }
        for ticket in tickets {
            ticket.wait()?;
        }
        self.stored(n)
    }

    /// Sees that the stream has `n` messages.
    pub(crate) fn stored(&self, n: u64) -> Result<()> {
        let messages = self.js.stream_info(STREAM).wait()?.state.messages;
        ensure!(messages == n, "the stream has {messages} messages, not {n}");
        Ok(())
    }

    /// A consumer that has delivered nothing yet.
    pub(crate) fn new_consumer(&self, how: ConsumeWork) -> Result<()> {
        let _ = self.js.delete_consumer(STREAM, CONSUMER).wait();
        let policy = match how {
            ConsumeWork::Each => AckPolicy::Explicit,
            ConsumeWork::Watermark => AckPolicy::All,
            ConsumeWork::None => AckPolicy::None,
        };
        let config = ConsumerConfig::durable(CONSUMER).ack(policy).max_ack_pending(MAX_ACK_PENDING);
        self.js
            .create_consumer(STREAM, &config)
            .wait()
            .context("the consumer could not be made")?;
        Ok(())
    }

    /// Sees that all `n` messages were delivered once, and acknowledged if they are to be.
    pub(crate) fn consumed(&self, how: ConsumeWork, n: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = self.js.consumer_info(STREAM, CONSUMER).wait()?;
            let acks = how == ConsumeWork::None || info.ack_floor.stream_seq == n;
            if info.delivered.stream_seq == n && acks {
                ensure!(info.num_redelivered == 0, "{} messages came twice", info.num_redelivered);
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "of {n} messages {} were delivered, and {} acknowledged",
                    info.delivered.stream_seq,
                    info.ack_floor.stream_seq
                );
            }
            thread::park_timeout(Duration::from_millis(2));
        }
    }
}
