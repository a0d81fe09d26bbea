//! A service with a database, and the stream that its events go to.

use std::path::PathBuf;
use std::time::Duration;

use jetlane::jetstream::Get;
use jetlane::{Bytes, Envelope, EventBus, Strategy, Topic};
use jetlane_outbox::{AddError, Database, Outbox, Relay, RelayBuilder, Table, schema};
use jetlane_testkit::{Fsync, Postgres, Server};
use postgres::{Client, NoTls};
use rusqlite::Connection;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The database that something is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// A service, with a database of its own.
pub(crate) struct Service {
    pub(crate) server: Server,
    pub(crate) bus: EventBus,
    pub(crate) outbox: Outbox,
    place: Place,
}

/// Where its database is.
enum Place {
    Folder(tempfile::TempDir),
    Server(Box<Postgres>),
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
}

impl On {
    /// A service with a stream for `order.>`.
    pub(crate) fn start(self) -> Service {
        self.with_stream(|topic| topic)
    }

    /// A service with a stream for `order.>` that is as this says.
    pub(crate) fn with_stream(self, set_up: impl FnOnce(Topic<'_>) -> Topic<'_>) -> Service {
        let connect = |url: &str| EventBus::connect(url).unwrap();
        let service = self.with_server(Server::start().unwrap(), connect);
        set_up(service.bus.topic("order.>")).ensure(Strategy::CreateOnly).unwrap();
        service
    }

    /// A service on this server, without a stream.
    pub(crate) fn with_server(
        self,
        server: Server,
        connect: impl FnOnce(&str) -> EventBus,
    ) -> Service {
        let bus = connect(&server.url());
        let place = self.place();
        let service = Service { server, bus, outbox: Outbox::new(), place };
        service.run(&match self {
            Self::Sqlite => schema::sqlite(&Table::default()),
            Self::Postgres => schema::postgres(&Table::default()),
        });
        service
    }

    fn place(self) -> Place {
        match self {
            Self::Sqlite => {
                let place = Place::Folder(tempfile::tempdir().unwrap());
                place.sqlite().pragma_update(None, "journal_mode", "WAL").unwrap();
                place
            }
            Self::Postgres => {
                // Only servers are killed here, no machines.
                let postgres = Postgres::builder().fsync(Fsync::Off).start().unwrap();
                Place::Server(Box::new(postgres))
            }
        }
    }
}

impl Place {
    fn path(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().join("service.db"),
            Self::Server(_) => panic!("it is not on SQLite"),
        }
    }

    fn sqlite(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }
}

impl Service {
    /// Its file, on SQLite.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// A connection to it, on SQLite.
    pub(crate) fn connect(&self) -> Connection {
        self.place.sqlite()
    }

    /// Its server, on PostgreSQL.
    pub(crate) fn postgres(&mut self) -> &mut Postgres {
        match &mut self.place {
            Place::Server(postgres) => postgres,
            Place::Folder(_) => panic!("it is not on PostgreSQL"),
        }
    }

    /// A connection to it, on PostgreSQL.
    pub(crate) fn client(&self) -> Client {
        match &self.place {
            Place::Server(postgres) => Client::connect(&postgres.url(), NoTls).unwrap(),
            Place::Folder(_) => panic!("it is not on PostgreSQL"),
        }
    }

    pub(crate) fn database(&self) -> Database {
        match &self.place {
            Place::Folder(_) => Database::sqlite_file(self.path()),
            Place::Server(postgres) => Database::postgres_url(&postgres.url()).unwrap(),
        }
    }

    pub(crate) fn relay(&self) -> RelayBuilder {
        Relay::of(&self.bus, &self.outbox, self.database())
            .poll(Duration::from_millis(50))
            .lease_time(Duration::from_secs(2))
    }

    /// Adds an event of each of these keys, in one transaction.
    pub(crate) fn add(&self, keys: &[&str]) {
        self.add_and(keys, End::Commit);
    }

    /// As [`Service::add`], but for the end of the transaction.
    pub(crate) fn add_and(&self, keys: &[&str], end: End) {
        let events: Vec<_> = keys.iter().map(|key| event(key)).collect();
        self.add_events(&events, end);
    }

    /// Adds events in one transaction.
    pub(crate) fn add_events(&self, events: &[(&'static str, Envelope)], end: End) {
        let events = events.iter().map(|(topic, event)| (*topic, event));
        match &self.place {
            Place::Folder(_) => {
                let mut connection = self.connect();
                let transaction = connection.transaction().unwrap();
                self.outbox.add_all(&transaction, events).unwrap();
                match end {
                    End::Commit => transaction.commit().unwrap(),
                    End::Rollback => transaction.rollback().unwrap(),
                }
            }
            Place::Server(_) => {
                let mut client = self.client();
                let mut transaction = client.transaction().unwrap();
                self.outbox.add_all(&mut transaction, events).unwrap();
                match end {
                    End::Commit => transaction.commit().unwrap(),
                    End::Rollback => transaction.rollback().unwrap(),
                }
            }
        }
    }

    /// Adds an event of a key, and then a unit of an event of each of these, in one transaction.
    pub(crate) fn add_unit(&self, before: &str, unit: &[&str]) -> Result<(), AddError> {
        let unit: Vec<_> = unit.iter().map(|key| event(key)).collect();
        let (topic, before) = event(before);
        match &self.place {
            Place::Folder(_) => {
                let mut connection = self.connect();
                let transaction = connection.transaction().unwrap();
                self.outbox.add(&transaction, topic, before)?;
                self.outbox.add_atomic(&transaction, unit)?;
                transaction.commit().unwrap();
            }
            Place::Server(_) => {
                let mut client = self.client();
                let mut transaction = client.transaction().unwrap();
                self.outbox.add(&mut transaction, topic, before)?;
                self.outbox.add_atomic(&mut transaction, unit)?;
                transaction.commit().unwrap();
            }
        }
        Ok(())
    }

    /// Runs statements.
    pub(crate) fn run(&self, sql: &str) {
        match &self.place {
            Place::Folder(_) => self.connect().execute_batch(sql).unwrap(),
            Place::Server(_) => self.client().batch_execute(sql).unwrap(),
        }
    }

    /// The number that a query gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        match &self.place {
            Place::Folder(_) => self.connect().query_row(sql, [], |row| row.get(0)).unwrap(),
            Place::Server(_) => self.client().query_one(sql, &[]).unwrap().get(0),
        }
    }

    /// How many rows wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.number("SELECT count(*) FROM jetlane_outbox").unsigned_abs()
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
    ("order.changed", Envelope::new(key, "OrderChanged", Bytes::from_static(b"{}")))
}
