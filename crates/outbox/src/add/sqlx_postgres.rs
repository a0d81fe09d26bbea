use std::pin::Pin;

use sqlx::{AssertSqlSafe, PgConnection};

use super::columns::Columns;
use super::{AddError, Insert, Transaction};
use crate::DatabaseError;

/// The rows become part of the transaction that is open on the connection once the future is awaited, with one statement, which the connection
/// keeps prepared. Without a transaction they are one of their own.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = jetlane_testkit::Postgres::start()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # use sqlx::Connection as _;
/// # let mut connection = sqlx::PgConnection::connect(&server.url()).await?;
/// # let tables = jetlane_outbox::schema::postgres(&Default::default());
/// # sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&mut connection).await?;
/// # sqlx::raw_sql("CREATE TABLE orders (id text, state text)").execute(&mut connection).await?;
/// use jetlane::Envelope;
/// use jetlane_outbox::Outbox;
///
/// let outbox = Outbox::new();
/// let mut transaction = connection.begin().await?;
/// let order = sqlx::query("INSERT INTO orders VALUES ($1, $2)").bind("order-42").bind("paid");
/// order.execute(&mut *transaction).await?;
/// let event = Envelope::new("order-42", "OrderPaid", "{}");
/// outbox.add(&mut *transaction, "order.paid", event).await?;
/// transaction.commit().await?;
/// outbox.wake();
/// # Ok(())
/// # })
/// # }
/// ```
impl<'a> Transaction for &'a mut PgConnection {
    type Added = Pin<Box<dyn Future<Output = Result<(), AddError>> + Send + 'a>>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        Box::pin(async move {
            let insert = insert?;
            if insert.entries.is_empty() {
                return Ok(());
            }
            let columns = Columns::of(&insert);
            // As texts, which the statement makes UUIDs of: sqlx takes UUIDs only with a feature that brings MySQL into lock files.
            let units = columns.units.iter().map(|unit| unit.map(|unit| unit.to_string()));
            let units: Vec<_> = units.collect();
            sqlx::query(AssertSqlSafe(insert.postgres_rows()))
                .bind(&columns.partitions)
                .bind(&columns.event_ids)
                .bind(&columns.keys)
                .bind(&columns.subjects)
                .bind(&columns.headers)
                .bind(&columns.payloads)
                .bind(&units)
                .bind(&columns.unit_sizes)
                .execute(self)
                .await
                .map_err(|error| DatabaseError::new("events can not be added", error))?;
            Ok(())
        })
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::add::suite::{self, Driver, End};
    use crate::store::Store;
    use crate::store::shop::{Server, Shop};

    struct Sqlx(Shop);

    impl Driver for Sqlx {
        #[tokio::main(flavor = "current_thread")]
        async fn insert(&self, insert: Result<Insert, AddError>, end: End) -> Result<(), AddError> {
            let mut connection = PgConnection::connect(&self.0.url).await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            let inserted = (&mut *transaction).insert(insert).await;
            match end {
                End::Commit => transaction.commit().await.unwrap(),
                End::Rollback => transaction.rollback().await.unwrap(),
            }
            inserted
        }

        fn store(&self) -> Box<dyn Store> {
            self.0.any_store()
        }
    }

    #[test]
    fn events_are_added_in_transactions_of_sqlx_on_postgres() {
        let server = Server::start();
        suite::run_all(&Sqlx(server.shop()));
    }
}
