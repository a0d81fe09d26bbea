mod config;
mod queries;
mod query;

use std::time::Duration;

use bytes::Bytes;
use postgres::{Client, Error};

use super::{
    Keep, Lease, Leases, Owned, PartitionBacklog, PassedOver, RelayBeat, RelayView, Row, Sent,
    Stop, StoppedKey, Store, Waiting, Wanted,
};
use crate::DatabaseError;
use crate::entry::Unit;
use crate::schema;
use crate::table::Table;
pub(crate) use config::{connect_postgres, postgres_config};
use queries::Queries;

/// An outbox in PostgreSQL.
pub(crate) struct PostgresStore {
    client: Client,
    queries: Queries,
    probes: String,
}

/// What the statements need of their session, to be right and to stay fast.
///
/// They see and wait for what is committed. Rows that were taken out do not come back when the server crashes: of the events of a key a relay would
/// recognise the last one only, and publish those before it again. And they go along the indexes: statistics of an outbox are mostly of a time when
/// nothing waited, and what is best then reads and sorts all that waits, which was seen to take a hundred times as long.
const SESSION: &str = "\
SET default_transaction_isolation = 'read committed';
SELECT set_config('synchronous_commit', 'on', false)
  WHERE current_setting('synchronous_commit') = 'off';
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
SET plan_cache_mode = force_custom_plan; SET jit = off";

/// Nothing is older, and dates of the database do not reach back for ever.
const OLDEST: Duration = Duration::from_secs(1000 * 365 * 86_400);

impl PostgresStore {
    pub(crate) fn new(mut client: Client, table: &Table) -> Result<Self, DatabaseError> {
        let set_up = client.batch_execute(SESSION);
        set_up.map_err(|error| DatabaseError::postgres("the session can not be set up", error))?;
        let (queries, probes) = (Queries::of(table), schema::probes(table).join(";\n"));
        Ok(Self { client, queries, probes })
    }
}

impl Store for PostgresStore {
    /// With two statements, as one would give back what stood there before it.
    fn beat(&mut self, relay: &str, trouble: Option<&str>) -> Result<Leases, DatabaseError> {
        self.queries.beat.change(&mut self.client, &[&relay, &trouble])?;
        let rows = self.queries.leases.rows(&mut self.client, &[], |row| {
            Ok((row.try_get::<_, Option<_>>(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        })?;
        let mut all = Leases::default();
        for (partition, owner, epoch, beat) in rows {
            match (partition, owner, epoch) {
                (Some(partition), owner, Some(epoch)) => {
                    all.leases.push(Lease { partition, owner, epoch, beat });
                }
                (_, Some(relay), _) => all.relays.push(RelayBeat { relay, beat }),
                _ => {}
            }
        }
        all.leases.sort_unstable_by_key(|lease| lease.partition);
        Ok(all)
    }

    fn take(&mut self, relay: &str, seen: &[Lease]) -> Result<Vec<Owned>, DatabaseError> {
        let partitions: Vec<_> = seen.iter().map(|lease| lease.partition).collect();
        let owners: Vec<_> = seen.iter().map(|lease| lease.owner.as_deref()).collect();
        let epochs: Vec<_> = seen.iter().map(|lease| lease.epoch).collect();
        let beats: Vec<_> = seen.iter().map(|lease| lease.beat).collect();
        let mut taken = self.queries.take.rows(
            &mut self.client,
            &[&relay, &partitions, &owners, &epochs, &beats],
            read_owned,
        )?;
        taken.sort_unstable();
        Ok(taken)
    }

    fn release(&mut self, relay: &str, owned: &[Owned]) -> Result<(), DatabaseError> {
        let partitions: Vec<_> = owned.iter().map(|owned| owned.partition).collect();
        let epochs: Vec<_> = owned.iter().map(|owned| owned.epoch).collect();
        self.queries.release.change(&mut self.client, &[&relay, &partitions, &epochs])?;
        Ok(())
    }

    fn forget(&mut self, seen: &[RelayBeat]) -> Result<(), DatabaseError> {
        let relays: Vec<_> = seen.iter().map(|seen| &*seen.relay).collect();
        let beats: Vec<_> = seen.iter().map(|seen| seen.beat).collect();
        self.queries.forget.change(&mut self.client, &[&relays, &beats])?;
        Ok(())
    }

    fn still_owned(&mut self, relay: &str, owned: &[Owned]) -> Result<Vec<Owned>, DatabaseError> {
        let mut ours = self.queries.still_owned.rows(&mut self.client, &[&relay], read_owned)?;
        ours.retain(|lease| owned.contains(lease));
        ours.sort_unstable();
        Ok(ours)
    }

    fn waiting(
        &mut self,
        partitions: &[i16],
        after: i64,
        most: u32,
    ) -> Result<Vec<Waiting>, DatabaseError> {
        let most = i64::from(most);
        self.queries.waiting.rows(&mut self.client, &[&partitions, &after, &most], |row| {
            Ok(Waiting {
                position: row.try_get(0)?,
                event_id: row.try_get(1)?,
                subject: row.try_get(2)?,
                unit: row.try_get(3)?,
            })
        })
    }

    fn read(&mut self, wanted: &Wanted<'_>) -> Result<Vec<Row>, DatabaseError> {
        let Wanted { partitions, passed_over: PassedOver { positions, keys, topics }, most } =
            wanted;
        let most = i64::from(*most);
        let values = [partitions as _, positions as _, &most as _, keys as _, topics as _];
        match topics.is_empty() {
            true => self.queries.read.rows(&mut self.client, &values[..4], read_row),
            false => self.queries.read_beside.rows(&mut self.client, &values, read_row),
        }
    }

    fn sent(&mut self, sent: &[Sent], keep: Keep) -> Result<(), DatabaseError> {
        let positions: Vec<_> = sent.iter().map(|sent| sent.position).collect();
        let ids: Vec<_> = sent.iter().map(|sent| &*sent.event_id).collect();
        let sequences: Vec<_> = sent.iter().map(|sent| sent.sequence.cast_signed()).collect();
        let Self { client, queries, .. } = self;
        match keep {
            Keep::Nothing => queries.sent.change(client, &[&positions, &ids])?,
            Keep::History => {
                queries.sent_with_history.change(client, &[&positions, &ids, &sequences])?
            }
        };
        Ok(())
    }

    fn stop(&mut self, relay: &str, stop: &Stop<'_>) -> Result<bool, DatabaseError> {
        let Stop { owned: Owned { partition, epoch }, key, position, event_id, reason } = stop;
        let stopped = self.queries.stop.change(
            &mut self.client,
            &[partition, epoch, &relay, key, position, event_id, reason],
        )?;
        Ok(stopped == 1)
    }

    fn prune(&mut self, older_than: Duration, most: u32) -> Result<u64, DatabaseError> {
        let older_than = older_than.min(OLDEST).as_secs_f64();
        self.queries.prune.change(&mut self.client, &[&older_than, &i64::from(most)])
    }

    fn backlog(&mut self) -> Result<Vec<PartitionBacklog>, DatabaseError> {
        self.queries.backlog.rows(&mut self.client, &[], |row| {
            Ok(PartitionBacklog {
                partition: row.try_get(0)?,
                waiting: row.try_get::<_, i64>(1)?.unsigned_abs(),
                oldest: duration(row.try_get(2)?),
            })
        })
    }

    fn relays(&mut self) -> Result<Vec<RelayView>, DatabaseError> {
        self.queries.relays.rows(&mut self.client, &[], |row| {
            Ok(RelayView {
                relay: row.try_get(0)?,
                partitions: row.try_get::<_, i64>(1)?.unsigned_abs(),
                trouble: row.try_get(2)?,
            })
        })
    }

    fn check(&mut self) -> Result<(), DatabaseError> {
        let checked = self.client.batch_execute(&self.probes);
        checked.map_err(|error| {
            DatabaseError::postgres("the tables are not as they have to be", error)
        })
    }

    fn stopped(&mut self) -> Result<Vec<StoppedKey>, DatabaseError> {
        self.queries.stopped.rows(&mut self.client, &[], |row| {
            Ok(StoppedKey {
                key: row.try_get(0)?,
                event_id: row.try_get(1)?,
                reason: row.try_get(2)?,
                waiting: row.try_get::<_, i64>(3)?.unsigned_abs(),
                since: duration(row.try_get(4)?),
            })
        })
    }

    fn retry(&mut self, key: Option<&str>) -> Result<u64, DatabaseError> {
        self.queries.retry.change(&mut self.client, &[&key])
    }
}

fn read_owned(row: &postgres::Row) -> Result<Owned, Error> {
    Ok(Owned { partition: row.try_get(0)?, epoch: row.try_get(1)? })
}

fn read_row(row: &postgres::Row) -> Result<Row, Error> {
    let (id, size) = (row.try_get::<_, Option<_>>(7)?, row.try_get::<_, Option<_>>(8)?);
    Ok(Row {
        position: row.try_get(0)?,
        partition: row.try_get(1)?,
        event_id: row.try_get(2)?,
        key: row.try_get(3)?,
        subject: row.try_get(4)?,
        headers: Bytes::copy_from_slice(row.try_get(5)?),
        payload: Bytes::copy_from_slice(row.try_get(6)?),
        unit: id.zip(size).map(|(id, size)| Unit { id, size }),
    })
}

/// What is no duration has no length: `infinity` can stand in a column.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
#[path = "postgres_tests.rs"]
mod tests;
