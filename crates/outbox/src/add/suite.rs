//! What every driver's transaction does with events.

use jetlane::Envelope;

use super::{AddError, Insert, Transaction};
use crate::partition::PARTITIONS;
use crate::store::{PassedOver, Row, Store, Wanted};
use crate::{EntryError, Outbox};

/// A driver, on a database with the tables of an outbox.
pub(super) trait Driver {
    /// Inserts in a transaction, and ends it so, also if that failed.
    fn insert(&self, insert: Result<Insert, AddError>, end: End) -> Result<(), AddError>;

    fn store(&self) -> Box<dyn Store>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    Rollback,
}

/// Gives back what an outbox would insert.
struct Given;

impl Transaction for Given {
    type Added = Result<Insert, AddError>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        insert
    }
}

pub(super) fn run_all(driver: &impl Driver) {
    what_is_committed_is_there_and_what_is_rolled_back_is_not(driver);
    events_are_in_the_order_in_which_they_were_added(driver);
    rows_have_all_that_an_event_has(driver);
    what_is_wrong_is_said_and_not_written(driver);
}

fn rows(driver: &impl Driver) -> Vec<Row> {
    let partitions: Vec<_> = (0..PARTITIONS).collect();
    let wanted =
        Wanted { partitions: &partitions, passed_over: PassedOver::default(), most: 10_000 };
    driver.store().read(&wanted).unwrap()
}

fn ids(driver: &impl Driver) -> Vec<String> {
    rows(driver).into_iter().map(|row| row.event_id).collect()
}

fn event(id: &str) -> (&'static str, Envelope) {
    // Keys and ids are not in the order of the events.
    let key = format!("order-{}", id.len() * 7 % 5);
    ("order.changed", Envelope::new(key, "Changed", "{}").with_event_id(id))
}

fn what_is_committed_is_there_and_what_is_rolled_back_is_not(driver: &impl Driver) {
    let outbox = Outbox::new();
    for (id, end) in [("a", End::Commit), ("b", End::Rollback), ("c", End::Commit)] {
        let (topic, event) = event(id);
        driver.insert(outbox.add(Given, topic, event), end).unwrap();
    }
    driver.insert(outbox.add_all::<_, &str, Envelope>(Given, []), End::Commit).unwrap();
    assert_eq!(ids(driver), ["a", "c"]);
}

fn events_are_in_the_order_in_which_they_were_added(driver: &impl Driver) {
    let before = ids(driver);
    let mut expected = before.clone();
    for round in [1000, 1, 1000] {
        let added: Vec<_> = (0..round).map(|n| format!("{}-{round}", n * 617 % 1009)).collect();
        let added: Vec<_> = added.iter().map(|id| format!("{id}-{}", expected.len())).collect();
        let events = added.iter().map(|id| event(id));
        driver.insert(Outbox::new().add_all(Given, events), End::Commit).unwrap();
        expected.extend(added);
    }
    assert_eq!(ids(driver), expected);
}

fn rows_have_all_that_an_event_has(driver: &impl Driver) {
    let payload: Vec<u8> = (0..=255).collect();
    let events = ["ä", "b", "ä"].map(|key| {
        let event = Envelope::new(key, "Changed", payload.clone()).with_trace_id("t");
        ("order.changed", event)
    });
    let insert = Outbox::new().undivided().add_atomic(Given, events).unwrap();
    let entries = insert.entries.clone();
    driver.insert(Ok(insert), End::Commit).unwrap();
    let rows = rows(driver);
    let written = &rows[rows.len() - entries.len()..];
    for (entry, row) in entries.iter().zip(written) {
        assert_eq!((&row.event_id, &row.key), (&entry.event_id, &entry.key));
        assert_eq!((&row.subject, row.partition), (&entry.subject, entry.partition));
        assert_eq!((&row.headers[..], &row.payload), (&entry.headers[..], &entry.payload));
        assert_eq!(row.unit, entry.unit);
        assert_eq!(row.unit.map(|unit| unit.size), Some(3));
    }
}

fn what_is_wrong_is_said_and_not_written(driver: &impl Driver) {
    let before = ids(driver);
    let large = ("order.changed", Envelope::new("a", "Changed", vec![0; 1 << 20]));
    let insert = Outbox::new().add_all(Given, [event("large-0"), large]);
    let error = driver.insert(insert, End::Commit).unwrap_err();
    assert!(matches!(error, AddError::Entry(EntryError::TooLarge { .. })), "{error}");

    let twice = Outbox::new().add_all(Given, ["twice", "twice"].map(event));
    let error = driver.insert(twice, End::Rollback).unwrap_err();
    assert!(matches!(error, AddError::Database(_)), "{error}");
    let said = error.to_string().to_lowercase();
    assert!(said.contains("unique") && said.contains("event_id"), "{said}");
    assert_eq!(ids(driver), before);
}
