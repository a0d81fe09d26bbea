use std::sync::Arc;
use std::time::Duration;

use jetlane::Verdict;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::Inbox;
use super::driver::{Claim, Driver, Ended, Handle, Seen, sealed};
use crate::error::DatabaseError;
use crate::table::Table;

/// SQLite, for an [`Inbox`].
#[derive(Clone)]
pub struct Sqlite {
    connect: Arc<Connect>,
}

type Connect = dyn Fn() -> rusqlite::Result<Connection> + Send + Sync;

impl Inbox<Sqlite> {
    /// The inbox of a subscription in a database of SQLite, by connections as `connect` makes them. There is one writer at a time: set a
    /// `busy_timeout`.
    pub fn sqlite(
        subscription: &str,
        connect: impl Fn() -> rusqlite::Result<Connection> + Send + Sync + 'static,
    ) -> Self {
        Self::new(subscription, Sqlite { connect: Arc::new(connect) })
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sqlite")
    }
}

impl sealed::Sealed for Sqlite {}

impl Driver for Sqlite {
    type Connection = Connection;
    type Transaction<'a> = Transaction<'a>;

    fn connect(&self) -> Result<Connection, DatabaseError> {
        (self.connect)()
            .map_err(|error| DatabaseError::new("the database can not be opened", error))
    }

    fn run(
        &self,
        connection: &mut Connection,
        table: &Table,
        claims: &[Claim<'_>],
        handle: &mut Handle<'_, Self>,
    ) -> Result<Ended, DatabaseError> {
        let ended = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(
            |mut transaction| {
                let mut new = Vec::with_capacity(claims.len());
                for (at, claim) in claims.iter().enumerate() {
                    if record(&transaction, table, claim)? {
                        new.push(at);
                    }
                }
                if new.is_empty() {
                    return Ok(Ended::Repeated);
                }
                match handle(&mut transaction, &new) {
                    Verdict::Done => {
                        transaction.commit().map(|()| Ended::Committed { new: new.len() })
                    }
                    verdict => transaction.rollback().map(|()| Ended::RolledBack(verdict)),
                }
            },
        );
        ended.map_err(|error| DatabaseError::new("an event can not be recorded", error))
    }

    fn prune(
        &self,
        connection: &mut Connection,
        table: &Table,
        subscription: &str,
        older_than: Duration,
        most: u32,
    ) -> Result<u64, DatabaseError> {
        let ids = table.beside("event");
        let sql = format!(
            "DELETE FROM {ids} WHERE rowid IN (SELECT rowid FROM {ids} WHERE subscription = ?1 \
             AND handled_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?2 LIMIT ?3)"
        );
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let pruned = connection.execute(&sql, params![subscription, age, most]);
        let pruned = pruned.map_err(|error| DatabaseError::new("ids can not be pruned", error))?;
        Ok(pruned as u64)
    }
}

/// Whether it is new.
fn record(
    transaction: &Transaction<'_>,
    table: &Table,
    claim: &Claim<'_>,
) -> rusqlite::Result<bool> {
    let Claim { subscription, seen, key, sequence, stored_at, event_id } = claim;
    let recorded = match seen {
        Seen::ById => {
            let ids = table.beside("event");
            let sql = format!(
                "INSERT INTO {ids} (subscription, event_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
            );
            transaction.prepare_cached(&sql)?.execute(params![subscription, event_id])?
        }
        Seen::ByKey => {
            let marks = table.beside("key");
            let sql = format!(
                "INSERT INTO {marks} AS mark (subscription, key, sequence, stored_at, event_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (subscription, key) DO UPDATE SET \
                 sequence = excluded.sequence, stored_at = max(mark.stored_at, excluded.stored_at), \
                 event_id = excluded.event_id \
                 WHERE mark.event_id <> excluded.event_id AND \
                 (mark.sequence < excluded.sequence OR mark.stored_at < excluded.stored_at)"
            );
            let values = params![subscription, key, sequence, stored_at, event_id];
            transaction.prepare_cached(&sql)?.execute(values)?
        }
    };
    Ok(recorded == 1)
}
