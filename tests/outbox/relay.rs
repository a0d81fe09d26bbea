//! What a relay does when nothing fails, and when something does.

use std::time::Duration;

use jetlane_tests::eventually;

use crate::service::{End, On, PATIENCE};

pub(crate) fn what_is_committed_is_published_in_order_and_taken_out(on: On) {
    let service = on.start();
    let keys: Vec<_> = (0..50).map(|n| format!("order-{n}")).collect();
    for round in 0..20 {
        let some: Vec<_> = keys.iter().skip(round % 3).map(|key| &**key).collect();
        service.add(&some);
    }
    let waiting = service.waiting();
    let relay = service.relay().start().unwrap();
    service.outbox.wake();
    eventually("nothing waits", || (service.waiting() == 0).then_some(()));
    let stored = service.stored();
    assert_eq!(stored.len() as u64, waiting);
    for key in &keys {
        // UUIDv7s of one process grow.
        let ids: Vec<_> = stored.iter().filter(|(of, _)| of == key).map(|(_, id)| id).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{key}");
    }
    let status = relay.status();
    assert_eq!((status.published, status.found, status.stopped), (waiting, 0, 0));
    assert_eq!(status.troubles, []);
    relay.stop(Duration::from_secs(10)).unwrap();
}

pub(crate) fn what_is_rolled_back_is_never_published(on: On) {
    let service = on.start();
    let relay = service.relay().start().unwrap();
    for end in [End::Rollback, End::Commit].into_iter().cycle().take(10) {
        service.add_and(&["a"], end);
        service.outbox.wake();
    }
    eventually("five are published", || (relay.status().published == 5).then_some(()));
    assert_eq!(service.stored().len(), 5);
    relay.stop(PATIENCE).unwrap();
}
