//! `js consume`: pulled, handled, and settled, from the first request to the last ack.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jetlane::client::Client;
use jetlane::jetstream::{
    AckPolicy, Consume, ConsumerConfig, ConsumerInfo, Consumption, Delivery, JetStream, Settle,
};

use super::patience::{PATIENCE, READER_PATIENCE};
use super::setup::{Setup, TELL_EVERY};
use super::{ConsumeWork, Line, Meter, Mode, STREAM};

/// The consumer, made anew for each run.
pub(super) const CONSUMER: &str = "bench";

/// What has come, over all connections.
#[derive(Debug, Default)]
struct Count {
    seen: AtomicU64,
    /// Of messages that are not the next of the stream.
    gaps: AtomicU64,
    /// Of messages of another size than is said.
    other_sizes: AtomicU64,
}

/// What one connection has seen.
struct Seen {
    count: Arc<Count>,
    tell: mpsc::Sender<u64>,
    last: u64,
    untold: u64,
    all: u64,
    /// The sequence of the last message that is to come.
    end: u64,
    size: usize,
    alone: bool,
}

impl Seen {
    #[inline]
    fn message(&mut self, delivery: &Delivery, size: usize) {
        // Shared out over several connections, each sees but some, and those in order.
        let next = delivery.stream_sequence == self.last + 1;
        if !(next || !self.alone && delivery.stream_sequence > self.last) {
            self.count.gaps.fetch_add(1, Ordering::Relaxed);
        }
        self.last = delivery.stream_sequence;
        if size != self.size {
            self.count.other_sizes.fetch_add(1, Ordering::Relaxed);
        }
        if self.alone {
            self.untold += 1;
            if self.untold == TELL_EVERY || self.last == self.end {
                let untold = std::mem::take(&mut self.untold);
                self.tell(untold, true);
            }
        } else {
            self.tell(1, false);
        }
    }

    #[inline]
    fn tell(&mut self, more: u64, always: bool) {
        let seen = self.count.seen.fetch_add(more, Ordering::Relaxed) + more;
        if always || seen.is_multiple_of(TELL_EVERY) || seen == self.all {
            let _ = self.tell.send(seen);
        }
    }
}

pub(super) fn run(setup: &Setup, how: ConsumeWork) -> Result<Line> {
    let common = setup.common();
    let clients = setup.connect_all()?;
    let js = setup.jetstream(&clients[0])?;
    let before = setup.fill(&js)?;
    let end = before + common.msgs;
    let consumer = make_consumer(setup, &js, how)?;
    let (tell, told) = mpsc::channel();
    let count = Arc::<Count>::default();
    let mut running = Vec::new();

    let meter = Meter::start();
    for client in &clients {
        let seen = Seen {
            count: Arc::clone(&count),
            tell: tell.clone(),
            last: before,
            untold: 0,
            all: common.msgs,
            end,
            size: common.size,
            alone: clients.len() == 1,
        };
        let mut consume = JetStream::new(client.clone())?.consume(&consumer);
        if let Some(window) = common.window {
            consume = consume.window(usize::try_from(window)?);
        }
        running.push(start(consume, common.mode, seen)?);
    }
    drop(tell);
    let mut seen = 0;
    while seen < common.msgs {
        let so_far = seen;
        seen = setup.wait_for(&told, "the server delivers no more", || Ok(so_far))?;
        setup.tell_all(seen);
    }
    // The last acks are on their way before the barrier.
    flush(&clients)?;
    let mode = if common.mode == Mode::Inline { "inline" } else { "queued" };
    let line = setup.line(&meter, mode, common.msgs);

    let gaps = count.gaps.load(Ordering::Relaxed);
    ensure!(gaps == 0, "{gaps} messages came out of order, or not at all");
    let other_sizes = count.other_sizes.load(Ordering::Relaxed);
    ensure!(other_sizes == 0, "{}", other_size(other_sizes));
    all_acknowledged(&js, how, end)?;
    Ok(line)
}

/// A consumption under way: by callback, or by a thread that reads a queue.
enum Running {
    Inline { _consumption: Consumption },
    Queued { _reader: thread::JoinHandle<()> },
}

fn start(consume: Consume, mode: Mode, mut seen: Seen) -> Result<Running> {
    if mode == Mode::Inline {
        let _consumption = consume.inline(move |message, delivery| {
            seen.message(delivery, message.payload().len());
            Settle::Ack
        })?;
        return Ok(Running::Inline { _consumption });
    }
    let mut messages = consume.queued()?;
    let reader = thread::Builder::new().name("reader".into()).spawn(move || {
        while let Some(message) = messages.next_timeout(READER_PATIENCE) {
            let (delivery, size) = (*message.delivery(), message.payload().len());
            // Before it is told: then the last ack is on its way when all are told.
            message.ack();
            seen.message(&delivery, size);
        }
    })?;
    Ok(Running::Queued { _reader: reader })
}

fn flush(clients: &[Client]) -> Result<()> {
    for client in clients {
        client.flush().wait()?;
    }
    Ok(())
}

/// What to say of messages that somebody stored before, of another size than is asked for.
pub(super) fn other_size(messages: u64) -> String {
    format!("{messages} messages of the stream are of another --size")
}

/// A new consumer, from the beginning of the stream.
pub(super) fn make_consumer(
    setup: &Setup,
    js: &JetStream,
    how: ConsumeWork,
) -> Result<ConsumerInfo> {
    // It is not there, the first time.
    let _ = js.delete_consumer(STREAM, CONSUMER).wait();
    let policy = match how {
        ConsumeWork::Each => AckPolicy::Explicit,
        ConsumeWork::Watermark => AckPolicy::All,
        ConsumeWork::None => AckPolicy::None,
    };
    // Never what holds things up.
    let window = setup.common().window.unwrap_or(0).max(10_000);
    let pending = usize::try_from(window)?.saturating_mul(2 * setup.common().clients);
    let config = ConsumerConfig::durable(CONSUMER).ack(policy).max_ack_pending(pending);
    js.create_consumer(STREAM, &config).wait().context("the consumer could not be made")
}

/// Sees that the server has all acks, of each message up to `last`; those behind them may be under way.
pub(super) fn all_acknowledged(js: &JetStream, how: ConsumeWork, last: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = js.consumer_info(STREAM, CONSUMER).wait()?;
        if how == ConsumeWork::None && info.delivered.stream_seq >= last {
            return Ok(());
        }
        if how != ConsumeWork::None && info.ack_floor.stream_seq >= last {
            ensure!(info.num_redelivered == 0, "{} messages came twice", info.num_redelivered);
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("the server has acks up to message {} of {last}", info.ack_floor.stream_seq);
        }
        // The server applies acks when it comes to it.
        thread::park_timeout(Duration::from_millis(1));
    }
}
