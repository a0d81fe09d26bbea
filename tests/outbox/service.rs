//! A service with a database, and the stream that its events go to.

use std::path::PathBuf;
use std::time::Duration;

use jetlane::{Bytes, Envelope, EventBus, Strategy};
use jetlane_outbox::{Database, Outbox, Relay, RelayBuilder, Table, schema};
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
    pub(crate) _server: Server,
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
        let server = Server::start().unwrap();
        let bus = EventBus::connect(&server.url()).unwrap();
        bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
        let place = self.place();
        let service = Service { _server: server, bus, outbox: Outbox::new(), place };
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
    /// On SQLite, with a stream for `order.>`.
    #[allow(dead_code, reason = "for tests that are about SQLite")]
    pub(crate) fn start() -> Self {
        On::Sqlite.start()
    }

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
        let events = keys.iter().map(|key| event(key));
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
        let messages = (1..=info.state.last_seq).map(|sequence| {
            let got = js.get_message(&stream, jetlane::jetstream::Get::Sequence(sequence)).wait();
            let message = got.unwrap();
            let header = |name| {
                let value = message.headers().unwrap().get(name).unwrap().to_vec();
                String::from_utf8(value).unwrap()
            };
            (header("X-Aggregate-ID"), header("X-Event-ID"))
        });
        messages.collect()
    }
}

pub(crate) fn event(key: &str) -> (&'static str, Envelope) {
    ("order.changed", Envelope::new(key.to_owned(), "OrderChanged", Bytes::from_static(b"{}")))
}
