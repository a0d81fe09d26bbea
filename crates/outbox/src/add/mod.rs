//! Putting events into the outbox, in transactions of each driver.

#[cfg(any(feature = "tokio-postgres", feature = "sqlx-postgres"))]
mod columns;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlx-postgres")]
mod sqlx_postgres;
#[cfg(feature = "sqlx-sqlite")]
mod sqlx_sqlite;
#[cfg(all(test, any(feature = "sqlite", feature = "postgres")))]
mod suite;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;

use crate::DatabaseError;
use crate::entry::{Entry, EntryError};
use crate::table::Table;

/// A transaction of a database driver, which [`crate::Outbox::add`] and its like take:
///
/// | feature | transaction |
/// |---|---|
/// | `sqlite` | `&rusqlite::Transaction`, and any `&rusqlite::Connection` |
/// | `postgres` | `&mut postgres::Transaction` |
/// | `tokio-postgres` | `&tokio_postgres::Transaction` |
/// | `sqlx-postgres` | `&mut sqlx::PgConnection`, as in `&mut *transaction` |
/// | `sqlx-sqlite` | `&mut sqlx::SqliteConnection`, as in `&mut *transaction` |
pub trait Transaction {
    /// `Result<(), AddError>`, or a future of it.
    type Added;

    /// Writes the rows, or gives back the error.
    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added;
}

/// Rows that are to be written.
#[derive(Clone, Debug)]
pub struct Insert {
    pub(crate) table: Table,
    pub(crate) entries: Vec<Entry>,
}

impl Insert {
    /// The statement that writes a row on SQLite: partition, event id, key, subject, headers, payload, unit, size of the unit.
    #[cfg(any(feature = "sqlite", feature = "sqlx-sqlite"))]
    pub(crate) fn sqlite_row(&self) -> String {
        let table = &self.table;
        format!(
            "INSERT INTO {table} \
             (partition, event_id, key, subject, headers, payload, unit, unit_size) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        )
    }
}

/// Why events are not in the outbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// An event can not be sent. The caller's fault.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The database did not take them.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
