use super::columns::Columns;
use super::{AddError, Insert, Transaction};
use crate::DatabaseError;

/// The rows become part of the transaction with one statement, in one round trip.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = jetlane_testkit::Postgres::start()?;
/// # let mut client = postgres::Client::connect(&server.url(), postgres::NoTls)?;
/// # client.batch_execute(&jetlane_outbox::schema::postgres(&Default::default()))?;
/// # client.batch_execute("CREATE TABLE orders (id text, state text)")?;
/// use jetlane::Envelope;
/// use jetlane_outbox::Outbox;
///
/// let outbox = Outbox::new();
/// let mut transaction = client.transaction()?;
/// transaction.execute("INSERT INTO orders VALUES ($1, $2)", &[&"order-42", &"paid"])?;
/// outbox.add(&mut transaction, "order.paid", Envelope::new("order-42", "OrderPaid", "{}"))?;
/// transaction.commit()?;
/// outbox.wake();
/// # Ok(())
/// # }
/// ```
impl Transaction for &mut postgres::Transaction<'_> {
    type Added = Result<(), AddError>;

    fn insert(self, insert: Result<Insert, AddError>) -> Self::Added {
        let insert = insert?;
        if insert.entries.is_empty() {
            return Ok(());
        }
        let columns = Columns::of(&insert);
        // Who does not have a statement prepared has to ask twice, or to say the types itself.
        self.execute_typed(&insert.postgres_rows(), &columns.typed())
            .map_err(|error| DatabaseError::postgres("events can not be added", error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::add::suite::{self, Driver, End};
    use crate::store::Store;
    use crate::store::shop::{Server, Shop};

    impl Driver for Shop {
        fn insert(&self, insert: Result<Insert, AddError>, end: End) -> Result<(), AddError> {
            let mut client = self.connect();
            let mut transaction = client.transaction().unwrap();
            let inserted = transaction.insert(insert);
            match end {
                End::Commit => transaction.commit().unwrap(),
                End::Rollback => transaction.rollback().unwrap(),
            }
            inserted
        }

        fn store(&self) -> Box<dyn Store> {
            self.any_store()
        }
    }

    #[test]
    fn events_are_added_in_transactions_of_postgres() {
        suite::run_all(&Server::start().shop());
    }
}
