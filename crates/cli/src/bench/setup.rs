//! What all works begin with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jetlane::client::{Client, ConnectOptions, Idle, Limits, LocalClient};
use jetlane::jetstream::{JetStream, Storage, StreamConfig};

use super::{Common, IdleBy, Latencies, Line, Meter, Options, STREAM, StoreIn};

/// How often progress is told, in messages.
pub(super) const TELL_EVERY: u64 = 1024;

/// How long anything may take that is not the work itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Setup {
    pub(super) options: Options,
    pub(super) url: String,
    done: Arc<AtomicU64>,
}

impl Setup {
    pub(super) fn new(options: Options, url: String, done: Arc<AtomicU64>) -> Self {
        Self { options, url, done }
    }

    pub(super) fn common(&self) -> &Common {
        &self.options.common
    }

    /// The payload of every message.
    pub(super) fn payload(&self) -> Vec<u8> {
        vec![b'x'; self.common().size]
    }

    fn connect_options(&self) -> ConnectOptions {
        let mut limits = Limits::default();
        if let Some(window) = self.common().window {
            limits.pending_acks = window;
            limits.tickets = limits.tickets.max(window.saturating_mul(2));
        }
        let idle = match self.common().idle {
            IdleBy::Park => Idle::Park,
            IdleBy::Spin => Idle::Spin(Duration::from_micros(50)),
            IdleBy::Busy => Idle::Busy,
        };
        ConnectOptions::new().name("jetlane bench").limits(limits).idle(idle)
    }

    pub(super) fn connect(&self) -> Result<Client> {
        let client = self.connect_options().connect(&self.url)?;
        self.check_size(&client)?;
        Ok(client)
    }

    pub(super) fn connect_local(&self) -> Result<LocalClient> {
        let local = self.connect_options().connect_local(&self.url)?;
        self.check_size(local.client())?;
        Ok(local)
    }

    /// As many connections as are asked for.
    pub(super) fn connect_all(&self) -> Result<Vec<Client>> {
        (0..self.common().clients).map(|_| self.connect()).collect()
    }

    fn check_size(&self, client: &Client) -> Result<()> {
        let (size, most) = (self.common().size, client.max_payload());
        ensure!(
            size <= most,
            "--size is {size}, but the server takes messages of {most} bytes at most"
        );
        Ok(())
    }

    /// The part of all messages that is up to worker `index` of `workers`.
    pub(super) fn share(&self, index: usize, workers: usize) -> u64 {
        let (index, workers) = (index as u64, workers as u64);
        self.common().msgs / workers + u64::from(index < self.common().msgs % workers)
    }

    /// `n` of `all` messages of a worker are done; it tells so now and then.
    #[inline]
    pub(super) fn tell(&self, n: u64) {
        if n.is_multiple_of(TELL_EVERY) {
            self.done.fetch_add(TELL_EVERY, Ordering::Relaxed);
        }
    }

    /// The measured line of this work, in a mode that has a name.
    pub(super) fn line(&self, meter: &Meter, mode: &str, n: u64) -> Line {
        let work = self.options.work.to_string();
        let scenario = if mode.is_empty() { work } else { format!("{work} {mode}") };
        meter.finish("jetlane", &scenario, n, self.common().size)
    }

    /// As [`Setup::line`], with latencies.
    pub(super) fn line_with(&self, meter: &Meter, mode: &str, latencies: &Latencies) -> Line {
        let mut line = self.line(meter, mode, latencies.count());
        latencies.write_to(&mut line);
        line
    }

    /// JetStream, with our stream.
    pub(super) fn jetstream(&self, client: &Client) -> Result<JetStream> {
        let js = JetStream::new(client.clone())?;
        let subject = &self.common().subject;
        let storage = match self.common().storage {
            StoreIn::Memory => Storage::Memory,
            StoreIn::File => Storage::File,
        };
        match js.stream_info(STREAM).wait() {
            Ok(info) => {
                ensure!(
                    info.config.subjects.iter().any(|stored| stored == subject),
                    "the stream {STREAM} is there already, and stores {:?}, not {subject:?}",
                    info.config.subjects
                );
                ensure!(
                    info.config.storage == storage,
                    "the stream {STREAM} is there already, with the other --storage: delete it first"
                );
            }
            Err(_) => {
                let config = StreamConfig::new(STREAM).subject(subject).storage(storage);
                js.create_stream(&config).wait().context("the stream could not be made")?;
            }
        }
        Ok(js)
    }

    /// Sees that the stream has as many messages as are to be consumed.
    pub(super) fn fill(&self, js: &JetStream) -> Result<()> {
        let stored = js.stream_info(STREAM).wait()?.state.messages;
        let payload = self.payload();
        let mut tickets = std::collections::VecDeque::new();
        for _ in stored..self.common().msgs {
            tickets.push_back(js.publish(self.common().subject.as_str(), &payload)?);
            if tickets.len() > 10_000
                && let Some(ticket) = tickets.pop_front()
            {
                ticket.wait()?;
            }
        }
        for ticket in tickets {
            ticket.wait()?;
        }
        Ok(())
    }
}

/// Joins threads of a work; the first that failed says why.
pub(super) fn join<T>(
    threads: Vec<std::thread::ScopedJoinHandle<'_, Result<T>>>,
) -> Result<Vec<T>> {
    // All are joined before anything is said of one.
    let results: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
    results
        .into_iter()
        .map(|result| match result {
            Ok(result) => result,
            Err(_) => bail!("a thread of the benchmark panicked"),
        })
        .collect()
}
