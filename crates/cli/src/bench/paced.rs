//! `pub --rate`: how long a message takes from when it was due to be published until it is received.

use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use jetlane::client::Subject;

use super::options::LEAST_SIZE;
use super::patience::READER_PATIENCE;
use super::setup::Setup;
use super::{Latencies, Line, Meter, Mode, Schedule};

pub(super) fn run(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let rate = common.rate.context("a rate is given")?;
    let (publisher, receiver) = (setup.connect()?, setup.connect()?);
    let subject = Subject::new(&common.subject)?;
    let mut payload = setup.payload();
    let (tell, told) = mpsc::channel();
    // When each was received is all that is noted on the way; what that means is found out afterwards.
    let mut received: Vec<(u64, Instant)> = Vec::with_capacity(usize::try_from(common.msgs)?);
    let all = received.capacity();
    let mut take = move |payload: &[u8]| {
        received.push((number(payload), Instant::now()));
        if received.len() == all {
            let _ = tell.send(std::mem::take(&mut received));
        }
    };
    let mut reader = None;
    let handle = match common.mode {
        Mode::Inline => Some(
            receiver
                .subscription(&common.subject)
                .inline(move |message| take(message.payload()))?,
        ),
        Mode::Queued => {
            let mut messages = receiver.subscribe(&common.subject)?;
            reader = Some(std::thread::spawn(move || {
                for _ in 0..all {
                    match messages.next_timeout(READER_PATIENCE) {
                        Some(message) => take(message.payload()),
                        None => break,
                    }
                }
            }));
            None
        }
    };
    receiver.flush().wait()?;

    let meter = Meter::start();
    let schedule = Schedule::new(rate);
    for n in 0..common.msgs {
        schedule.wait_for(n);
        payload[..LEAST_SIZE].copy_from_slice(&n.to_le_bytes());
        publisher.publish(&subject, &payload)?;
        setup.tell(n + 1);
    }
    publisher.flush().wait()?;
    let received =
        setup.wait_for(&told, "messages were lost", || Ok(receiver.stats().messages_in))?;
    let mode = if common.mode == Mode::Inline { "inline" } else { "queued" };
    let mut latencies = Latencies::new();
    for (expected, &(n, at)) in (0..).zip(&received) {
        ensure!(n == expected, "message {n} came where {expected} was due");
        latencies.record(at.saturating_duration_since(schedule.due(n)));
    }
    drop((handle, reader));
    Ok(setup.line_with(&meter, &format!("{rate}/s {mode}"), &latencies))
}

/// The number that a payload carries.
fn number(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(u64::MAX, |number| u64::from_le_bytes(*number))
}
