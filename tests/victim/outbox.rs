//! A relay, and a consumer with an inbox, until they are killed.

use std::time::Duration;

use jetlane::{Envelope, EventBus};
use jetlane_outbox::{Database, Inbox, Outbox, Relay, Seen};
use rusqlite::{Connection, Transaction};

/// How long others wait before they take over what a dead one had.
const LEASE_TIME: Duration = Duration::from_millis(600);

pub(crate) fn relay(url: &str, database: &str) {
    let bus = connect(url);
    let database = Database::sqlite_file(database);
    let relay = Relay::of(&bus, &Outbox::new(), database)
        .poll(Duration::from_millis(20))
        .lease_time(LEASE_TIME);
    let _relay = relay.start().unwrap();
    wait();
}

pub(crate) fn consumer(url: &str, database: &str, name: &str) {
    let bus = connect(url);
    let path = database.to_owned();
    let inbox = Inbox::sqlite(name, move || {
        let connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(connection)
    });
    let sql = format!("INSERT INTO effects_{name} (key, version, event_id) VALUES (?1, ?2, ?3)");
    let handler = inbox.seen(Seen::ByKey).handler(
        move |event: &Envelope, transaction: &mut Transaction<'_>| {
            let version: i64 = std::str::from_utf8(event.payload())?.parse()?;
            let values = (event.aggregate_id(), version, event.event_id());
            transaction.prepare_cached(&sql)?.execute(values)?;
            Ok::<_, Box<dyn std::error::Error>>(())
        },
    );
    let ack_wait = Duration::from_secs(2);
    let subscription = bus.subscribe(name).ack_wait(ack_wait).on_raw("order.changed.*", handler);
    let _subscription = subscription.start().unwrap();
    wait();
}

/// The server may be away just now.
fn connect(url: &str) -> EventBus {
    loop {
        if let Ok(bus) = EventBus::connect(url) {
            return bus;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn wait() {
    loop {
        std::thread::park();
    }
}
