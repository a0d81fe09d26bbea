//! `js pub`: published and acknowledged.

use std::collections::VecDeque;
use std::thread;

use anyhow::{Result, ensure};
use jetlane::client::{Client, Subject};
use jetlane::jetstream::{JetStream, Outcome, Ticket};

use super::schedule::{Pace, Schedule};
use super::setup::{Setup, join};
use super::{Latencies, Line, Meter, STREAM};

pub(super) fn many_at_a_time(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let (clients, streams, stored) = connect(setup)?;
    let subject = Subject::new(&common.subject)?;
    let payload = setup.payload();
    let workers = common.clients * common.threads;
    let kept = setup.kept_tickets(&clients[0])?;

    let meter = Meter::start();
    thread::scope(|scope| {
        let (subject, payload) = (&subject, &payload);
        let publish = |(index, js)| {
            let count = setup.share(index, workers);
            scope.spawn(move || publish(setup, js, subject, payload, count, kept))
        };
        join(streams.iter().cycle().take(workers).enumerate().map(publish).collect())
    })?;
    let line = setup.line(&meter, "", common.msgs);
    all_stored(&streams[0], stored, common.msgs)?;
    Ok(line)
}

fn publish(
    setup: &Setup,
    js: &JetStream,
    subject: &Subject,
    payload: &[u8],
    count: u64,
    kept: usize,
) -> Result<()> {
    let mut tickets: VecDeque<Ticket> = VecDeque::with_capacity(kept + 1);
    for n in 1..=count {
        tickets.push_back(js.publish(subject, payload)?);
        if tickets.len() > kept
            && let Some(ticket) = tickets.pop_front()
        {
            ticket.wait()?;
        }
        setup.tell(n);
    }
    for ticket in tickets {
        ticket.wait()?;
    }
    Ok(())
}

pub(super) fn one_at_a_time(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let subject = Subject::new(&common.subject)?;
    let payload = setup.payload();
    let (clients, streams, stored) = connect(setup)?;
    let (meter, latencies, mode) = if common.local {
        let mut local = setup.connect_local()?;
        let js = JetStream::new(local.client().clone())?;
        local.flush()?;
        let meter = Meter::start();
        let schedule = common.rate.map(Schedule::new);
        let pace = Pace { schedule: schedule.as_ref(), worker: 0, workers: 1 };
        let publish = || Ok(local.wait(js.publish(&subject, &payload)?));
        (meter, measure(setup, common.msgs, pace, publish)?, "local")
    } else {
        let workers = common.clients * common.threads;
        let meter = Meter::start();
        let schedule = common.rate.map(Schedule::new);
        let (subject, payload, schedule) = (&subject, &payload, schedule.as_ref());
        let all = thread::scope(|scope| {
            let publish = |(index, js): (usize, &JetStream)| {
                let (count, js) = (setup.share(index, workers), js.clone());
                let pace = Pace { schedule, worker: index as u64, workers: workers as u64 };
                scope.spawn(move || {
                    measure(setup, count, pace, || Ok(js.publish(subject, payload)?.wait()))
                })
            };
            join(streams.iter().cycle().take(workers).enumerate().map(publish).collect())
        })?;
        let mut latencies = Latencies::new();
        all.iter().for_each(|part| latencies.add(part));
        (meter, latencies, "")
    };
    let line = setup.line_with(&meter, mode, &latencies);
    all_stored(&streams[0], stored, common.msgs)?;
    drop(clients);
    Ok(line)
}

fn measure(
    setup: &Setup,
    count: u64,
    pace: Pace<'_>,
    mut publish: impl FnMut() -> Result<Outcome>,
) -> Result<Latencies> {
    let mut latencies = Latencies::new();
    for n in 0..count {
        let begun = pace.begin(n);
        publish()??;
        latencies.record(begun.elapsed());
        setup.tell(n + 1);
    }
    Ok(latencies)
}

/// Connections with JetStream on them, and how many messages the stream has now.
fn connect(setup: &Setup) -> Result<(Vec<Client>, Vec<JetStream>, u64)> {
    let clients = setup.connect_all()?;
    let streams: Vec<_> =
        clients.iter().map(|client| setup.jetstream(client)).collect::<Result<_>>()?;
    let stored = streams[0].stream_info(STREAM).wait()?.state.messages;
    Ok((clients, streams, stored))
}

/// Sees that the stream has `more` messages than there were.
fn all_stored(js: &JetStream, before: u64, more: u64) -> Result<()> {
    let stored = js.stream_info(STREAM).wait()?.state.messages;
    ensure!(stored == before + more, "the stream has {stored} messages, not {}", before + more);
    Ok(())
}
