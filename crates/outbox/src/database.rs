//! Where connections to the database come from.

use std::fmt;
use std::sync::Arc;

use crate::error::DatabaseError;
use crate::store::Store;
use crate::table::Table;

/// The database of a relay or an inbox: how a connection to it is made. They make their own, and make them anew when they are lost.
#[derive(Clone)]
pub struct Database {
    connect: Arc<Connect>,
}

type Connect = dyn Fn(&Table) -> Result<Box<dyn Store>, DatabaseError> + Send + Sync;

impl Database {
    /// A database file of SQLite. Connections wait for others by 5 s at most (`busy_timeout`); the journal mode is what it is in
    /// the file: `PRAGMA journal_mode = WAL` once lets writers and the relay work side by side.
    #[cfg(feature = "sqlite")]
    pub fn sqlite_file(path: impl Into<std::path::PathBuf>) -> Self {
        let path = path.into();
        Self::sqlite(move || {
            let connection = rusqlite::Connection::open(&path)?;
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            Ok(connection)
        })
    }

    /// A database of SQLite, by connections as `connect` makes them.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(
        connect: impl Fn() -> rusqlite::Result<rusqlite::Connection> + Send + Sync + 'static,
    ) -> Self {
        let connect = move |table: &Table| {
            let connection = connect();
            let connection = connection
                .map_err(|error| DatabaseError::new("the database can not be opened", error))?;
            let store = crate::store::SqliteStore::new(connection, table);
            Ok(Box::new(store) as Box<dyn Store>)
        };
        Self { connect: Arc::new(connect) }
    }

    /// A database of PostgreSQL (13 or later), by a URL or a connection string as libpq has them, without TLS; for TLS see
    /// [`Database::postgres`]. Connections are sessions of their own: behind a pooler it has to pool sessions, not transactions.
    ///
    /// A relay waits for its database, so nothing may be waited for without an end. Where the URL does not say otherwise,
    ///
    /// - connecting takes 5 s at most, for each address (`connect_timeout`);
    /// - a connection whose other end is gone without a word is given up within 12 s (`keepalives_idle` 5 s, `keepalives_interval` 2 s,
    ///   `keepalives_retries` 3, and `tcp_user_timeout` 10 s for what was sent; Linux does all of it, other systems some);
    /// - a statement that waits for the lock of somebody else, as an `ALTER TABLE` holds it, is given up after 30 s (`statement_timeout`, which the
    ///   user or the database may have, too). The relay connects anew and tells what it waits for.
    ///
    /// What no timeout sees is a server that is stopped and whose machine is not. It is waited for, and nobody else gets further with it.
    ///
    /// Servers that follow another one asynchronously can be behind it when they take its place. Events that were committed may be
    /// missing then though they were published, and rows that were taken out be back and be published again.
    ///
    /// # Errors
    /// [`DatabaseError`] if it is no such URL. Nothing is connected to yet.
    #[cfg(feature = "postgres")]
    pub fn postgres_url(url: &str) -> Result<Self, DatabaseError> {
        let config = crate::store::postgres_config(url)?;
        Ok(Self::postgres(move || crate::store::connect_postgres(&config)))
    }

    /// A database of PostgreSQL, by connections as `connect` makes them: with TLS, or with passwords that change. What [`Database::postgres_url`] says
    /// about waiting is up to `connect` then, and so is what it says about poolers.
    ///
    /// The relay sets up its sessions: statements are `READ COMMITTED`; its commits reach the disk also where `synchronous_commit` is `off`;
    /// and plans go by the indexes.
    #[cfg(feature = "postgres")]
    pub fn postgres(
        connect: impl Fn() -> Result<postgres::Client, postgres::Error> + Send + Sync + 'static,
    ) -> Self {
        let connect = move |table: &Table| {
            let client = connect().map_err(|error| {
                DatabaseError::postgres("the database can not be connected to", error)
            })?;
            let store = crate::store::PostgresStore::new(client, table)?;
            Ok(Box::new(store) as Box<dyn Store>)
        };
        Self { connect: Arc::new(connect) }
    }

    pub(crate) fn connect(&self, table: &Table) -> Result<Box<dyn Store>, DatabaseError> {
        (self.connect)(table)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database")
    }
}
