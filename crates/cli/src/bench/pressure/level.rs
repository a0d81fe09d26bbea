//! One level of the pressure test.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use jetlane::client::HeaderBlock;
use jetlane::{Bytes, Envelope, EventBus, Ticket};
use parking_lot::Mutex;

use super::{Level, PREFIX, Percentiles, TOPICS};
use crate::bench::Latencies;
use crate::bench::patience::PATIENCE;
use crate::process;

const KEYS: u64 = 100;

/// What the handlers have seen.
struct Handled {
    begun: Instant,
    latencies: Mutex<Latencies>,
    /// Events of each aggregate, which must come in order.
    last: Vec<AtomicI64>,
    wrong: AtomicU64,
    count: AtomicU64,
}

impl Handled {
    /// The time of the call is its correlation id, in nanoseconds since the beginning.
    fn event(&self, event: &Envelope) {
        let now = self.begun.elapsed();
        let sent = event.correlation_id().and_then(|text| text.parse().ok());
        let key = event.aggregate_id().parse().ok();
        let last = key.and_then(|key: usize| self.last.get(key));
        match (sent, last) {
            (Some(sent), Some(last))
                if last.swap(event.event_version(), Relaxed) < event.event_version() =>
            {
                self.latencies.lock().record(now.saturating_sub(Duration::from_nanos(sent)));
            }
            _ => {
                self.wrong.fetch_add(1, Relaxed);
            }
        }
        self.count.fetch_add(1, Relaxed);
    }
}

/// A header block that is written already.
struct Encoded<'a>(&'a [u8]);

impl HeaderBlock for Encoded<'_> {
    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// How long the parts of a publish took.
#[derive(Default)]
struct Send {
    whole: Latencies,
    validate: Latencies,
    encode: Latencies,
    enqueue: Latencies,
}

impl Send {
    /// As `EventBus::publish`, but by its parts, each timed.
    fn publish(
        &mut self,
        bus: &EventBus,
        topic: &str,
        event: &Envelope,
        block: &mut Vec<u8>,
    ) -> Result<Ticket> {
        let begun = Instant::now();
        let headers = event.headers()?;
        let validated = Instant::now();
        block.clear();
        headers.encode(block);
        let encoded = Instant::now();
        let ticket = bus.jetstream().publish_with(topic, &Encoded(block), event.payload())?;
        let enqueued = Instant::now();
        self.validate.record(validated - begun);
        self.encode.record(encoded - validated);
        self.enqueue.record(enqueued - encoded);
        self.whole.record(enqueued - begun);
        Ok(ticket)
    }
}

pub(super) fn run(bus: &EventBus, size: usize, lanes: NonZeroUsize, events: u64) -> Result<Level> {
    let begun = Instant::now();
    let handled = Arc::new(Handled {
        begun,
        latencies: Mutex::default(),
        last: (0..KEYS).map(|_| AtomicI64::new(0)).collect(),
        wrong: AtomicU64::new(0),
        count: AtomicU64::new(0),
    });
    let mut subscribe = bus.subscribe("pressure").lanes(lanes);
    for topic in TOPICS {
        let handled = Arc::clone(&handled);
        let handler = move |event: &Envelope| handled.event(event);
        subscribe = subscribe.on(&format!("{PREFIX}.{topic}"), handler);
    }
    let subscription = subscribe.start()?;
    let (tickets, waiting) = mpsc::channel::<(Instant, Ticket)>();
    // Acks come in the order of the publishes, so one that waits for each in turn sees each as it comes.
    let stored = thread::spawn(move || -> Result<Latencies> {
        let mut stored = Latencies::new();
        for (sent, ticket) in waiting {
            ticket.wait()?;
            stored.record(sent.elapsed());
        }
        Ok(stored)
    });
    let first = Instant::now();
    let send = publish(bus, size, events, begun, &tickets)?;
    drop(tickets);
    let stored =
        stored.join().map_err(|_| anyhow!("the thread that waits for acks panicked"))??;
    await_all(&handled, events)?;
    let elapsed = first.elapsed();
    let (threads, rss_kb) = (process::threads(), process::peak_rss_kb());
    subscription.stop(PATIENCE)?;
    let wrong = handled.wrong.load(Relaxed);
    ensure!(wrong == 0, "{wrong} events came out of order, twice, or changed");
    let handled = percentiles(&handled.latencies.lock());
    Ok(Level {
        name: String::new(),
        events,
        send: percentiles(&send.whole),
        validate: percentiles(&send.validate),
        encode: percentiles(&send.encode),
        enqueue: percentiles(&send.enqueue),
        stored: percentiles(&stored),
        handled,
        events_per_s: events as f64 / elapsed.as_secs_f64(),
        rss_kb,
        threads,
    })
}

fn publish(
    bus: &EventBus,
    size: usize,
    events: u64,
    begun: Instant,
    tickets: &mpsc::Sender<(Instant, Ticket)>,
) -> Result<Send> {
    let body = Bytes::from("x".repeat(size));
    let topics = TOPICS.map(|topic| format!("{PREFIX}.{topic}"));
    let (mut send, mut block) = (Send::default(), Vec::new());
    for n in 0..events {
        let key = (n % KEYS).to_string();
        let version = i64::try_from(n / KEYS + 1)?;
        let now = Instant::now();
        let event = Envelope::new(key, "Pressed", body.clone())
            .with_event_version(version)
            .with_correlation_id(now.duration_since(begun).as_nanos().to_string());
        // All events of an aggregate go to one topic or another, in turn.
        let topic = &topics[usize::try_from(n)? % topics.len()];
        tickets.send((now, send.publish(bus, topic, &event, &mut block)?))?;
    }
    Ok(send)
}

fn await_all(handled: &Handled, events: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while handled.count.load(Relaxed) < events {
        let count = handled.count.load(Relaxed);
        ensure!(Instant::now() < deadline, "{count} of {events} events were handled");
        thread::park_timeout(Duration::from_micros(100));
    }
    Ok(())
}

fn percentiles(latencies: &Latencies) -> Percentiles {
    let of = |percentile| latencies.percentile_us(percentile);
    Percentiles {
        p50: of(50.0),
        p90: of(90.0),
        p95: of(95.0),
        p99: of(99.0),
        mean: latencies.mean_us(),
    }
}
