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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::add::suite::{self, Driver, End};
    use crate::store::{SqliteStore, Store};
    use crate::{Table, schema};

    struct Sqlite {
        folder: tempfile::TempDir,
    }

    impl Sqlite {
        fn connect(&self) -> Connection {
            Connection::open(self.folder.path().join("outbox.db")).unwrap()
        }
    }

    impl Driver for Sqlite {
        fn insert(&self, insert: Result<Insert, AddError>, end: End) -> Result<(), AddError> {
            let mut connection = self.connect();
            let transaction = connection.transaction().unwrap();
            let inserted = (&transaction).insert(insert);
            match end {
                End::Commit => transaction.commit().unwrap(),
                End::Rollback => transaction.rollback().unwrap(),
            }
            inserted
        }

        fn store(&self) -> Box<dyn Store> {
            Box::new(SqliteStore::new(self.connect(), &Table::default()))
        }
    }

    #[test]
    fn events_are_added_in_transactions_of_rusqlite() {
        let sqlite = Sqlite { folder: tempfile::tempdir().unwrap() };
        sqlite.connect().execute_batch(&schema::sqlite(&Table::default())).unwrap();
        suite::run_all(&sqlite);
    }
}
