use rusqlite::{Connection, params};

use super::{AddError, Insert, Transaction};
use crate::DatabaseError;

/// The rows become part of the transaction that is open on the connection, which a `rusqlite::Transaction` is as well; without one each
/// row is a transaction of its own.
impl Transaction for &Connection {
    type Added = Result<(), AddError>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        let insert = insert?;
        write(self, &insert)
            .map_err(|error| DatabaseError::new("events can not be added", error))?;
        Ok(())
    }
}

impl Transaction for &rusqlite::Transaction<'_> {
    type Added = Result<(), AddError>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        let connection: &Connection = self;
        connection.insert(insert)
    }
}

impl Transaction for &mut rusqlite::Transaction<'_> {
    type Added = Result<(), AddError>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        let connection: &Connection = self;
        connection.insert(insert)
    }
}

/// A statement a row: the database is in this process, so there is nothing to be saved by fewer.
fn write(connection: &Connection, insert: &Insert) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&insert.sqlite_row())?;
    for entry in &insert.entries {
        let (unit, size) = entry.unit.map(|unit| (unit.id.into_bytes(), unit.size)).unzip();
        statement.execute(params![
            entry.partition,
            entry.event_id,
            entry.key,
            entry.subject,
            entry.headers,
            &entry.payload[..],
            unit,
            size,
        ])?;
    }
    Ok(())
}
