//! When a relay looks into the table, and how often it writes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use jetlane_outbox::{Database, Relay};
use jetlane_tests::eventually;
use rusqlite::Connection;

use crate::service::{On, PATIENCE};

#[test]
fn a_relay_that_is_woken_after_a_commit_publishes_at_once() {
    let service = On::Sqlite.start();
    let relay = service.relay().poll(Duration::from_secs(3600)).start().unwrap();
    for published in 1..=20 {
        service.add(&["a"]);
        service.outbox.wake();
        eventually("it is published", || (relay.status().published == published).then_some(()));
    }
    relay.stop(PATIENCE).unwrap();
}

#[test]
fn rows_are_taken_out_in_batches() {
    const ROWS: usize = 2000;
    let service = On::Sqlite.start();
    let keys: Vec<_> = (0..ROWS).map(|n| format!("order-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    service.add(&keys);
    let commits = Arc::<AtomicUsize>::default();
    let (path, counted) = (service.path(), Arc::clone(&commits));
    let database = Database::sqlite(move || {
        let connection = Connection::open(&path)?;
        connection.busy_timeout(PATIENCE)?;
        let counted = Arc::clone(&counted);
        connection.commit_hook(Some(move || {
            counted.fetch_add(1, Relaxed);
            false
        }))?;
        Ok(connection)
    });
    let relay = Relay::of(&service.bus, &service.outbox, database).start().unwrap();
    eventually("all are published", || (service.waiting() == 0).then_some(()));
    relay.stop(PATIENCE).unwrap();
    let commits = commits.load(Relaxed);
    println!("{commits} transactions for {ROWS} rows");
    assert!(commits < ROWS / 5, "{commits}");
}
