//! What every store does, whatever its database.

use std::time::Duration;

use jetlane::Envelope;

use super::{Keep, Lease, Owned, PassedOver, RelayBeat, Row, Sent, Stop, Store, Wanted};
use crate::partition::{PARTITIONS, partition};
use crate::{Outbox, Table};

pub(crate) type Event = (&'static str, Envelope);

/// A database of its own, with the tables of an outbox.
pub(crate) trait Database {
    /// Of the outbox.
    fn table(&self) -> &Table;

    fn outbox(&self) -> Outbox {
        Outbox::in_table(self.table().clone())
    }

    fn store(&self) -> Box<dyn Store> {
        self.store_in(self.table())
    }

    fn store_in(&self, table: &Table) -> Box<dyn Store>;

    /// Adds events in one transaction.
    fn add(&self, outbox: &Outbox, events: Vec<Event>);
}

/// Every test with a database of its own.
pub(crate) fn run_all<D: Database>(make: impl Fn() -> D) {
    leases_are_taken_as_they_were_seen(&make());
    relays_that_are_gone_are_forgotten(&make());
    rows_are_read_in_order_and_only_those_wanted(&make());
    keys_wait_behind_what_is_not_read_of_them(&make());
    rows_keep_all_that_an_event_has(&make());
    what_is_stored_is_taken_out_and_kept_if_wanted(&make());
    a_stopped_key_is_not_read_until_it_goes_on(&make());
    only_the_owner_stops_a_key(&make());
    the_tables_are_checked_and_relays_tell_of_themselves(&make());
}

fn all() -> Vec<i16> {
    (0..PARTITIONS).collect()
}

fn event(key: &str) -> Event {
    ("order.changed", Envelope::new(key, "Changed", "{}").with_trace_id("t"))
}

fn read(store: &mut dyn Store, held: &[i64], most: u32) -> Vec<Row> {
    store
        .read(&Wanted {
            partitions: &all(),
            passed_over: PassedOver { positions: held, ..PassedOver::default() },
            most,
        })
        .unwrap()
}

fn keys(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| &*row.key).collect()
}

fn lease(store: &mut dyn Store, relay: &str, partition: i16) -> Lease {
    let leases = store.beat(relay, None).unwrap().leases;
    leases.into_iter().find(|lease| lease.partition == partition).unwrap()
}

fn leases_are_taken_as_they_were_seen(database: &impl Database) {
    let (store, other) = (&mut *database.store(), &mut *database.store());
    let leases = store.beat("one", None).unwrap().leases;
    assert_eq!(leases.len(), usize::try_from(PARTITIONS).unwrap());
    assert!(leases.iter().all(|lease| lease.owner.is_none() && lease.epoch == 0));

    let owned = store.take("one", &leases[3..5]).unwrap();
    assert_eq!(owned, [3, 4].map(|partition| Owned { partition, epoch: 1 }));
    assert_eq!(other.take("two", &leases[3..6]).unwrap(), [Owned { partition: 5, epoch: 1 }]);

    let seen = lease(other, "two", 3);
    assert_eq!((seen.owner.as_deref(), seen.epoch), (Some("one"), 1));
    let beaten = lease(store, "one", 3);
    assert_eq!(beaten.beat, seen.beat + 1);
    assert_eq!(other.take("two", &[seen]).unwrap(), [], "it has beaten since");
    assert_eq!(
        other.take("two", std::slice::from_ref(&beaten)).unwrap(),
        [Owned { partition: 3, epoch: 2 }]
    );

    assert_eq!(store.still_owned("one", &owned).unwrap(), owned[1..]);
    store.release("one", &owned).unwrap();
    assert_eq!(lease(other, "two", 3).owner.as_deref(), Some("two"), "it was not one's any more");
    assert_eq!(lease(other, "two", 4).owner, None);
    let seen = lease(store, "one", 4);
    assert_eq!(store.take("one", &[seen]).unwrap(), [Owned { partition: 4, epoch: 2 }]);
    store.release("one", &owned).unwrap();
    let leases = store.beat("one", None).unwrap().leases;
    assert_eq!(leases[4].owner.as_deref(), Some("one"), "that was an earlier time");
    assert!(leases.is_sorted_by_key(|lease| lease.partition));
}

fn relays_that_are_gone_are_forgotten(database: &impl Database) {
    let store = &mut *database.store();
    store.beat("one", None).unwrap();
    let seen = store.beat("two", None).unwrap().relays;
    store.beat("two", None).unwrap();
    store.forget(&seen).unwrap();
    assert_eq!(
        store.beat("two", None).unwrap().relays,
        [RelayBeat { relay: "two".into(), beat: 2 }]
    );
}

fn rows_are_read_in_order_and_only_those_wanted(database: &impl Database) {
    let store = &mut *database.store();
    database.add(&database.outbox(), ["a", "b", "a"].map(event).into());
    database.add(&database.outbox(), ["c", "a"].map(event).into());
    let rows = read(store, &[], 100);
    assert_eq!(keys(&rows), ["a", "b", "a", "c", "a"]);
    let positions: Vec<_> = rows.iter().map(|row| row.position).collect();
    assert!(positions.is_sorted_by(|one, next| one < next));
    assert_eq!(read(store, &positions[..2], 2), rows[2..4]);
    assert_eq!(read(store, &positions, 9), []);
    let of_keys = ["a", "c'\""].map(String::from);
    let passed_over = PassedOver { keys: &of_keys, ..PassedOver::default() };
    let wanted = Wanted { partitions: &all(), passed_over, most: 9 };
    assert_eq!(keys(&store.read(&wanted).unwrap()), ["b", "c"]);

    let partitions = [partition("a")];
    let of_a = store
        .read(&Wanted { partitions: &partitions, passed_over: PassedOver::default(), most: 9 })
        .unwrap();
    assert_eq!(keys(&of_a), ["a"; 3]);
    assert_eq!(
        store
            .read(&Wanted { partitions: &[], passed_over: PassedOver::default(), most: 9 })
            .unwrap(),
        []
    );

    let waiting = store.waiting(&partitions, positions[0], 1).unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].position, &*waiting[0].subject), (positions[2], "order.changed.a"));
    assert_eq!(waiting[0].event_id, rows[2].event_id);
    let backlog = store.backlog().unwrap();
    assert_eq!(backlog.iter().map(|partition| partition.waiting).sum::<u64>(), 5);
    assert!(backlog.iter().all(|partition| partition.oldest < Duration::from_secs(60)));
}

fn keys_wait_behind_what_is_not_read_of_them(database: &impl Database) {
    let store = &mut *database.store();
    let events = [
        ("order.paid", "a"),
        ("order.created", "a"),
        ("order.paid", "a"),
        ("order.paid", "b"),
        ("order.created.eu", "b"),
        ("order.created", "c'\""),
        ("order.paid", "c'\""),
        ("order.paid", "d"),
    ];
    let event = |(topic, key): (&'static str, &str)| (topic, Envelope::new(key, "Changed", "{}"));
    database.add(&database.outbox(), events.map(event).into());
    let all_rows = read(store, &[], 100);
    // Held topics, and which rows are read.
    for (topics, expected) in [
        (&["order.created"][..], &[0, 3, 4, 7][..]),
        (&["order.created", "order.created.eu"], &[0, 3, 7]),
        (&["order.paid"], &[5]),
        (&["order", "paid", "order.created.eu.b", "it's \"not\" there"], &[0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        let topics: Vec<_> = topics.iter().copied().map(String::from).collect();
        let passed_over = PassedOver { topics: &topics, ..PassedOver::default() };
        let rows = store.read(&Wanted { partitions: &all(), passed_over, most: 9 }).unwrap();
        let expected: Vec<_> = expected.iter().map(|at| all_rows[*at].clone()).collect();
        assert_eq!(rows, expected, "{topics:?}");
    }
}

fn rows_keep_all_that_an_event_has(database: &impl Database) {
    let store = &mut *database.store();
    let payload: Vec<u8> = (0..=255).collect();
    let event = Envelope::new("a.ä", "Changed", payload.clone()).with_event_id("mine");
    let outbox = database.outbox();
    database.add(&outbox, vec![("order.changed", event.clone())]);
    let rows = read(store, &[], 1);
    let row = &rows[0];
    assert_eq!(
        (&*row.event_id, &*row.key, &*row.subject),
        ("mine", "a.ä", "order.changed.a%2E%C3%A4")
    );
    assert_eq!(row.partition, partition("a.ä"));
    assert_eq!(row.payload, payload);
    let mut block = Vec::new();
    jetlane::client::HeaderBlock::encode(&event.headers().unwrap(), &mut block);
    assert_eq!(row.headers, block);
    assert_eq!(row.unit, None);
}

fn what_is_stored_is_taken_out_and_kept_if_wanted(database: &impl Database) {
    let store = &mut *database.store();
    database.add(&database.outbox(), ["a", "b", "c"].map(event).into());
    let rows = read(store, &[], 9);
    let sent = |at: usize| Sent {
        position: rows[at].position,
        event_id: rows[at].event_id.clone(),
        sequence: u64::MAX / 2 + at as u64,
    };
    let another = |keep| Sent { event_id: format!("not {keep:?}"), ..sent(1) };
    for keep in [Keep::Nothing, Keep::History] {
        store.sent(&[another(keep)], keep).unwrap();
        assert_eq!(read(store, &[], 9).len(), 3, "the position is that of another event");
    }
    store.sent(&[sent(0)], Keep::Nothing).unwrap();
    store.sent(&[sent(0), sent(2), sent(2)], Keep::History).unwrap();
    assert_eq!(keys(&read(store, &[], 9)), ["b"]);
    assert_eq!(store.prune(Duration::from_secs(3600), 9).unwrap(), 0, "it is younger");
    // Whatever it is now, the next moment it is older than nothing.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while store.prune(Duration::ZERO, 9).unwrap() == 0 {
        assert!(std::time::Instant::now() < deadline, "the one that was kept is never pruned");
    }
    assert_eq!(store.prune(Duration::ZERO, 9).unwrap(), 0);
}

fn a_stopped_key_is_not_read_until_it_goes_on(database: &impl Database) {
    let store = &mut *database.store();
    database.add(&database.outbox(), ["a", "b", "a"].map(event).into());
    let partition = partition("a");
    let owned = store.beat("one", None).map(|leases| leases.leases).unwrap();
    let owned = store.take("one", &owned).unwrap()[usize::try_from(partition).unwrap()];
    let rows = read(store, &[], 9);
    let (position, event_id) = (rows[0].position, &*rows[0].event_id);
    let stop = Stop { owned, key: "a", position, event_id, reason: "no stream" };
    assert!(store.stop("one", &stop).unwrap());
    let stop = Stop { reason: "too large", ..stop };
    assert!(store.stop("one", &stop).unwrap(), "what was said last is right");
    assert_eq!(keys(&read(store, &[], 9)), ["b"]);
    assert_eq!(store.waiting(&[partition], 0, 9).unwrap().len(), 2);
    let stopped = store.stopped().unwrap();
    assert_eq!(stopped.len(), 1);
    assert_eq!((&*stopped[0].key, &*stopped[0].reason, stopped[0].waiting), ("a", "too large", 2));
    assert_eq!(stopped[0].event_id, event_id);
    assert_eq!(store.retry(Some("b")).unwrap(), 0);
    assert_eq!(store.retry(Some("a")).unwrap(), 1);
    assert_eq!(keys(&read(store, &[], 9)), ["a", "b", "a"]);
    assert!(store.stop("one", &stop).unwrap());
    assert_eq!(store.retry(None).unwrap(), 1);
}

fn only_the_owner_stops_a_key(database: &impl Database) {
    let store = &mut *database.store();
    let seen = lease(store, "one", 12);
    let owned = store.take("one", &[seen]).unwrap()[0];
    let seen = lease(store, "two", 12);
    store.take("two", &[seen]).unwrap();
    let stop = Stop { owned, key: "a", position: 1, event_id: "x", reason: "late" };
    assert!(!store.stop("one", &stop).unwrap());
    assert_eq!(store.stopped().unwrap(), []);
}

fn the_tables_are_checked_and_relays_tell_of_themselves(database: &impl Database) {
    let store = &mut *database.store();
    store.check().unwrap();
    let leases = store.beat("one", None).unwrap().leases;
    store.take("one", &leases[..5]).unwrap();
    store.beat("one", Some("full")).unwrap();
    store.beat("two", None).unwrap();
    let view = store.relays().unwrap();
    let view: Vec<_> = view
        .iter()
        .map(|relay| (&*relay.relay, relay.partitions, relay.trouble.as_deref()))
        .collect();
    assert_eq!(view, [("one", 5, Some("full")), ("two", 0, None)]);
    let mut missing = database.store_in(&Table::new("nowhere").unwrap());
    let error = missing.check().unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}
