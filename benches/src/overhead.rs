//! What the bus costs on top of the layer below it: the same events, published and handled by the one and by the other, in
//! turn, in one process.

use std::collections::VecDeque;
use std::env;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use jetlane::jetstream::{AckPolicy, ConsumerConfig, JetStream, Messages, Storage};
use jetlane::{Envelope, EventBus, Settlement, Strategy};
use jetlane_cli::bench::{Line, Meter};
use jetlane_testkit::Server;

use crate::icount::collected;

const TOPIC: &str = "overhead.created";
const STREAM: &str = "OVERHEAD";
const NAME: &str = "overhead";
const KEYS: u64 = 1000;
const PAYLOAD: usize = 128;
const PATIENCE: Duration = Duration::from_secs(60);
/// Few enough that callgrind is done soon; the difference of the two leaves out all that is done once.
const FEW: u64 = 2_000;
const MANY: u64 = 22_000;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Events a run.
    #[arg(long, default_value_t = 300_000)]
    events: u64,
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// By what the work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layer {
    /// Envelopes, handlers, lanes.
    Bus,
    /// The messages that they are, and a thread that reads them.
    Jetstream,
}

/// Prints throughput, CPU an event, and the ratio of the two layers; then instructions an event handled, where there is
/// valgrind.
///
/// # Errors
/// If no server can be started, or something gets lost.
pub fn run(options: &Options) -> Result<()> {
    let server = Server::start().context("no nats-server could be started")?;
    let bus = EventBus::connect(&server.url())?;
    println!("| work | layer | events/s | CPU ns an event |\n|---|---|---:|---:|");
    for (work, measure) in [
        ("handle what is stored", handle_stored as fn(&str, &EventBus, Layer, u64) -> Result<Line>),
        ("publish and handle", publish_and_handle),
    ] {
        let mut pairs = Vec::new();
        for run in 0..options.runs {
            // Neither is always the one that comes behind the other.
            let bus_first = run % 2 == 0;
            let first = if bus_first { Layer::Bus } else { Layer::Jetstream };
            let second = if bus_first { Layer::Jetstream } else { Layer::Bus };
            let first = measure(&server.url(), &bus, first, options.events)?;
            let second = measure(&server.url(), &bus, second, options.events)?;
            pairs.push(if bus_first { [first, second] } else { [second, first] });
        }
        let median = |of: &dyn Fn(&[Line; 2]) -> f64| median(pairs.iter().map(of).collect());
        for (place, layer) in ["bus", "jetstream"].into_iter().enumerate() {
            let per_s = median(&|pair| pair[place].msgs_per_s);
            let cpu_ns = median(&|pair| cpu_ns(&pair[place]));
            println!("| {work} | {layer} | {per_s:.0} | {cpu_ns:.0} |");
        }
        // Of runs that come one after the other, as the machine is not the same from one minute to the next.
        let ratio = median(&|[bus, below]| bus.msgs_per_s / below.msgs_per_s);
        let more = median(&|[bus, below]| cpu_ns(bus) - cpu_ns(below));
        println!("| {work} | **ratio** | **{ratio:.3}** | **{more:+.0}** |");
    }
    println!("\n| instructions an event handled, whole process | |\n|---|---:|");
    for layer in [Layer::Bus, Layer::Jetstream] {
        println!("| {layer:?} | {:.0} |", instructions(&server.url(), &bus, layer)?);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cpu_ns(line: &Line) -> f64 {
    line.user_ns + line.sys_ns
}

/// An empty stream.
fn empty(bus: &EventBus) -> Result<()> {
    let _ = bus.jetstream().delete_stream(STREAM).wait();
    bus.topic(TOPIC).stream(STREAM).storage(Storage::Memory).ensure(Strategy::CreateOnly)?;
    Ok(())
}

/// A stream with so many events.
fn fill(bus: &EventBus, events: u64) -> Result<()> {
    let there = bus.jetstream().stream_info(STREAM).wait();
    if there.is_ok_and(|info| info.state.messages == events) {
        return Ok(());
    }
    empty(bus)?;
    publish(bus, Layer::Bus, events)
}

fn publish(bus: &EventBus, layer: Layer, events: u64) -> Result<()> {
    let body = Bytes::from(vec![b'x'; PAYLOAD]);
    let mut tickets = VecDeque::new();
    for n in 0..events {
        let event = Envelope::new(format!("order-{}", n % KEYS), "OrderCounted", body.clone());
        tickets.push_back(match layer {
            Layer::Bus => bus.publish(TOPIC, &event)?,
            // The same bytes: what is left out is what the bus adds to them.
            Layer::Jetstream => bus.jetstream().publish_with(TOPIC, &event.headers()?, &body)?,
        });
        if tickets.len() > 16_384
            && let Some(ticket) = tickets.pop_front()
        {
            ticket.wait()?;
        }
    }
    tickets.into_iter().try_for_each(|ticket| ticket.wait().map(drop)).map_err(Into::into)
}

fn handle_stored(url: &str, bus: &EventBus, layer: Layer, events: u64) -> Result<Line> {
    fill(bus, events)?;
    let _ = bus.jetstream().delete_consumer(STREAM, NAME).wait();
    handle(url, layer, events)
}

fn publish_and_handle(url: &str, bus: &EventBus, layer: Layer, events: u64) -> Result<Line> {
    empty(bus)?;
    let publisher = thread::spawn({
        let bus = bus.clone();
        move || publish(&bus, layer, events)
    });
    let line = handle(url, layer, events);
    match publisher.join() {
        Ok(published) => published?,
        Err(_) => bail!("the publisher panicked"),
    }
    line
}

/// Handles so many events, by a connection of its own.
///
/// # Errors
/// If they do not come.
pub fn handle(url: &str, layer: Layer, events: u64) -> Result<Line> {
    let bus = EventBus::connect(url)?;
    let meter = Meter::start();
    match layer {
        Layer::Bus => by_bus(&bus, events)?,
        Layer::Jetstream => by_jetstream(bus.jetstream(), events)?,
    }
    let line = meter.finish("jetlane", "handle", events, PAYLOAD);
    bus.close(PATIENCE)?;
    Ok(line)
}

fn by_bus(bus: &EventBus, events: u64) -> Result<()> {
    let handled = Arc::<AtomicU64>::default();
    let count = Arc::clone(&handled);
    let main = thread::current();
    bus.subscribe(NAME)
        .settlement(Settlement::Watermark)
        .lanes(NonZeroUsize::MIN)
        .on(TOPIC, move |event: &Envelope| {
            debug_assert_eq!(event.event_type(), "OrderCounted");
            if count.fetch_add(1, Relaxed) + 1 == events {
                main.unpark();
            }
        })
        .start()?;
    let deadline = Instant::now() + PATIENCE;
    while handled.load(Relaxed) < events {
        ensure!(Instant::now() < deadline, "{handled:?} of {events} were handled");
        thread::park_timeout(Duration::from_secs(1));
    }
    Ok(())
}

fn by_jetstream(js: &JetStream, events: u64) -> Result<()> {
    let window = js.client().limits().consumer_messages;
    let config = ConsumerConfig::durable(NAME).ack(AckPolicy::All).max_ack_pending(window);
    let consumer = js.create_consumer(STREAM, &config).wait()?;
    let mut messages: Messages = js.consume(&consumer).queued()?;
    // Another thread than the reactor's handles them here, too: this one.
    for n in 0..events {
        let message = messages.next_timeout(PATIENCE).with_context(|| format!("{n} came"))?;
        ensure!(message.payload().len() == PAYLOAD, "another message");
        message.ack();
    }
    Ok(())
}

/// Counted by callgrind in a process that does nothing else; the server is not counted.
fn instructions(url: &str, bus: &EventBus, layer: Layer) -> Result<f64> {
    let count = |events: u64| {
        // No more than are counted: what is delivered beyond them costs, too.
        fill(bus, events)?;
        let _ = bus.jetstream().delete_consumer(STREAM, NAME).wait();
        let layer = layer.to_possible_value().context("a layer")?;
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe()?)
            .args(["handle", url, layer.get_name(), &events.to_string()])
            .output()
            .context("valgrind is needed: it comes with most systems, as the package `valgrind`")?;
        collected(&output)
    };
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok(many.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}
