use std::sync::Arc;
use std::time::Duration;

use jetlane::Verdict;
use postgres::{Client, Error, Statement, Transaction};

use super::Inbox;
use super::driver::{Claim, Driver, Ended, Handle, Seen, sealed};
use crate::error::DatabaseError;
use crate::table::Table;

/// PostgreSQL, for an [`Inbox`].
#[derive(Clone)]
pub struct Postgres {
    connect: Arc<Connect>,
}

type Connect = dyn Fn() -> Result<Client, Error> + Send + Sync;

/// A connection with the statement that recorded an event last.
pub struct PostgresConnection {
    client: Client,
    record: Option<Record>,
}

/// A statement that records an event. Clones of an inbox share connections, and may differ in what it is made for.
struct Record {
    seen: Seen,
    table: Table,
    statement: Statement,
}

impl Inbox<Postgres> {
    /// The inbox of a subscription in a database of PostgreSQL (13 or later), by connections as `connect` makes them.
    pub fn postgres(
        subscription: &str,
        connect: impl Fn() -> Result<Client, Error> + Send + Sync + 'static,
    ) -> Self {
        Self::new(subscription, Postgres { connect: Arc::new(connect) })
    }
}

impl sealed::Sealed for Postgres {}

impl Driver for Postgres {
    type Connection = PostgresConnection;
    type Transaction<'a> = Transaction<'a>;

    fn connect(&self) -> Result<PostgresConnection, DatabaseError> {
        let client = (self.connect)().map_err(|error| {
            DatabaseError::postgres("the database can not be connected to", error)
        })?;
        Ok(PostgresConnection { client, record: None })
    }

    fn run(
        &self,
        connection: &mut PostgresConnection,
        table: &Table,
        claims: &[Claim<'_>],
        handle: &mut Handle<'_, Self>,
    ) -> Result<Ended, DatabaseError> {
        run(connection, table, claims, handle)
            .map_err(|error| DatabaseError::postgres("an event can not be recorded", error))
    }

    fn prune(
        &self,
        connection: &mut PostgresConnection,
        table: &Table,
        subscription: &str,
        older_than: Duration,
        most: u32,
    ) -> Result<u64, DatabaseError> {
        let ids = table.beside("event");
        let sql = format!(
            "DELETE FROM {ids} WHERE subscription = $1 AND event_id = ANY(ARRAY(\
             SELECT event_id FROM {ids} WHERE subscription = $1 \
             AND handled_at < now() - make_interval(secs => $2) LIMIT $3))"
        );
        let (age, most) = (older_than.as_secs_f64(), i64::from(most));
        let pruned = connection.client.execute(&sql, &[&subscription, &age, &most]);
        pruned.map_err(|error| DatabaseError::postgres("ids can not be pruned", error))
    }
}

fn run(
    connection: &mut PostgresConnection,
    table: &Table,
    claims: &[Claim<'_>],
    handle: &mut Handle<'_, Postgres>,
) -> Result<Ended, Error> {
    let Some(Claim { seen, .. }) = claims.first() else { return Ok(Ended::Repeated) };
    let PostgresConnection { client, record } = connection;
    let record = match record.take() {
        Some(known) if (known.seen, &known.table) == (*seen, table) => record.insert(known),
        _ => {
            let statement = client.prepare(&record_sql(table, *seen))?;
            record.insert(Record { seen: *seen, table: table.clone(), statement })
        }
    };
    let record = &record.statement;
    let mut transaction = client.transaction()?;
    let mut new = Vec::with_capacity(claims.len());
    for (at, claim) in claims.iter().enumerate() {
        let Claim { subscription, seen, key, sequence, stored_at, event_id } = claim;
        let event_id = &**event_id;
        // Of two that record the same at once, one waits for the end of the other here.
        let recorded = match seen {
            Seen::ById => transaction.execute(record, &[subscription, &event_id])?,
            Seen::ByKey => {
                transaction.execute(record, &[subscription, key, sequence, stored_at, &event_id])?
            }
        };
        if recorded > 0 {
            new.push(at);
        }
    }
    if new.is_empty() {
        return transaction.rollback().map(|()| Ended::Repeated);
    }
    match handle(&mut transaction, &new) {
        Verdict::Done => {
            // The commit of a transaction in which a statement has failed is a rollback, and no error: a handler may not have minded. A
            // statement is refused there.
            transaction.batch_execute("SELECT 1")?;
            transaction.commit().map(|()| Ended::Committed { new: new.len() })
        }
        verdict => transaction.rollback().map(|()| Ended::RolledBack(verdict)),
    }
}

/// Changes a row if the event is new.
fn record_sql(table: &Table, seen: Seen) -> String {
    match seen {
        Seen::ById => format!(
            "INSERT INTO {} (subscription, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            table.beside("event")
        ),
        Seen::ByKey => format!(
            "INSERT INTO {} AS mark (subscription, key, sequence, stored_at, event_id) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subscription, key) DO UPDATE SET \
             sequence = excluded.sequence, stored_at = greatest(mark.stored_at, excluded.stored_at), \
             event_id = excluded.event_id \
             WHERE mark.event_id <> excluded.event_id AND \
             (mark.sequence < excluded.sequence OR mark.stored_at < excluded.stored_at)",
            table.beside("key")
        ),
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres")
    }
}

impl std::fmt::Debug for PostgresConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConnection").finish_non_exhaustive()
    }
}
