//! What is asked of PostgreSQL, as SQL.

use super::query::Query;
use crate::table::Table;

/// Each has one snapshot of what is committed; what changes rows looks again at those that were changed meanwhile (READ COMMITTED).
pub(super) struct Queries {
    pub(super) beat: Query,
    pub(super) leases: Query,
    pub(super) take: Query,
    pub(super) release: Query,
    pub(super) forget: Query,
    pub(super) still_owned: Query,
    pub(super) waiting: Query,
    pub(super) read: Query,
    pub(super) read_beside: Query,
    pub(super) sent: Query,
    pub(super) sent_with_history: Query,
    pub(super) stop: Query,
    pub(super) prune: Query,
    pub(super) backlog: Query,
    pub(super) relays: Query,
    pub(super) stopped: Query,
    pub(super) retry: Query,
}

/// The names of the tables.
struct Tables {
    table: String,
    lease: String,
    relay: String,
    stopped: String,
    sent: String,
}

impl Queries {
    pub(super) fn of(table: &Table) -> Self {
        let [lease, relay, stopped, sent] =
            ["lease", "relay", "stopped", "sent"].map(|suffix| table.beside(suffix));
        let tables = Tables { table: table.to_string(), lease, relay, stopped, sent };
        Self {
            beat: tables.beat(),
            leases: tables.leases(),
            take: tables.take(),
            release: tables.release(),
            forget: tables.forget(),
            still_owned: tables.still_owned(),
            waiting: tables.waiting(),
            read: tables.read("", ""),
            read_beside: tables.read_beside(),
            sent: tables.sent(),
            sent_with_history: tables.sent_with_history(),
            stop: tables.stop(),
            prune: tables.prune(),
            backlog: tables.backlog(),
            relays: tables.relays(),
            stopped: tables.stopped(),
            retry: tables.retry(),
        }
    }
}

impl Tables {
    /// The relay, what troubles it.
    fn beat(&self) -> Query {
        let Self { relay, lease, .. } = self;
        let sql = format!(
            "WITH alive AS ( \
               INSERT INTO {relay} AS known (relay, trouble) VALUES ($1, $2) \
               ON CONFLICT (relay) DO UPDATE \
               SET beat = known.beat + 1, trouble = excluded.trouble) \
             UPDATE {lease} SET beat = beat + 1 WHERE owner = $1"
        );
        Query::new("the leases can not be kept", sql)
    }

    /// Partition, owner, epoch, beat of all leases; and of all relays, which have no partition and no epoch.
    fn leases(&self) -> Query {
        let Self { relay, lease, .. } = self;
        let sql = format!(
            "SELECT partition, owner, epoch, beat FROM {lease} \
             UNION ALL SELECT NULL, relay, NULL, beat FROM {relay}"
        );
        Query::new("the leases can not be read", sql)
    }

    /// The relay; partitions, owners, epochs, beats as they were seen. What somebody else has locked is about to change, and so
    /// is not as it was seen: there is nothing to wait for. And who does not wait is in no deadlock.
    fn take(&self) -> Query {
        let Self { lease, .. } = self;
        let sql = format!(
            "WITH free AS ( \
               SELECT lease.partition FROM {lease} AS lease \
               JOIN unnest($2::smallint[], $3::text[], $4::bigint[], $5::bigint[]) \
                 AS seen (partition, owner, epoch, beat) \
               ON lease.partition = seen.partition AND lease.epoch = seen.epoch \
                 AND lease.beat = seen.beat AND lease.owner IS NOT DISTINCT FROM seen.owner \
               FOR UPDATE OF lease SKIP LOCKED) \
             UPDATE {lease} AS lease SET owner = $1, epoch = epoch + 1, beat = beat + 1 \
             FROM free WHERE lease.partition = free.partition \
             RETURNING lease.partition, lease.epoch"
        );
        Query::new("partitions can not be taken", sql)
    }

    /// The relay; its partitions, their epochs.
    fn release(&self) -> Query {
        let Self { lease, .. } = self;
        let sql = format!(
            "UPDATE {lease} AS lease SET owner = NULL \
             FROM unnest($2::smallint[], $3::bigint[]) AS ours (partition, epoch) \
             WHERE lease.partition = ours.partition AND lease.epoch = ours.epoch \
               AND lease.owner = $1"
        );
        Query::new("partitions can not be given back", sql)
    }

    /// Relays, beats as they were seen. What is locked has moved, or is being forgotten.
    fn forget(&self) -> Query {
        let Self { relay, .. } = self;
        let sql = format!(
            "DELETE FROM {relay} WHERE relay IN ( \
               SELECT known.relay FROM {relay} AS known \
               JOIN unnest($1::text[], $2::bigint[]) AS seen (relay, beat) \
               ON known.relay = seen.relay AND known.beat = seen.beat \
               FOR UPDATE OF known SKIP LOCKED)"
        );
        Query::new("relays that are gone can not be forgotten", sql)
    }

    /// The relay.
    fn still_owned(&self) -> Query {
        let sql = format!("SELECT partition, epoch FROM {} WHERE owner = $1", self.lease);
        Query::new("the leases can not be read", sql)
    }

    /// Partitions; the position behind which; how many.
    fn waiting(&self) -> Query {
        let sql = format!(
            "SELECT position, event_id, subject, unit FROM {} \
             WHERE partition = ANY($1) AND position > $2 ORDER BY position LIMIT $3",
            self.table
        );
        Query::new("the rows that wait can not be read", sql)
    }

    /// As [`Tables::read`], and topics that are not wanted: nor what stands behind them of their keys, as it would overtake them.
    /// The first of each key are an object in which keys are searched for, as a join would need them sorted.
    fn read_beside(&self) -> Query {
        let held = format!(
            "WITH held AS ( \
               SELECT jsonb_object_agg(key, position) AS firsts FROM ( \
                 SELECT key, min(position) AS position FROM {} AS waiting \
                 WHERE partition = ANY($1) AND EXISTS (SELECT FROM unnest($5::text[]) AS held (topic) \
                   WHERE starts_with(waiting.subject, held.topic || '.') \
                     AND strpos(substr(waiting.subject, length(held.topic) + 2), '.') = 0) \
                 GROUP BY key) AS firsts)",
            self.table
        );
        let is_before =
            "AND coalesce(((SELECT firsts FROM held) ->> key)::bigint > position, true)";
        self.read(&held, is_before)
    }

    /// Partitions; positions that are not wanted; how many; keys that are not wanted. It goes along the positions and passes over what is not wanted, which costs a quarter of a
    /// microsecond a row. Positions that are not wanted are a subquery, which is hashed: an array that is a parameter is searched for
    /// each row. The offset keeps the stopped keys from being joined: they are looked up, however many they have become.
    fn read(&self, with: &str, and: &str) -> Query {
        let Self { table, stopped, .. } = self;
        let sql = format!(
            "{with} SELECT position, partition, event_id, key, subject, headers, payload, unit, unit_size \
             FROM {table} AS waiting \
             WHERE partition = ANY($1) AND position NOT IN (SELECT unnest($2::bigint[])) \
               AND key NOT IN (SELECT unnest($4::text[])) {and} \
               AND NOT EXISTS \
                 (SELECT FROM {stopped} AS stopped WHERE stopped.key = waiting.key OFFSET 0) \
             ORDER BY position LIMIT $3"
        );
        Query::new("the rows that wait can not be read", sql)
    }

    /// Positions, event ids.
    fn sent(&self) -> Query {
        let sql =
            format!("DELETE FROM {} WHERE position = ANY($1) AND event_id = ANY($2)", self.table);
        Query::new("rows that are stored can not be taken out", sql)
    }

    /// Positions, event ids, their sequences in the stream.
    fn sent_with_history(&self) -> Query {
        let Self { table, sent, .. } = self;
        let sql = format!(
            "WITH gone AS ( \
               DELETE FROM {table} WHERE position = ANY($1) AND event_id = ANY($2) \
               RETURNING position, event_id, key, subject) \
             INSERT INTO {sent} (position, event_id, key, subject, sequence) \
             SELECT position, event_id, key, subject, sequence \
             FROM gone JOIN unnest($1::bigint[], $3::bigint[]) AS stored (position, sequence) \
               USING (position) \
             ON CONFLICT (position) DO NOTHING"
        );
        Query::new("rows that are stored can not be taken out", sql)
    }

    /// Partition, epoch, owner; key, position, event id, reason. Who would take the partition waits for the lock on its lease, or passes it
    /// over; who has taken it is seen behind the lock.
    fn stop(&self) -> Query {
        let Self { lease, stopped, .. } = self;
        let sql = format!(
            "WITH ours AS ( \
               SELECT partition FROM {lease} \
               WHERE partition = $1 AND epoch = $2 AND owner = $3 FOR SHARE) \
             INSERT INTO {stopped} (partition, key, position, event_id, reason) \
             SELECT partition, $4, $5, $6, $7 FROM ours \
             ON CONFLICT (key) DO UPDATE SET partition = excluded.partition, \
               position = excluded.position, event_id = excluded.event_id, \
               reason = excluded.reason, since = excluded.since"
        );
        Query::new("a key can not be stopped", sql)
    }

    /// Older than so many seconds; how many.
    fn prune(&self) -> Query {
        let Self { sent, .. } = self;
        let sql = format!(
            "DELETE FROM {sent} WHERE position = ANY(ARRAY( \
               SELECT position FROM {sent} WHERE sent_at < now() - make_interval(secs => $1) \
               ORDER BY sent_at LIMIT $2))"
        );
        Query::new("the history can not be pruned", sql)
    }

    fn backlog(&self) -> Query {
        let (table, oldest) = (&self.table, seconds_since("min(added_at)"));
        let sql = format!("SELECT partition, count(*), {oldest} FROM {table} GROUP BY partition");
        Query::new("what waits can not be counted", sql)
    }

    fn relays(&self) -> Query {
        let Self { relay, lease, .. } = self;
        let sql = format!(
            "SELECT relay, (SELECT count(*) FROM {lease} WHERE owner = relay), trouble \
             FROM {relay} ORDER BY relay"
        );
        Query::new("the relays can not be read", sql)
    }

    fn stopped(&self) -> Query {
        let Self { table, stopped, .. } = self;
        let since = seconds_since("since");
        let sql = format!(
            "SELECT key, event_id, reason, coalesce(waiting.count, 0), {since} \
             FROM {stopped} LEFT JOIN ( \
               SELECT key, count(*) FROM {table} \
               WHERE key IN (SELECT key FROM {stopped}) GROUP BY key) AS waiting USING (key) \
             ORDER BY since, key"
        );
        Query::new("the stopped keys can not be read", sql)
    }

    /// The key, or none for all.
    fn retry(&self) -> Query {
        let sql = format!("DELETE FROM {} WHERE $1::text IS NULL OR key = $1", self.stopped);
        Query::new("stopped keys can not be let go on", sql)
    }
}

/// By the clock of the database. One that was set back counts as one that stood still.
fn seconds_since(time: &str) -> String {
    format!("greatest(extract(epoch FROM now() - {time}), 0)::float8")
}
