//! `bus`: events of many aggregates, published and handled at the same time.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jetlane::jetstream::{JetStream, Storage};
use jetlane::{Bytes, Envelope, EventBus, Settlement, Strategy};

use super::options::EVENT_FRAME;
use super::patience::{PATIENCE, Patience};
use super::setup::Setup;
use super::{Line, Meter, StoreIn};

const KEYS: u64 = 1000;
const TOPIC: &str = "jetlane.bench";
const STREAM: &str = "JETLANE_BENCH";

/// What has been handled: by key, and in all.
struct Handled {
    versions: Vec<AtomicI64>,
    count: AtomicU64,
    wrong: AtomicU64,
}

impl Handled {
    fn event(&self, event: &Envelope) {
        let key = event.aggregate_id().strip_prefix("order-").and_then(|key| key.parse().ok());
        let version = key.and_then(|key: usize| self.versions.get(key));
        // Of one key each comes once, and in order.
        let right = version.is_some_and(|version| {
            version.swap(event.event_version(), Ordering::Relaxed) + 1 == event.event_version()
        });
        if !right {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn run(setup: &Setup) -> Result<Line> {
    let client = setup.connect()?;
    let js = JetStream::new(client)?;
    // Not there, unless a run was broken off.
    let _ = js.delete_stream(STREAM).wait();
    let bus = EventBus::on(js.clone());
    let storage = match setup.common().storage {
        StoreIn::Memory => Storage::Memory,
        StoreIn::File => Storage::File,
    };
    bus.topic(TOPIC).stream(STREAM).storage(storage).ensure(Strategy::CreateOnly)?;
    let line = measure(setup, &bus);
    js.delete_stream(STREAM).wait()?;
    line
}

fn measure(setup: &Setup, bus: &EventBus) -> Result<Line> {
    let common = setup.common();
    let handled = Arc::new(Handled {
        versions: (0..KEYS).map(|_| AtomicI64::new(0)).collect(),
        count: AtomicU64::new(0),
        wrong: AtomicU64::new(0),
    });
    let seen = Arc::clone(&handled);
    let lanes = NonZeroUsize::new(common.threads).unwrap_or(NonZeroUsize::MIN);
    let subscription = bus
        .subscribe("bench")
        .settlement(Settlement::Watermark)
        .lanes(lanes)
        .on(TOPIC, move |event: &Envelope| seen.event(event))
        .start()?;
    let body = Bytes::from(json(common.size));
    let keys: Vec<_> = (0..KEYS).map(|key| format!("order-{key}")).collect();

    let meter = Meter::start();
    let kept = 2 * usize::try_from(bus.client().limits().pending_acks)?;
    let mut tickets = VecDeque::with_capacity(kept + 1);
    for n in 0..common.msgs {
        let key = &keys[usize::try_from(n % KEYS)?];
        let event = Envelope::new(key.as_str(), "OrderCounted", body.clone())
            .with_event_version(i64::try_from(n / KEYS + 1)?);
        tickets.push_back(bus.publish(TOPIC, &event)?);
        if tickets.len() > kept
            && let Some(ticket) = tickets.pop_front()
        {
            ticket.wait()?;
        }
        setup.tell(n + 1);
    }
    for ticket in tickets {
        ticket.wait()?;
    }
    wait_until_handled(setup, &handled)?;
    let line = setup.line(&meter, "", common.msgs);
    subscription.stop(PATIENCE)?;
    let wrong = handled.wrong.load(Ordering::Relaxed);
    ensure!(wrong == 0, "{wrong} events came out of order, or twice");
    Ok(line)
}

fn wait_until_handled(setup: &Setup, handled: &Handled) -> Result<()> {
    let mut patience = Patience::new(PATIENCE);
    loop {
        let (count, all) = (handled.count.load(Ordering::Relaxed), setup.common().msgs);
        if count >= all {
            return Ok(());
        }
        setup.tell_all(count);
        ensure!(
            !patience.is_over(count, Instant::now()),
            "{count} of {all} events were handled, and no more for {} s",
            PATIENCE.as_secs()
        );
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// A JSON text of `size` bytes.
fn json(size: usize) -> String {
    let [begin, end] = EVENT_FRAME;
    format!("{begin}{}{end}", "x".repeat(size.saturating_sub(begin.len() + end.len())))
}
