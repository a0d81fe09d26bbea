use std::pin::Pin;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{AddError, Insert, Transaction};
use crate::DatabaseError;

/// The rows become part of the transaction that is open on the connection once the future is awaited. Without a transaction each is one of its own.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # use sqlx::Connection as _;
/// # let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await?;
/// # let tables = jetlane_outbox::schema::sqlite(&Default::default());
/// # sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&mut connection).await?;
/// # sqlx::raw_sql("CREATE TABLE orders (id TEXT, state TEXT)").execute(&mut connection).await?;
/// use jetlane::Envelope;
/// use jetlane_outbox::Outbox;
///
/// let outbox = Outbox::new();
/// let mut transaction = connection.begin().await?;
/// let order = sqlx::query("INSERT INTO orders VALUES (?1, ?2)").bind("order-42").bind("paid");
/// order.execute(&mut *transaction).await?;
/// let event = Envelope::new("order-42", "OrderPaid", "{}");
/// outbox.add(&mut *transaction, "order.paid", event).await?;
/// transaction.commit().await?;
/// outbox.wake();
/// # Ok(())
/// # })
/// # }
/// ```
impl<'a> Transaction for &'a mut SqliteConnection {
    type Added = Pin<Box<dyn Future<Output = Result<(), AddError>> + Send + 'a>>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        Box::pin(async move {
            let insert = insert?;
            write(self, &insert)
                .await
                .map_err(|error| DatabaseError::new("events can not be added", error))?;
            Ok(())
        })
    }
}

/// A statement a row: the database is in this process, so there is little to be saved by fewer.
async fn write(connection: &mut SqliteConnection, insert: &Insert) -> sqlx::Result<()> {
    let sql: Arc<str> = insert.sqlite_row().into();
    for entry in &insert.entries {
        let (unit, size) = entry.unit.map(|unit| (unit.id.into_bytes(), unit.size)).unzip();
        sqlx::query(AssertSqlSafe(Arc::clone(&sql)))
            .bind(entry.partition)
            .bind(&entry.event_id)
            .bind(&entry.key)
            .bind(&entry.subject)
            .bind(&entry.headers)
            .bind(&entry.payload[..])
            .bind(unit.as_ref().map(|unit| &unit[..]))
            .bind(size)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::add::suite::{self, Driver, End};
    use crate::store::{SqliteStore, Store};
    use crate::{Table, schema};

    struct Sqlite {
        folder: tempfile::TempDir,
    }

    impl Sqlite {
        fn connect(&self) -> rusqlite::Connection {
            rusqlite::Connection::open(self.folder.path().join("outbox.db")).unwrap()
        }
    }

    impl Driver for Sqlite {
        #[tokio::main(flavor = "current_thread")]
        async fn insert(&self, insert: Result<Insert, AddError>, end: End) -> Result<(), AddError> {
            let path = self.folder.path().join("outbox.db");
            let url = format!("sqlite://{}", path.display());
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            let inserted = (&mut *transaction).insert(insert).await;
            match end {
                End::Commit => transaction.commit().await.unwrap(),
                End::Rollback => transaction.rollback().await.unwrap(),
            }
            connection.close().await.unwrap();
            inserted
        }

        fn store(&self) -> Box<dyn Store> {
            Box::new(SqliteStore::new(self.connect(), &Table::default()))
        }
    }

    #[test]
    fn events_are_added_in_transactions_of_sqlx_on_sqlite() {
        let sqlite = Sqlite { folder: tempfile::tempdir().unwrap() };
        sqlite.connect().execute_batch(&schema::sqlite(&Table::default())).unwrap();
        suite::run_all(&sqlite);
    }
}
