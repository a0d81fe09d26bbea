//! The publishing half: one thread publishes as fast as it can, another takes the outcomes.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jetlane::{Envelope, EventBus, Ticket};

use super::Options;
use super::check::Mark;
use super::report::Latency;
use crate::process;

/// Progress is shown once so many events.
const SHOW_EVERY: u64 = 1024;

/// Nanoseconds since the demo began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now_ns(self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(super) struct Published {
    pub(super) published: u64,
    pub(super) stored: u64,
    /// From the first publish to the last outcome.
    pub(super) publish_time: Duration,
    /// Threads of this process while all of them were at work.
    pub(super) threads: u64,
    /// How long a call of `publish` took.
    pub(super) call: Latency,
    /// From the call until the outcome was known.
    pub(super) until_stored: Latency,
}

pub(super) fn publish(
    bus: &EventBus,
    topic: &str,
    options: &Options,
    clock: Clock,
    show: &dyn Fn(),
) -> Result<Published> {
    let started = Instant::now();
    let (tickets, outcomes) = mpsc::sync_channel::<(u64, Ticket)>(16_384);
    thread::scope(|scope| {
        let collector = thread::Builder::new()
            .name("outcomes".into())
            .spawn_scoped(scope, move || collect(&outcomes, clock))?;
        let mut call = Latency::new();
        let mut threads = 0;
        for n in 0..options.messages {
            let (key, counter) = (n % options.keys, n / options.keys + 1);
            let payload = Mark { key, counter, published_ns: clock.now_ns() };
            let event = Envelope::new(
                format!("order-{key}"),
                "OrderCounted",
                payload.write(options.payload),
            )
            .with_event_version(i64::try_from(counter)?);
            let before = clock.now_ns();
            let ticket = bus.publish(topic, &event)?;
            call.record_ns(clock.now_ns() - before);
            if tickets.send((before, ticket)).is_err() {
                break;
            }
            if n % SHOW_EVERY == 0 {
                threads = threads.max(process::threads());
                show();
            }
        }
        drop(tickets);
        let Ok(collected) = collector.join() else { bail!("the collector of outcomes panicked") };
        let (stored, until_stored) = collected?;
        let publish_time = started.elapsed();
        Ok(Published {
            published: options.messages,
            stored,
            publish_time,
            threads,
            call,
            until_stored,
        })
    })
}

/// Waits for every outcome, in the order of publishing. Acks come in that order, too.
fn collect(outcomes: &mpsc::Receiver<(u64, Ticket)>, clock: Clock) -> Result<(u64, Latency)> {
    let mut stored = 0;
    let mut until_stored = Latency::new();
    for (published_ns, ticket) in outcomes {
        let outcome = ticket.wait()?;
        until_stored.record_ns(clock.now_ns() - published_ns);
        if outcome.duplicate {
            bail!("the stream took an event for a duplicate: two events had the same id");
        }
        stored += 1;
    }
    Ok((stored, until_stored))
}
