//! Which rows a relay may read on PostgreSQL, and in which order: see docs/decisions/2026-11-21-the-order-of-an-outbox.md.
//!
//! The first event of a key is added by a transaction whose number is the higher one. So it is wherever a transaction has written
//! something before it waits for the aggregate.

use jetlane_outbox::Outbox;
use jetlane_tests::eventually;
use postgres::{Client, Transaction};

use crate::service::{On, PATIENCE, Service, event};

/// Rows of transactions that are older than all that run, in the order of the transactions: what a transaction horizon gives.
const BELOW_THE_HORIZON: &str = "SELECT event_id FROM jetlane_outbox \
     WHERE xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
     ORDER BY xmin::text::bigint, position";

fn service() -> Service {
    let service = On::Postgres.start();
    service.run(
        "CREATE TABLE orders (id text PRIMARY KEY, version int NOT NULL); \
         INSERT INTO orders VALUES ('a', 0), ('b', 0), ('c', 0)",
    );
    service
}

/// Begins a transaction that has a number.
fn begin<'a>(client: &'a mut Client, order: &str) -> Transaction<'a> {
    let mut transaction = client.transaction().unwrap();
    change(&mut transaction, order);
    transaction
}

/// Waits for whoever changes the order at this time.
fn change(transaction: &mut Transaction<'_>, order: &str) {
    let changed = "UPDATE orders SET version = version + 1 WHERE id = $1";
    assert_eq!(transaction.execute(changed, &[&order]).unwrap(), 1);
}

/// Adds an event of the order that is the first part of its id.
fn add(transaction: &mut Transaction<'_>, id: &str) {
    let (topic, event) = event(&id[..1]);
    Outbox::new().add(transaction, topic, event.with_event_id(id)).unwrap();
}

fn below_the_horizon(service: &Service) -> Vec<String> {
    let rows = service.client().query(BELOW_THE_HORIZON, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn stored(service: &Service) -> Vec<String> {
    service.stored().into_iter().map(|(_, id)| id).collect()
}

#[test]
fn a_transaction_horizon_inverts_the_events_of_a_key_and_positions_do_not() {
    let service = service();
    let (mut one, mut two) = (service.client(), service.client());
    let mut began_first = begin(&mut one, "b");
    let mut commits_first = begin(&mut two, "a");
    add(&mut commits_first, "a1");
    commits_first.commit().unwrap();
    change(&mut began_first, "a");
    add(&mut began_first, "a2");
    began_first.commit().unwrap();
    assert_eq!(below_the_horizon(&service), ["a2", "a1"]);
    let relay = service.relay().start().unwrap();
    eventually("both are published", || (service.waiting() == 0).then_some(()));
    assert_eq!(stored(&service), ["a1", "a2"]);
    relay.stop(PATIENCE).unwrap();
}

#[test]
fn a_long_transaction_holds_up_its_own_events_only() {
    let service = service();
    let (mut one, mut two, mut three) = (service.client(), service.client(), service.client());
    let mut began_first = begin(&mut one, "b");
    let mut long = begin(&mut two, "c");
    // Its position is the lowest one, and it is seen last.
    add(&mut long, "c1");
    let mut commits_first = begin(&mut three, "a");
    add(&mut commits_first, "a1");
    commits_first.commit().unwrap();
    change(&mut began_first, "a");
    add(&mut began_first, "a2");
    began_first.commit().unwrap();
    // With a horizon, not even positions help: the later event of the key is below it, and the earlier one is not.
    assert_eq!(below_the_horizon(&service), ["a2"]);

    let relay = service.relay().start().unwrap();
    eventually("two are published", || (relay.status().published == 2).then_some(()));
    assert_eq!(stored(&service), ["a1", "a2"]);
    service.add(&["a", "b"]);
    eventually("four are published", || (relay.status().published == 4).then_some(()));
    long.commit().unwrap();
    eventually("all are published", || (relay.status().published == 5).then_some(()));
    assert_eq!(stored(&service)[4], "c1");
    relay.stop(PATIENCE).unwrap();
}
