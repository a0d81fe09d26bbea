//! `js fetch`: a batch at a time, and the next one when all of it is acknowledged. For comparison with what others call
//! fetch; jetlane itself always pulls ahead.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jetlane::client::Headers;
use jetlane::jetstream::Delivery;

use super::consume::{CONSUMER, all_acknowledged, make_consumer, other_size};
use super::patience::PATIENCE;
use super::setup::Setup;
use super::{ConsumeWork, Line, Meter, STREAM};

pub(super) fn run(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let client = setup.connect()?;
    let js = setup.jetstream(&client)?;
    let before = setup.fill(&js)?;
    make_consumer(setup, &js, ConsumeWork::Each)?;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}");
    // One subscription for all fetches: each new one would flush the server's caches.
    let inbox = client.inbox();
    let mut messages = client.subscribe(&inbox.filter())?;
    client.flush().wait()?;
    let reply = inbox.filter().replace('*', "1");

    let meter = Meter::start();
    let (mut last, end) = (before, before + common.msgs);
    while last < end {
        let batch = (common.batch as u64).min(end - last);
        let expires = Duration::from_secs(10).as_nanos();
        let pull = format!(r#"{{"batch":{batch},"expires":{expires}}}"#);
        client.publish_with(next.as_str(), Some(&reply), &Headers::new(), pull)?;
        for _ in 0..batch {
            let message = messages.next_timeout(PATIENCE).with_context(|| {
                format!("{} of {} messages, and no more for 30 s", last - before, common.msgs)
            })?;
            let ack = message.reply().unwrap_or_default();
            let delivery = Delivery::read(ack)
                .with_context(|| format!("the server refused a fetch: {:?}", message.headers()))?;
            ensure!(
                delivery.stream_sequence == last + 1,
                "message {} came where {} was due",
                delivery.stream_sequence,
                last + 1
            );
            ensure!(message.payload().len() == common.size, "{}", other_size(1));
            client.publish(std::str::from_utf8(ack)?, b"")?;
            last += 1;
            setup.tell(last);
        }
    }
    client.flush().wait()?;
    let line = setup.line(&meter, "", common.msgs);
    all_acknowledged(&js, ConsumeWork::Each, end)?;
    Ok(line)
}
