//! A service with a database, and the stream that its events go to.

use std::path::PathBuf;
use std::time::Duration;

use jetlane::jetstream::Get;
use jetlane::{Bytes, Envelope, EventBus, Strategy, Topic};
use jetlane_outbox::{Database, Outbox, Relay, RelayBuilder, Table, schema};
use jetlane_testkit::Server;
use rusqlite::Connection;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A service on SQLite.
pub(crate) struct Service {
    pub(crate) server: Server,
    pub(crate) bus: EventBus,
    pub(crate) outbox: Outbox,
    folder: tempfile::TempDir,
}

impl Service {
    /// With a stream for `order.>`.
    pub(crate) fn start() -> Self {
        Self::with_stream(|topic| topic)
    }

    /// With a stream for `order.>` that is as this says.
    pub(crate) fn with_stream(set_up: impl FnOnce(Topic<'_>) -> Topic<'_>) -> Self {
        let connect = |url: &str| EventBus::connect(url).unwrap();
        let service = Self::on(Server::start().unwrap(), connect);
        set_up(service.bus.topic("order.>")).ensure(Strategy::CreateOnly).unwrap();
        service
    }

    /// On this server, without a stream.
    pub(crate) fn on(server: Server, connect: impl FnOnce(&str) -> EventBus) -> Self {
        let bus = connect(&server.url());
        let folder = tempfile::tempdir().unwrap();
        let service = Self { server, bus, outbox: Outbox::new(), folder };
        let connection = service.connect();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch(&schema::sqlite(&Table::default())).unwrap();
        service
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("service.db")
    }

    pub(crate) fn database(&self) -> Database {
        Database::sqlite_file(self.path())
    }

    pub(crate) fn connect(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }

    pub(crate) fn relay(&self) -> RelayBuilder {
        Relay::of(&self.bus, &self.outbox, self.database())
            .poll(Duration::from_millis(50))
            .lease_time(Duration::from_secs(2))
    }

    /// Adds an event of each of these keys, in one transaction.
    pub(crate) fn add(&self, keys: &[&str]) {
        let events: Vec<_> = keys.iter().map(|key| event(key)).collect();
        self.add_events(&events);
    }

    /// Adds events in one transaction.
    pub(crate) fn add_events(&self, events: &[(&'static str, Envelope)]) {
        let mut connection = self.connect();
        let transaction = connection.transaction().unwrap();
        let events = events.iter().map(|(topic, event)| (*topic, event));
        self.outbox.add_all(&transaction, events).unwrap();
        transaction.commit().unwrap();
    }

    /// How many rows wait.
    pub(crate) fn waiting(&self) -> u64 {
        let count = "SELECT count(*) FROM jetlane_outbox";
        self.connect().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    }

    /// All messages of the stream, as (key, event id), in order.
    pub(crate) fn stored(&self) -> Vec<(String, String)> {
        let js = self.bus.jetstream();
        let stream = js.all_stream_names("order.x").next().unwrap().unwrap();
        let info = js.stream_info(&stream).wait().unwrap();
        let messages = (1..=info.state.last_seq).filter_map(|sequence| {
            let got = js.get_message(&stream, Get::Sequence(sequence)).wait();
            let message = got.unwrap();
            if !message.subject.starts_with("order.changed.") {
                return None;
            }
            let header = |name| {
                let value = message.headers().unwrap().get(name).unwrap().to_vec();
                String::from_utf8(value).unwrap()
            };
            Some((header("X-Aggregate-ID"), header("X-Event-ID")))
        });
        messages.collect()
    }
}

pub(crate) fn event(key: &str) -> (&'static str, Envelope) {
    ("order.changed", Envelope::new(key.to_owned(), "OrderChanged", Bytes::from_static(b"{}")))
}
