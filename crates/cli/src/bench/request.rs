//! `req` and `serve`: requests, one at a time a thread.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jetlane::client::{Client, Message, MessageRef, Out, RequestError, Sink, SinkHandle, Subject};

use super::setup::{PATIENCE, Setup, TELL_EVERY, join};
use super::{Latencies, Line, Meter, Schedule};

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
        let ask = || local.request(&subject, &payload, TIMEOUT);
        let latencies = measure(setup, common.msgs, &payload, ask)?;
        (meter, latencies, "local")
    } else {
        let clients = setup.connect_all()?;
        let workers = common.clients * common.threads;
        let meter = Meter::start();
        let (subject, payload) = (&subject, &payload);
        let all = thread::scope(|scope| {
            let ask = |(index, client): (usize, &Client)| {
                let (count, client) = (setup.share(index, workers), client.clone());
                scope.spawn(move || {
                    let ask = || client.request(subject, payload, TIMEOUT)?.wait();
                    measure(setup, count, payload, ask)
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
    payload: &[u8],
    mut ask: impl FnMut() -> Result<Message, RequestError>,
) -> Result<Latencies> {
    let mut latencies = Latencies::new();
    let schedule = setup.common().rate.map(Schedule::new);
    for n in 0..count {
        let begun = schedule.as_ref().map_or_else(Instant::now, |schedule| schedule.wait_for(n));
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
    let (tell, told) = mpsc::channel();
    let (mut seen, all) = (0u64, common.msgs);
    let mut meter = None;
    let _handle = echo(&client, &common.subject, move |_| {
        meter.get_or_insert_with(Meter::start);
        seen += 1;
        if seen.is_multiple_of(TELL_EVERY) || seen == all {
            let _ = tell.send((seen, meter.take_if(|_| seen == all)));
        }
    })?;
    client.flush().wait()?;
    // To whoever waits to ask.
    eprintln!("subscribed");
    loop {
        let (_, meter) = told.recv_timeout(PATIENCE).context("nobody asked for 30 s")?;
        setup.tell(TELL_EVERY);
        if let Some(meter) = meter {
            client.flush().wait()?;
            return Ok(setup.line(&meter, "", common.msgs));
        }
    }
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
