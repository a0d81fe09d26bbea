//! `sub`: from the first message to the last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use anyhow::{Context, Result, ensure};
use jetlane::client::{Client, SinkHandle, Subject};

use super::patience::READER_PATIENCE;
use super::setup::Setup;
use super::{Line, Meter, Mode};

/// How many messages one connection has received, written by one thread and read by another. In cache lines of its own:
/// each connection writes its count for every message.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Seen(AtomicU64);

/// What one connection has received, and what it waits for.
struct Count {
    seen: u64,
    bytes: u64,
    all: u64,
    meter: Arc<OnceLock<Meter>>,
    tell: Arc<Seen>,
    /// Told how many bytes it was, once all are here.
    finish: Sender<u64>,
}

impl Count {
    #[inline]
    fn message(&mut self, payload: &[u8]) -> bool {
        if self.seen == 0 {
            self.meter.get_or_init(Meter::start);
        }
        self.seen += 1;
        self.bytes += payload.len() as u64;
        self.tell.0.store(self.seen, Ordering::Relaxed);
        if self.seen == self.all {
            let _ = self.finish.send(self.bytes);
        }
        self.seen < self.all
    }
}

pub(super) fn run(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let clients = setup.connect_all()?;
    let meter = Arc::<OnceLock<Meter>>::default();
    let (finish, finished) = mpsc::channel();
    let (mut seen, mut handles) = (Vec::new(), Vec::new());
    for client in &clients {
        let tell = Arc::<Seen>::default();
        seen.push(Arc::clone(&tell));
        let (meter, finish) = (Arc::clone(&meter), finish.clone());
        let count = Count { seen: 0, bytes: 0, all: common.msgs, meter, tell, finish };
        handles.extend(subscribe(setup, client, count)?);
        client.flush().wait()?;
    }
    drop(finish);
    match common.url {
        // To whoever waits to publish.
        Some(_) => eprintln!("subscribed"),
        None => publish(setup)?,
    }
    let all_seen = || {
        none_dropped(&clients)?;
        Ok(seen.iter().map(|seen| seen.0.load(Ordering::Relaxed)).sum())
    };
    for _ in &clients {
        let bytes = setup.wait_for(&finished, "somebody must publish on --subject", all_seen)?;
        let expected = common.msgs * common.size as u64;
        ensure!(bytes == expected, "{bytes} bytes came, not {expected}: is --size right?");
    }
    let meter = meter.get().context("no message was measured")?;
    let mode = match common.mode {
        Mode::Inline => "inline",
        Mode::Queued => "queued",
    };
    let line = setup.line(meter, mode, setup.options.messages());
    none_dropped(&clients)?;
    Ok(line)
}

fn none_dropped(clients: &[Client]) -> Result<()> {
    let dropped: u64 = clients.iter().map(|client| client.stats().dropped).sum();
    ensure!(dropped == 0, "{dropped} messages were dropped for want of room");
    Ok(())
}

/// One subscription, or one a subject.
fn subscribe(setup: &Setup, client: &Client, mut count: Count) -> Result<Vec<SinkHandle>> {
    let common = setup.common();
    match common.mode {
        Mode::Inline if common.subjects == 1 => {
            let subscription = client.subscription(&common.subject);
            let handle = subscription.inline(move |message| {
                count.message(message.payload());
            })?;
            Ok(vec![handle])
        }
        Mode::Inline => {
            let count = Arc::new(parking_lot::Mutex::new(count));
            let subscribe = |n| {
                let (subject, count) = (setup.options.subject_of(n), Arc::clone(&count));
                client.subscription(&subject).inline(move |message| {
                    count.lock().message(message.payload());
                })
            };
            Ok((0..common.subjects).map(subscribe).collect::<Result<_, _>>()?)
        }
        Mode::Queued => {
            ensure!(common.subjects == 1, "--subjects with `sub` is for --mode inline");
            let mut messages = client.subscribe(&common.subject)?;
            thread::Builder::new().name("reader".into()).spawn(move || {
                while let Some(message) = messages.next_timeout(READER_PATIENCE) {
                    if !count.message(message.payload()) {
                        break;
                    }
                }
            })?;
            Ok(Vec::new())
        }
    }
}

/// Nobody else can: the server is ours. Its CPU counts, too.
fn publish(setup: &Setup) -> Result<()> {
    let client = setup.connect()?;
    let payload = setup.payload();
    let subjects: Vec<_> = (0..setup.common().subjects)
        .map(|n| Subject::new(&setup.options.subject_of(n)))
        .collect::<Result<_, _>>()?;
    for (_, subject) in (0..setup.common().msgs).zip(subjects.iter().cycle()) {
        client.publish(subject, &payload)?;
    }
    client.flush().wait()?;
    Ok(())
}
