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

    pub(crate) fn connect(&self, table: &Table) -> Result<Box<dyn Store>, DatabaseError> {
        (self.connect)(table)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database")
    }
}
