//! A relay, and a consumer with an inbox, until they are killed.

use std::error::Error;
use std::time::Duration;

use jetlane::{Envelope, EventBus, Subscription};
use jetlane_outbox::{Database, Inbox, Outbox, Relay, Seen};
use rusqlite::Connection;

/// How long others wait before they take over what a dead one had.
const LEASE_TIME: Duration = Duration::from_millis(600);

pub(crate) fn relay(url: &str, database: &str) {
    let bus = connect(url);
    let database = match is_postgres(database) {
        true => Database::postgres_url(database).unwrap(),
        false => Database::sqlite_file(database),
    };
    let relay = Relay::of(&bus, &Outbox::new(), database)
        .poll(Duration::from_millis(20))
        .lease_time(LEASE_TIME);
    let _relay = relay.start().unwrap();
    wait();
}

pub(crate) fn consumer(url: &str, database: &str, name: &str) {
    let bus = connect(url);
    let _subscription = match is_postgres(database) {
        true => in_postgres(&bus, database, name),
        false => in_sqlite(&bus, database, name),
    };
    wait();
}

fn is_postgres(database: &str) -> bool {
    database.starts_with("postgres://")
}

fn in_sqlite(bus: &EventBus, path: &str, name: &str) -> Subscription {
    let path = path.to_owned();
    let inbox = Inbox::sqlite(name, move || {
        let connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        // Only processes are killed here, no machines.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(connection)
    });
    let sql = format!("INSERT INTO effects_{name} (key, version, event_id) VALUES (?1, ?2, ?3)");
    let handler = inbox.seen(Seen::ByKey).handler(
        move |event: &Envelope, transaction: &mut rusqlite::Transaction<'_>| {
            let values = (event.aggregate_id(), version(event)?, event.event_id());
            transaction.prepare_cached(&sql)?.execute(values)?;
            Ok::<_, Box<dyn Error>>(())
        },
    );
    let subscription = bus.subscribe(name).ack_wait(ACK_WAIT).on_raw("order.changed.*", handler);
    subscription.start().unwrap()
}

fn in_postgres(bus: &EventBus, url: &str, name: &str) -> Subscription {
    let url = url.to_owned();
    let inbox = Inbox::postgres(name, move || postgres::Client::connect(&url, postgres::NoTls));
    let sql = format!("INSERT INTO effects_{name} (key, version, event_id) VALUES ($1, $2, $3)");
    let handler = inbox.seen(Seen::ByKey).handler(
        move |event: &Envelope, transaction: &mut postgres::Transaction<'_>| {
            let (key, id) = (event.aggregate_id(), event.event_id());
            transaction.execute(&sql, &[&key, &version(event)?, &id])?;
            Ok::<_, Box<dyn Error>>(())
        },
    );
    let subscription = bus.subscribe(name).ack_wait(ACK_WAIT).on_raw("order.changed.*", handler);
    subscription.start().unwrap()
}

const ACK_WAIT: Duration = Duration::from_secs(2);

fn version(event: &Envelope) -> Result<i64, Box<dyn Error>> {
    Ok(std::str::from_utf8(event.payload())?.parse()?)
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
