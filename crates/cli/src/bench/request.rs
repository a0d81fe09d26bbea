//! `req` and `serve`: requests, one at a time a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jetlane::client::{Client, Message, MessageRef, Out, RequestError, Sink, SinkHandle, Subject};

use super::schedule::{Pace, Schedule};
use super::setup::{Setup, join};
use super::{Latencies, Line, Meter};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    // On a server of our own nobody else can answer.
    let echo = match common.url {
        Some(_) => None,
        None => {
            let client = setup.connect()?;
            let handle = echo(&client, &common.subject, |_| ())?;
            client.flush().wait()?;
            Some((handle, client))
        }
    };
    let subject = Subject::new(&common.subject)?;
    let payload = setup.payload();
    let (meter, latencies, mode) = if common.local {
        let mut local = setup.connect_local()?;
        let meter = Meter::start();
        let schedule = common.rate.map(Schedule::new);
        let pace = Pace { schedule: schedule.as_ref(), worker: 0, workers: 1 };
        let ask = || local.request(&subject, &payload, TIMEOUT);
        let latencies = measure(setup, common.msgs, pace, &payload, ask)?;
        (meter, latencies, "local")
    } else {
        let clients = setup.connect_all()?;
        let workers = common.clients * common.threads;
        let meter = Meter::start();
        let schedule = common.rate.map(Schedule::new);
        let (subject, payload, schedule) = (&subject, &payload, schedule.as_ref());
        let all = thread::scope(|scope| {
            let ask = |(index, client): (usize, &Client)| {
                let (count, client) = (setup.share(index, workers), client.clone());
                let pace = Pace { schedule, worker: index as u64, workers: workers as u64 };
                scope.spawn(move || {
                    let ask = || client.request(subject, payload, TIMEOUT)?.wait();
                    measure(setup, count, pace, payload, ask)
                })
            };
            join(clients.iter().cycle().take(workers).enumerate().map(ask).collect())
        })?;
        let mut latencies = Latencies::new();
        all.iter().for_each(|part| latencies.add(part));
        (meter, latencies, "")
    };
    drop(echo);
    Ok(setup.line_with(&meter, mode, &latencies))
}

fn measure(
    setup: &Setup,
    count: u64,
    pace: Pace<'_>,
    payload: &[u8],
    mut ask: impl FnMut() -> Result<Message, RequestError>,
) -> Result<Latencies> {
    let mut latencies = Latencies::new();
    for n in 0..count {
        let begun = pace.begin(n);
        let answer =
            ask().context("somebody must answer on --subject, as `jetlane bench serve`")?;
        latencies.record(begun.elapsed());
        ensure!(answer.payload() == payload, "an answer is not what was asked");
        setup.tell(n + 1);
    }
    Ok(latencies)
}

pub(super) fn serve(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let client = setup.connect()?;
    let (finish, finished) = mpsc::channel();
    let answered = Arc::<AtomicU64>::default();
    let (mut seen, all) = (0, common.msgs);
    let (mut meter, count) = (None, Arc::clone(&answered));
    let _handle = echo(&client, &common.subject, move |_| {
        let meter = meter.get_or_insert_with(Meter::start);
        seen += 1;
        count.store(seen, Ordering::Relaxed);
        if seen == all {
            let _ = finish.send(meter.clone());
        }
    })?;
    client.flush().wait()?;
    // To whoever waits to ask.
    eprintln!("subscribed");
    let meter = setup.wait_for(&finished, "somebody must send requests to --subject", || {
        Ok(answered.load(Ordering::Relaxed))
    })?;
    // The last answer is on its way before the barrier.
    client.flush().wait()?;
    Ok(setup.line(&meter, "", common.msgs))
}

/// Answers every request with what it brings.
fn echo(
    client: &Client,
    subject: &str,
    seen: impl FnMut(&MessageRef<'_>) + Send + 'static,
) -> Result<SinkHandle> {
    Ok(client.subscription(subject).sink(Echo { seen })?)
}

struct Echo<F> {
    seen: F,
}

impl<F: FnMut(&MessageRef<'_>) + Send + 'static> Sink for Echo<F> {
    fn message(&mut self, message: &MessageRef<'_>, out: &mut Out<'_>) {
        if let Some(reply) = message.reply() {
            out.publish(reply, b"", message.payload());
            (self.seen)(message);
        }
    }
}
