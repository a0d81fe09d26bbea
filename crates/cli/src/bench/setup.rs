//! What all works begin with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jetlane::client::{Client, ConnectOptions, Idle, Limits, LocalClient};
use jetlane::jetstream::{JetStream, Storage, StreamConfig};

use super::patience::{PATIENCE, Patience};
use super::{Common, IdleBy, Latencies, Line, Meter, Options, STREAM, StoreIn};

/// How often progress is told, in messages. A power of two.
pub(super) const TELL_EVERY: u64 = 1024;

/// How often somebody who waits looks how far it got.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Setup {
    pub(super) options: Options,
    pub(super) url: String,
    done: Arc<AtomicU64>,
    /// A power of two: 1 where messages may come so slowly that each is worth telling.
    tell_every: u64,
}

impl Setup {
    pub(super) fn new(options: Options, url: String, done: Arc<AtomicU64>) -> Self {
        let tell_every = if options.is_one_at_a_time() { 1 } else { TELL_EVERY };
        Self { options, url, done, tell_every }
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
            limits.tickets = limits.tickets.max(window.saturating_mul(4));
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

    /// How many tickets a publishing thread keeps. Together they are twice the window: when the oldest is looked at, it is
    /// as good as sure to have ended, and nobody waits but for the window.
    pub(super) fn kept_tickets(&self, client: &Client) -> Result<usize> {
        let window = usize::try_from(client.limits().pending_acks)?;
        Ok((2 * window / self.common().threads).max(1))
    }

    /// `n` messages of a worker are done; it tells so now and then.
    #[inline]
    pub(super) fn tell(&self, n: u64) {
        if n & (self.tell_every - 1) == 0 {
            self.done.fetch_add(self.tell_every, Ordering::Relaxed);
        }
    }

    /// `n` messages are done, of all workers.
    pub(super) fn tell_all(&self, n: u64) {
        self.done.store(n, Ordering::Relaxed);
    }

    /// Waits for news, and tells meanwhile how many messages are `done`. When there are no more for too long, `hint` says
    /// what may be missing.
    pub(super) fn wait_for<T>(
        &self,
        news: &Receiver<T>,
        hint: &str,
        done: impl Fn() -> Result<u64>,
    ) -> Result<T> {
        let mut patience = Patience::new(PATIENCE);
        loop {
            match news.recv_timeout(LOOK_EVERY) {
                Ok(news) => return Ok(news),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the subscription has ended"),
            }
            let (done, all) = (done()?, self.options.messages());
            self.tell_all(done);
            ensure!(
                !patience.is_over(done, Instant::now()),
                "{done} of {all} messages, and no more for {} s: {hint}",
                PATIENCE.as_secs()
            );
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

    /// Sees that the stream has as many messages as are to be consumed, and says what sequence is before the first.
    pub(super) fn fill(&self, js: &JetStream) -> Result<u64> {
        let stored = js.stream_info(STREAM).wait()?.state.messages;
        let payload = self.payload();
        let mut tickets = VecDeque::new();
        for n in stored..self.common().msgs {
            // That can take longer than anybody waits for what does not go on.
            self.tell_all(n);
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
        self.tell_all(0);
        // Not 1, if the stream was used, and emptied.
        Ok(js.stream_info(STREAM).wait()?.state.first_seq.saturating_sub(1))
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn where_messages_may_come_slowly_each_is_told() {
        for (words, told) in [
            ("bench pub", 2048),
            ("bench pub --rate 10", 2500),
            ("bench req", 2500),
            ("bench js pub sync", 2500),
            ("bench js pub async", 2048),
        ] {
            let options = Words::parse_from(words.split(' ')).options;
            let done = Arc::<AtomicU64>::default();
            let setup = Setup::new(options, String::new(), Arc::clone(&done));
            (1..=2500).for_each(|n| setup.tell(n));
            assert_eq!(done.load(Ordering::Relaxed), told, "{words}");
        }
    }
}
