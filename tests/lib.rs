//! Shared pieces of the integration tests.

pub mod accounts;
pub mod parked;
pub mod place;
pub mod stream;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jetlane::{EventBus, Strategy};
use jetlane_client::{Event, Events};
use jetlane_outbox::{Table, schema};
use jetlane_testkit::Server;

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Looks until `look` gives something, for [`DEADLINE`] at most. For what has no event to wait on.
///
/// # Panics
/// When the deadline passes.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "this never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// How often something is repeated: less than the figures in docs/RELIABILITY.md, unless JETLANE_ROUNDS says how often.
pub fn rounds(usual: usize) -> usize {
    std::env::var("JETLANE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// What `wanted` takes from the first event that it wants; those before it are skipped. Waits for [`DEADLINE`] at most.
///
/// # Panics
/// When the deadline passes, or the connection is closed before.
pub fn event<T>(events: &mut Events, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = events.next_timeout(left);
        let event = event.unwrap_or_else(|| panic!("this event never came: {what}"));
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

/// Waits for the reason of the next failed attempt to connect.
pub fn next_failure(events: &mut Events) -> String {
    event(events, "an attempt fails", |event| match event {
        Event::ConnectFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

/// Waits until the connection was lost, and says why.
pub fn next_loss(events: &mut Events) -> String {
    event(events, "the connection is lost", |event| match event {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    })
}

/// Waits until the connection stands again, and says with which server.
pub fn next_return(events: &mut Events) -> String {
    event(events, "the connection is back", |event| match event {
        Event::Reconnected { server } => Some(server.clone()),
        _ => None,
    })
}

/// What most examples of docs/GUIDE.md begin with: a server of their own, and a bus on it with a topic `order.>`.
///
/// # Panics
/// If there is no server.
pub fn guide() -> (Server, EventBus) {
    let server = Server::start().expect("a server starts");
    let bus = EventBus::connect(&server.url()).expect("it can be connected to");
    bus.topic("order.>").ensure(Strategy::CreateOnly).expect("the topic is ensured");
    (server, bus)
}

/// What the examples of an outbox begin with: a database of SQLite with all its tables, and an order 42.
///
/// # Panics
/// If it can not be made.
pub fn shop() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.db");
    let connection = rusqlite::Connection::open(&path).expect("a database");
    let tables = [schema::sqlite(&Table::default()), schema::inbox_sqlite(&Table::inbox())];
    let orders =
        "CREATE TABLE orders (id TEXT, paid INTEGER); INSERT INTO orders VALUES ('order-42', 0);
                  CREATE TABLE bills (aggregate TEXT)";
    let sql = format!("PRAGMA journal_mode = WAL; {} {orders}", tables.concat());
    connection.execute_batch(&sql).expect("the tables are made");
    (folder, path)
}

/// The example in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The examples in the guide run.
#[cfg(doctest)]
#[doc = include_str!("../docs/GUIDE.md")]
pub struct Guide;
