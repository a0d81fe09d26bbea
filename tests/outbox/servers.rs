//! What becomes of a relay whose PostgreSQL dies, or is stopped in its tracks.

use std::time::Duration;

use jetlane_outbox::Trouble;
use jetlane_tests::eventually;

use crate::service::{On, PATIENCE};

#[test]
fn what_was_committed_before_a_server_was_killed_is_published_once_when_it_is_back() {
    let mut service = On::Postgres.start();
    let keys: Vec<_> = (0..20).map(|n| format!("order-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    let relay = service.relay().start().unwrap();
    for round in 1..=3 {
        (0..20).for_each(|_| service.add(&keys));
        service.outbox.wake();
        // In the midst of it, if it is quick.
        eventually("some are published", || {
            (relay.status().published > (round - 1) * 400).then_some(())
        });
        service.postgres().kill();
        eventually("it says so", || {
            let troubles = relay.status().troubles;
            troubles.iter().any(|trouble| matches!(trouble, Trouble::Database(_))).then_some(())
        });
        service.postgres().restart().unwrap();
        eventually("nothing waits", || (service.waiting() == 0).then_some(()));
    }
    let stored = service.stored();
    assert_eq!(stored.len(), 3 * 400);
    for key in keys {
        // UUIDv7s of one process grow.
        let ids: Vec<_> = stored.iter().filter(|(of, _)| of == key).map(|(_, id)| id).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{key}");
    }
    relay.stop(PATIENCE).unwrap();
}

#[test]
fn a_relay_waits_for_a_server_that_is_stopped_and_goes_on() {
    let mut service = On::Postgres.start();
    let relay = service.relay().start().unwrap();
    service.add(&["a"]);
    eventually("one is published", || (relay.status().published == 1).then_some(()));
    service.add(&["a", "b"]);
    service.postgres().pause();
    assert!(relay.stop(Duration::from_millis(200)).is_err(), "it waits for the database");
    service.postgres().resume();
    relay.stop(PATIENCE).unwrap();
    let relay = service.relay().start().unwrap();
    eventually("nothing waits", || (service.waiting() == 0).then_some(()));
    assert_eq!(service.stored().len(), 3);
    relay.stop(PATIENCE).unwrap();
}
