//! `sub`: from the first message to the last.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use anyhow::{Context, Result, ensure};
use jetlane::client::{Client, Subject};

use super::setup::{PATIENCE, Setup, TELL_EVERY};
use super::{Line, Meter, Mode};

/// What one connection has received, and what it waits for.
struct Count {
    seen: u64,
    bytes: u64,
    all: u64,
    meter: Arc<OnceLock<Meter>>,
    tell: Sender<(u64, u64)>,
}

impl Count {
    #[inline]
    fn message(&mut self, payload: &[u8]) -> bool {
        if self.seen == 0 {
            self.meter.get_or_init(Meter::start);
        }
        self.seen += 1;
        self.bytes += payload.len() as u64;
        if self.seen.is_multiple_of(TELL_EVERY) || self.seen >= self.all {
            let _ = self.tell.send((self.seen, self.bytes));
        }
        self.seen < self.all
    }
}

pub(super) fn run(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let clients = setup.connect_all()?;
    let meter = Arc::<OnceLock<Meter>>::default();
    let (tell, told) = mpsc::channel();
    let mut handles = Vec::new();
    for client in &clients {
        let count = Count {
            seen: 0,
            bytes: 0,
            all: common.msgs,
            meter: Arc::clone(&meter),
            tell: tell.clone(),
        };
        handles.extend(subscribe(setup, client, count)?);
        client.flush().wait()?;
    }
    drop(tell);
    match common.url {
        // To whoever waits to publish.
        Some(_) => eprintln!("subscribed"),
        None => publish(setup)?,
    }
    let mut finished = 0;
    let mut progress = 0;
    while finished < clients.len() {
        let (seen, bytes) =
            told.recv_timeout(PATIENCE).context("nothing came for 30 s: somebody must publish")?;
        if progress < seen {
            progress = seen;
            setup.tell(TELL_EVERY);
        }
        if seen == common.msgs {
            finished += 1;
            let expected = common.msgs * common.size as u64;
            ensure!(bytes == expected, "{bytes} bytes came, not {expected}: is --size right?");
        }
    }
    let meter = meter.get().context("no message was measured")?;
    let mode = match common.mode {
        Mode::Inline => "inline",
        Mode::Queued => "queued",
    };
    let line = setup.line(meter, mode, common.msgs * clients.len() as u64);
    let dropped: u64 = clients.iter().map(|client| client.stats().dropped).sum();
    ensure!(dropped == 0, "{dropped} messages were dropped for want of room");
    Ok(line)
}

/// One subscription, or one a subject.
fn subscribe(
    setup: &Setup,
    client: &Client,
    mut count: Count,
) -> Result<Vec<jetlane::client::SinkHandle>> {
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
                while let Some(message) = messages.next_timeout(PATIENCE) {
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
    for n in 0..setup.common().msgs {
        let n = usize::try_from(n).unwrap_or(0);
        client.publish(&Subject::new(&setup.options.subject_of(n))?, &payload)?;
    }
    client.flush().wait()?;
    Ok(())
}
