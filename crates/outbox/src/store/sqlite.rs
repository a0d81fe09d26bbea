use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Params, TransactionBehavior, params};
use uuid::Uuid;

use super::{
    Keep, Lease, Leases, Owned, PartitionBacklog, PassedOver, RelayBeat, RelayView, Row, Sent,
    Stop, StoppedKey, Store, Waiting, Wanted,
};
use crate::DatabaseError;
use crate::entry::Unit;
use crate::schema;
use crate::table::Table;

/// An outbox in SQLite. There is one writer at a time, so rows are added in the order of their commits.
pub(crate) struct SqliteStore {
    connection: Connection,
    sql: Sql,
}

/// The statements, with the names of the tables.
struct Sql {
    table: String,
    lease: String,
    relay: String,
    stopped: String,
    sent: String,
    probes: Vec<String>,
}

/// Milliseconds since 1970, by the clock of this machine, which is that of whoever adds rows, too.
const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

impl SqliteStore {
    pub(crate) fn new(connection: Connection, table: &Table) -> Self {
        let [lease, relay, stopped, sent] =
            ["lease", "relay", "stopped", "sent"].map(|suffix| table.beside(suffix));
        let probes = schema::probes(table);
        let sql = Sql { table: table.to_string(), lease, relay, stopped, sent, probes };
        Self { connection, sql }
    }

    fn in_transaction<T>(
        &mut self,
        doing: &'static str,
        run: impl FnOnce(&Connection, &Sql) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        // It is known from the start that it writes: a transaction that only finds out later can be refused for good.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let ran = transaction.and_then(|transaction| {
            let result = run(&transaction, &self.sql)?;
            transaction.commit()?;
            Ok(result)
        });
        ran.map_err(|error| DatabaseError::new(doing, error))
    }

    fn rows<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, DatabaseError> {
        rows(&self.connection, sql, params, read).map_err(|error| DatabaseError::new(doing, error))
    }
}

impl Store for SqliteStore {
    fn beat(&mut self, relay: &str, trouble: Option<&str>) -> Result<Leases, DatabaseError> {
        self.in_transaction("the leases can not be kept", |connection, sql| {
            let Sql { relay: relays, lease, .. } = sql;
            connection
                .prepare_cached(&format!(
                    "INSERT INTO {relays} (relay, trouble) VALUES (?1, ?2) \
                     ON CONFLICT (relay) DO UPDATE SET beat = beat + 1, trouble = ?2"
                ))?
                .execute(params![relay, trouble])?;
            connection
                .prepare_cached(&format!("UPDATE {lease} SET beat = beat + 1 WHERE owner = ?1"))?
                .execute([relay])?;
            let relays =
                rows(connection, &format!("SELECT relay, beat FROM {relays}"), [], |row| {
                    Ok(RelayBeat { relay: row.get(0)?, beat: row.get(1)? })
                })?;
            let leases = rows(
                connection,
                &format!("SELECT partition, owner, epoch, beat FROM {lease} ORDER BY partition"),
                [],
                |row| {
                    Ok(Lease {
                        partition: row.get(0)?,
                        owner: row.get(1)?,
                        epoch: row.get(2)?,
                        beat: row.get(3)?,
                    })
                },
            )?;
            Ok(Leases { relays, leases })
        })
    }

    fn take(&mut self, relay: &str, seen: &[Lease]) -> Result<Vec<Owned>, DatabaseError> {
        self.in_transaction("partitions can not be taken", |connection, sql| {
            let mut take = connection.prepare_cached(&format!(
                "UPDATE {} SET owner = ?1, epoch = epoch + 1, beat = beat + 1 \
                 WHERE partition = ?2 AND epoch = ?3 AND beat = ?4 AND owner IS ?5",
                sql.lease
            ))?;
            let mut owned = Vec::new();
            for lease in seen {
                let Lease { partition, owner, epoch, beat } = lease;
                if take.execute(params![relay, partition, epoch, beat, owner])? == 1 {
                    owned.push(Owned { partition: *partition, epoch: epoch + 1 });
                }
            }
            Ok(owned)
        })
    }

    fn release(&mut self, relay: &str, owned: &[Owned]) -> Result<(), DatabaseError> {
        self.in_transaction("partitions can not be given back", |connection, sql| {
            let mut release = connection.prepare_cached(&format!(
                "UPDATE {} SET owner = NULL WHERE partition = ?1 AND epoch = ?2 AND owner = ?3",
                sql.lease
            ))?;
            for Owned { partition, epoch } in owned {
                release.execute(params![partition, epoch, relay])?;
            }
            Ok(())
        })
    }

    fn forget(&mut self, seen: &[RelayBeat]) -> Result<(), DatabaseError> {
        self.in_transaction("relays that are gone can not be forgotten", |connection, sql| {
            let mut forget = connection.prepare_cached(&format!(
                "DELETE FROM {} WHERE relay = ?1 AND beat = ?2",
                sql.relay
            ))?;
            for RelayBeat { relay, beat } in seen {
                forget.execute(params![relay, beat])?;
            }
            Ok(())
        })
    }

    fn still_owned(&mut self, relay: &str, owned: &[Owned]) -> Result<Vec<Owned>, DatabaseError> {
        let sql = format!("SELECT partition, epoch FROM {} WHERE owner = ?1", self.sql.lease);
        let mut ours = self.rows("the leases can not be read", &sql, [relay], |row| {
            Ok(Owned { partition: row.get(0)?, epoch: row.get(1)? })
        })?;
        ours.retain(|lease| owned.contains(lease));
        Ok(ours)
    }

    fn waiting(
        &mut self,
        partitions: &[i16],
        after: i64,
        most: u32,
    ) -> Result<Vec<Waiting>, DatabaseError> {
        let sql = format!(
            "SELECT position, event_id, subject, unit FROM {} \
             WHERE position > ?1 AND +partition IN (SELECT value FROM json_each(?2)) \
             ORDER BY position LIMIT ?3",
            self.sql.table
        );
        let params = params![after, json(partitions), most];
        self.rows("the rows that wait can not be read", &sql, params, |row| {
            Ok(Waiting {
                position: row.get(0)?,
                event_id: row.get(1)?,
                subject: row.get(2)?,
                unit: row.get::<_, Option<[u8; 16]>>(3)?.map(Uuid::from_bytes),
            })
        })
    }

    fn read(&mut self, wanted: &Wanted<'_>) -> Result<Vec<Row>, DatabaseError> {
        let Sql { table, stopped, .. } = &self.sql;
        let Wanted { partitions, passed_over: PassedOver { positions, keys, topics }, most } =
            wanted;
        // Of each key, where its first row of these topics stands: what is behind it would overtake it.
        let beside = format!(
            "LEFT JOIN (SELECT key, min(position) AS position FROM {table} AS held \
             WHERE EXISTS (SELECT 1 FROM json_each(?5) AS topic \
             WHERE substr(held.subject, 1, length(topic.value) + 1) = topic.value || '.' \
             AND instr(substr(held.subject, length(topic.value) + 2), '.') = 0) GROUP BY key) \
             AS held ON held.key = waiting.key AND held.position <= waiting.position"
        );
        let (beside, is_free) = match topics.is_empty() {
            true => ("", ""),
            false => (&*beside, "AND held.key IS NULL"),
        };
        // The plus keeps it from looking partitions up one by one, and then sorting all that waits.
        let sql = format!(
            "SELECT waiting.position, partition, event_id, waiting.key, subject, headers, payload, \
             unit, unit_size FROM {table} AS waiting {beside} \
             WHERE +partition IN (SELECT value FROM json_each(?1)) \
             AND waiting.position NOT IN (SELECT value FROM json_each(?2)) \
             AND waiting.key NOT IN (SELECT value FROM json_each(?4)) {is_free} \
             AND NOT EXISTS (SELECT 1 FROM {stopped} AS stopped WHERE stopped.key = waiting.key) \
             ORDER BY waiting.position LIMIT ?3"
        );
        let doing = "the rows that wait can not be read";
        let (partitions, positions, keys) = (json(partitions), json(positions), json_texts(keys));
        match topics.is_empty() {
            true => self.rows(doing, &sql, params![partitions, positions, most, keys], read_row),
            false => {
                let topics = json_texts(topics);
                let params = params![partitions, positions, most, keys, topics];
                self.rows(doing, &sql, params, read_row)
            }
        }
    }

    fn sent(&mut self, sent: &[Sent], keep: Keep) -> Result<(), DatabaseError> {
        self.in_transaction("rows that are stored can not be taken out", |connection, sql| {
            let Sql { table, sent: history, .. } = sql;
            if keep == Keep::History {
                let mut copy = connection.prepare_cached(&format!(
                    "INSERT OR IGNORE INTO {history} (position, event_id, key, subject, sequence) \
                     SELECT position, event_id, key, subject, ?2 FROM {table} WHERE position = ?1 AND event_id = ?3"
                ))?;
                for Sent { position, event_id, sequence } in sent {
                    copy.execute(params![position, sequence.cast_signed(), event_id])?;
                }
            }
            let mut delete =
                connection.prepare_cached(&format!(
                    "DELETE FROM {table} WHERE position = ?1 AND event_id = ?2"
                ))?;
            for row in sent {
                delete.execute(params![row.position, row.event_id])?;
            }
            Ok(())
        })
    }

    fn stop(&mut self, relay: &str, stop: &Stop<'_>) -> Result<bool, DatabaseError> {
        self.in_transaction("a key can not be stopped", |connection, sql| {
            let Owned { partition, epoch } = stop.owned;
            let owner = connection
                .prepare_cached(&format!(
                    "SELECT owner FROM {} WHERE partition = ?1 AND epoch = ?2",
                    sql.lease
                ))?
                .query_row(params![partition, epoch], |row| row.get::<_, Option<String>>(0))
                .optional()?;
            if owner.flatten().as_deref() != Some(relay) {
                return Ok(false);
            }
            let Stop { key, position, event_id, reason, .. } = stop;
            connection
                .prepare_cached(&format!(
                    "INSERT OR REPLACE INTO {} (key, partition, position, event_id, reason) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    sql.stopped
                ))?
                .execute(params![key, partition, position, event_id, reason])?;
            Ok(true)
        })
    }

    fn prune(&mut self, older_than: Duration, most: u32) -> Result<u64, DatabaseError> {
        self.in_transaction("the history can not be pruned", |connection, sql| {
            let history = &sql.sent;
            let mut prune = connection.prepare_cached(&format!(
                "DELETE FROM {history} WHERE position IN \
                 (SELECT position FROM {history} WHERE sent_at < {NOW} - ?1 LIMIT ?2)"
            ))?;
            Ok(prune.execute(params![millis(older_than), most])? as u64)
        })
    }

    fn backlog(&mut self) -> Result<Vec<PartitionBacklog>, DatabaseError> {
        let sql = format!(
            "SELECT partition, count(*), {NOW} - min(added_at) FROM {} GROUP BY partition",
            self.sql.table
        );
        self.rows("what waits can not be counted", &sql, [], |row| {
            Ok(PartitionBacklog {
                partition: row.get(0)?,
                waiting: row.get::<_, i64>(1)?.unsigned_abs(),
                oldest: from_millis(row.get(2)?),
            })
        })
    }

    fn relays(&mut self) -> Result<Vec<RelayView>, DatabaseError> {
        let Sql { relay, lease, .. } = &self.sql;
        let sql = format!(
            "SELECT relay, (SELECT count(*) FROM {lease} WHERE owner = relay), trouble \
             FROM {relay} ORDER BY relay"
        );
        self.rows("the relays can not be read", &sql, [], |row| {
            Ok(RelayView {
                relay: row.get(0)?,
                partitions: row.get::<_, i64>(1)?.unsigned_abs(),
                trouble: row.get(2)?,
            })
        })
    }

    fn check(&mut self) -> Result<(), DatabaseError> {
        for probe in &self.sql.probes {
            self.rows("the tables are not as they have to be", probe, [], |_| Ok(()))?;
        }
        Ok(())
    }

    fn stopped(&mut self) -> Result<Vec<StoppedKey>, DatabaseError> {
        let Sql { table, stopped, .. } = &self.sql;
        let sql = format!(
            "SELECT key, event_id, reason, \
             (SELECT count(*) FROM {table} AS waiting WHERE waiting.partition = stopped.partition \
              AND waiting.key = stopped.key), {NOW} - since \
             FROM {stopped} AS stopped ORDER BY since, key"
        );
        self.rows("the stopped keys can not be read", &sql, [], |row| {
            Ok(StoppedKey {
                key: row.get(0)?,
                event_id: row.get(1)?,
                reason: row.get(2)?,
                waiting: row.get::<_, i64>(3)?.unsigned_abs(),
                since: from_millis(row.get(4)?),
            })
        })
    }

    fn retry(&mut self, key: Option<&str>) -> Result<u64, DatabaseError> {
        self.in_transaction("stopped keys can not be let go on", |connection, sql| {
            let sql = format!("DELETE FROM {} WHERE ?1 IS NULL OR key = ?1", sql.stopped);
            Ok(connection.prepare_cached(&sql)?.execute([key])? as u64)
        })
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let id: Option<[u8; 16]> = row.get(7)?;
    let size: Option<i16> = row.get(8)?;
    Ok(Row {
        position: row.get(0)?,
        partition: row.get(1)?,
        event_id: row.get(2)?,
        key: row.get(3)?,
        subject: row.get(4)?,
        headers: Bytes::from(row.get::<_, Vec<u8>>(5)?),
        payload: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        unit: id.zip(size).map(|(id, size)| Unit { id: Uuid::from_bytes(id), size }),
    })
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// A list of numbers, as one parameter.
fn json<N: ToString>(numbers: &[N]) -> String {
    let numbers: Vec<_> = numbers.iter().map(N::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// A list of texts, as one parameter.
fn json_texts(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A clock that was set back counts as one that stood still.
fn from_millis(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::Outbox;
    use crate::store::suite::{self, Database};

    struct Sqlite {
        folder: tempfile::TempDir,
        table: Table,
    }

    impl Sqlite {
        fn new(table: &str) -> Self {
            let table = Table::new(table).unwrap();
            let sqlite = Self { folder: tempfile::tempdir().unwrap(), table };
            sqlite.connect().execute_batch(&crate::schema::sqlite(&sqlite.table)).unwrap();
            sqlite
        }

        /// With a second database, attached as `shop`.
        fn connect(&self) -> Connection {
            let file = |name| self.folder.path().join(name).display().to_string();
            let connection = Connection::open(file("outbox.db")).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            connection.execute("ATTACH ?1 AS shop", [file("shop.db")]).unwrap();
            connection
        }
    }

    impl Database for Sqlite {
        fn table(&self) -> &Table {
            &self.table
        }

        fn store_in(&self, table: &Table) -> Box<dyn Store> {
            Box::new(SqliteStore::new(self.connect(), table))
        }

        fn add(&self, outbox: &Outbox, events: Vec<suite::Event>) {
            let mut connection = self.connect();
            let transaction = connection.transaction().unwrap();
            outbox.add_all(&transaction, events).unwrap();
            transaction.commit().unwrap();
        }
    }

    #[test]
    fn a_store_in_sqlite_does_what_stores_do() {
        suite::run_all(|| Sqlite::new("jetlane_outbox"));
    }

    #[test]
    fn a_table_can_be_in_a_database_that_is_attached() {
        suite::run_all(|| Sqlite::new("shop.outbox"));
        let connection = Sqlite::new("shop.outbox").connect();
        let count =
            "SELECT count(*) FROM shop.sqlite_schema WHERE type = 'index' AND name LIKE 'outbox%'";
        let indexes: i64 = connection.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(indexes, 2);
    }
}
