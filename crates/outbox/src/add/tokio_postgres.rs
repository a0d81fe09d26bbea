use std::pin::Pin;

use tokio_postgres::types::{ToSql, Type};

use super::columns::Columns;
use super::{AddError, Insert, Transaction};
use crate::DatabaseError;

/// The rows become part of the transaction once the future is awaited: with one statement, in one round trip.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = jetlane_testkit::Postgres::start()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # let (mut client, connection) =
/// #     tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await?;
/// # tokio::spawn(connection);
/// # client.batch_execute(&jetlane_outbox::schema::postgres(&Default::default())).await?;
/// # client.batch_execute("CREATE TABLE orders (id text, state text)").await?;
/// use jetlane::Envelope;
/// use jetlane_outbox::Outbox;
///
/// let outbox = Outbox::new();
/// let transaction = client.transaction().await?;
/// transaction.execute("INSERT INTO orders VALUES ($1, $2)", &[&"order-42", &"paid"]).await?;
/// let event = Envelope::new("order-42", "OrderPaid", "{}");
/// outbox.add(&transaction, "order.paid", event).await?;
/// transaction.commit().await?;
/// outbox.wake();
/// # Ok(())
/// # })
/// # }
/// ```
impl<'a> Transaction for &'a tokio_postgres::Transaction<'_> {
    type Added = Pin<Box<dyn Future<Output = Result<(), AddError>> + Send + 'a>>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        Box::pin(async move {
            let insert = insert?;
            if insert.entries.is_empty() {
                return Ok(());
            }
            let columns = Columns::of(&insert);
            // Who does not have a statement prepared has to ask twice, or to say the types itself.
            self.execute_typed(&insert.postgres_rows(), &columns.typed())
                .await
                .map_err(|error| DatabaseError::postgres("events can not be added", error))?;
            Ok(())
        })
    }
}

impl Columns<'_> {
    /// The parameters of the statement, with their types.
    pub(super) fn typed(&self) -> [(&(dyn ToSql + Sync), Type); 8] {
        [
            (&self.partitions, Type::INT2_ARRAY),
            (&self.event_ids, Type::TEXT_ARRAY),
            (&self.keys, Type::TEXT_ARRAY),
            (&self.subjects, Type::TEXT_ARRAY),
            (&self.headers, Type::BYTEA_ARRAY),
            (&self.payloads, Type::BYTEA_ARRAY),
            (&self.units, Type::UUID_ARRAY),
            (&self.unit_sizes, Type::INT2_ARRAY),
        ]
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use tokio_postgres::NoTls;

    use super::*;
    use crate::add::suite::{self, Driver, End};
    use crate::store::Store;
    use crate::store::shop::{Server, Shop};

    struct Tokio(Shop);

    impl Driver for Tokio {
        #[tokio::main(flavor = "current_thread")]
        async fn insert(&self, insert: Result<Insert, AddError>, end: End) -> Result<(), AddError> {
            let connected = tokio_postgres::connect(&self.0.url, NoTls).await;
            let (mut client, connection) = connected.unwrap();
            tokio::spawn(connection);
            let transaction = client.transaction().await.unwrap();
            let inserted = (&transaction).insert(insert).await;
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
    fn events_are_added_in_transactions_of_tokio_postgres() {
        let server = Server::start();
        suite::run_all(&Tokio(server.shop()));
    }
}
