//! What a recorder of metrics sees of relays and inboxes.

use std::collections::BTreeMap;

use jetlane::{Envelope, EventBus};
use jetlane_outbox::{Inbox, Relay, Table, partition, schema};
use jetlane_testkit::Server;
use jetlane_tests::eventually;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::service::{On, PATIENCE, Service, event};

/// A recorder of one relay or inbox, and what it has seen.
struct Seen {
    snapshotter: Snapshotter,
    sums: BTreeMap<String, f64>,
}

impl Seen {
    fn record<T>(make: impl FnOnce() -> T) -> (Self, T) {
        let recorder = DebuggingRecorder::new();
        let seen = Self { snapshotter: recorder.snapshotter(), sums: BTreeMap::new() };
        let made = metrics::with_local_recorder(&recorder, make);
        (seen, made)
    }

    /// A look takes what it sees, and so what was seen is added up.
    fn look(&mut self) -> &BTreeMap<String, f64> {
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let labels = key.key().labels();
            let labels = labels.map(|label| format!("{}={}", label.key(), label.value()));
            let labels: Vec<_> = labels.collect();
            let name = format!("{}{{{}}}", key.key().name(), labels.join(","));
            let sum = self.sums.entry(name).or_default();
            match value {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                DebugValue::Counter(count) => *sum += count as f64,
                DebugValue::Gauge(change) => *sum += change.into_inner(),
                DebugValue::Histogram(_) => panic!("there is none: {key:?}"),
            }
        }
        &self.sums
    }

    fn get(&mut self, name: &str) -> f64 {
        self.look().get(name).copied().unwrap_or_else(|| panic!("{name} is not there"))
    }

    fn of_partition(&mut self, name: &str, partition: i16) -> f64 {
        self.get(&format!("{name}{{outbox=jetlane_outbox,partition={partition}}}"))
    }
}

fn start(service: &Service) -> (Seen, Relay) {
    Seen::record(|| service.relay().start().unwrap())
}

/// Publishes an event to where the outbox publishes, and nobody knows of it.
fn publish(service: &Service, event: &Envelope) {
    let (js, headers) = (service.bus.jetstream(), event.headers().unwrap());
    let subject = format!("order.changed.{}", event.aggregate_id());
    js.publish_with(&*subject, &headers, event.payload()).unwrap().wait().unwrap();
}

#[test]
fn what_a_relay_does_is_counted() {
    let service = On::Sqlite.start();
    let js = service.bus.jetstream();
    let mut config = js.stream_info("order_ALL").wait().unwrap().config;
    config.max_msg_size = Some(1000);
    js.update_stream(&config).wait().unwrap();

    let stored = event("a");
    publish(&service, &stored.1);
    let large = Envelope::new("b", "OrderChanged", vec![b'x'; 2000]);
    service.add_events(&[stored, ("order.changed", large)], crate::service::End::Commit);
    let (mut seen, relay) = start(&service);
    eventually("one is found, one refused", || {
        let status = relay.status();
        (status.found == 1 && status.stopped == 1).then_some(())
    });
    // What is last on its subject is not what the relay knows.
    publish(&service, &event("c").1);
    service.add(&["c", "d", "d"]);
    eventually("the others are published", || (relay.status().published == 4).then_some(()));
    relay.stop(PATIENCE).unwrap();
    for (name, expected) in [
        ("jetlane_outbox_published_total", 4.0),
        ("jetlane_outbox_found_total", 1.0),
        ("jetlane_outbox_retries_total", 1.0),
        ("jetlane_outbox_stopped_total", 1.0),
        ("jetlane_outbox_on_their_way", 0.0),
    ] {
        assert_eq!(seen.get(&format!("{name}{{outbox=jetlane_outbox}}")), expected, "{name}");
    }
    assert_eq!(relay.status().retried, 1);
}

#[test]
fn what_is_on_its_way_is_shown() {
    let service = On::Sqlite.start();
    let (mut seen, relay) = start(&service);
    service.add(&["first"]);
    eventually("it publishes", || (relay.status().published == 1).then_some(()));
    service.server.pause();
    service.add(&["a", "a", "b"]);
    let on_their_way = "jetlane_outbox_on_their_way{outbox=jetlane_outbox}";
    eventually("one of each key is sent", || (seen.get(on_their_way) == 2.0).then_some(()));
    service.server.resume();
    eventually("all are published", || (relay.status().published == 4).then_some(()));
    relay.stop(PATIENCE).unwrap();
    assert_eq!(seen.get(on_their_way), 0.0);
}

#[test]
fn what_waits_is_shown_by_the_relay_that_owns_it() {
    // Without a stream all of it waits.
    let connect = |url: &str| EventBus::connect(url).unwrap();
    let service = On::Sqlite.with_server(Server::start().unwrap(), connect);
    let [low, high] = [0..32, 32..64].map(|partitions| {
        let keys = (0..).map(|n| format!("order-{n}"));
        keys.into_iter().find(|key| partitions.contains(&partition(key))).unwrap()
    });
    service.add(&[&low, &low, &low, &high]);
    let sql = "UPDATE jetlane_outbox SET added_at = added_at - 3600000 WHERE key = ?1";
    service.connect().execute(sql, [&high]).unwrap();

    let (mut first, one) = start(&service);
    let waiting = |seen: &mut Seen| {
        [&low, &high].map(|key| seen.of_partition("jetlane_outbox_waiting", partition(key)))
    };
    eventually("the first one has all", || (waiting(&mut first) == [3.0, 1.0]).then_some(()));
    let (mut second, other) = start(&service);
    eventually("each has its own", || {
        (waiting(&mut first) == [3.0, 0.0] && waiting(&mut second) == [0.0, 1.0]).then_some(())
    });
    let mut age = |key: &str| second.of_partition("jetlane_outbox_oldest_seconds", partition(key));
    assert!((3600.0..3700.0).contains(&age(&high)));
    assert_eq!(age(&low), 0.0);
    for relay in [one, other] {
        relay.stop(PATIENCE).unwrap();
    }
    for seen in [&mut first, &mut second] {
        let gauges = seen.look().iter().filter(|(name, _)| name.contains("partition="));
        let gauges: Vec<_> = gauges.collect();
        assert_eq!(gauges.len(), 128);
        assert!(gauges.iter().all(|(_, value)| **value == 0.0), "{gauges:?}");
    }
}

#[test]
fn what_an_inbox_handles_and_what_comes_again_is_counted() {
    let service = On::Sqlite.start();
    service.connect().execute_batch(&schema::inbox_sqlite(&Table::inbox())).unwrap();
    let path = service.path();
    let (mut seen, inbox) = Seen::record(|| {
        Inbox::sqlite("billing", move || {
            let connection = rusqlite::Connection::open(&path)?;
            connection.busy_timeout(PATIENCE)?;
            Ok(connection)
        })
    });
    for key in ["a", "b", "c"] {
        publish(&service, &event(key).1);
    }
    // Both hear all of it, and the second one of an event finds it handled.
    for name in ["one", "two"] {
        let handler = inbox.handler(|_: &Envelope, _: &mut rusqlite::Transaction<'_>| {});
        service.bus.subscribe(name).on_raw("order.changed.*", handler).start().unwrap();
    }
    let outcome =
        |of: &str| format!("jetlane_inbox_events_total{{subscription=billing,outcome={of}}}");
    eventually("all were there twice", || (inbox.counts().repeated == 3).then_some(()));
    assert_eq!(seen.get(&outcome("handled")), 3.0);
    assert_eq!(seen.get(&outcome("repeated")), 3.0);
    service.bus.close(PATIENCE).unwrap();
}
