//! `pub`: as fast as it goes.

use std::thread;

use anyhow::{Result, ensure};
use jetlane::client::{Client, Subject};

use super::setup::{Setup, join};
use super::{Line, Meter};

pub(super) fn run(setup: &Setup) -> Result<Line> {
    let common = setup.common();
    let clients = setup.connect_all()?;
    let subjects: Vec<_> = (0..common.subjects)
        .map(|n| Subject::new(&setup.options.subject_of(n)))
        .collect::<Result<_, _>>()?;
    let payload = setup.payload();
    let workers = common.clients * common.threads;

    let meter = Meter::start();
    thread::scope(|scope| {
        let (subjects, payload) = (&subjects, &payload);
        let publish = |(index, client)| {
            let count = setup.share(index, workers);
            scope.spawn(move || publish(setup, client, subjects, payload, count))
        };
        let clients = clients.iter().cycle().take(workers);
        join(clients.enumerate().map(publish).collect())
    })?;
    for client in &clients {
        client.flush().wait()?;
    }
    let line = setup.line(&meter, "", common.msgs);

    let sent: u64 = clients.iter().map(|client| client.stats().messages_out).sum();
    ensure!(sent == common.msgs, "{sent} messages were published, not {}", common.msgs);
    let reconnects: u64 = clients.iter().map(|client| client.stats().reconnects).sum();
    ensure!(reconnects == 0, "the connection was lost {reconnects} times: messages may be lost");
    Ok(line)
}

fn publish(
    setup: &Setup,
    client: &Client,
    subjects: &[Subject],
    payload: &[u8],
    count: u64,
) -> Result<()> {
    let mut subjects = subjects.iter().cycle();
    for n in 1..=count {
        if let Some(subject) = subjects.next() {
            client.publish(subject, payload)?;
        }
        setup.tell(n);
    }
    Ok(())
}
