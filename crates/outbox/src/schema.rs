//! The tables of an outbox and of an inbox, as SQL to be run by whoever owns the database: jetlane never changes them.

use crate::partition::PARTITIONS;
use crate::table::Table;

/// The tables of an outbox for PostgreSQL (13 or later). If the table's name has a schema, that has to be there.
pub fn postgres(table: &Table) -> String {
    let (lease, relay, stopped, sent) = beside(table);
    // An index is in the schema of its table, and its name has none.
    let bare_sent = table.bare_beside("sent");
    let last = PARTITIONS - 1;
    format!(
        "\
-- Events that wait to be published. Rows go once they are stored in their stream.
CREATE TABLE {table} (
  -- In the order in which they were added. CACHE 1, which is the default, keeps it so over connections.
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  partition smallint NOT NULL CHECK (partition BETWEEN 0 AND {last}),
  event_id text NOT NULL UNIQUE,
  key text NOT NULL,
  subject text NOT NULL,
  headers bytea NOT NULL,
  payload bytea NOT NULL,
  -- Events of one unit are stored all or not at all: which one, and how many they are.
  unit uuid,
  unit_size smallint,
  added_at timestamptz NOT NULL DEFAULT now()
);

-- Who publishes the events of which keys.
CREATE TABLE {lease} (
  partition smallint PRIMARY KEY,
  owner text,
  epoch bigint NOT NULL DEFAULT 0,
  beat bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO {lease} (partition) SELECT generate_series(0, {last});

-- The relays that live.
CREATE TABLE {relay} (
  relay text PRIMARY KEY,
  beat bigint NOT NULL DEFAULT 0,
  trouble text
) WITH (fillfactor = 50);

-- Keys that wait for somebody, because the stream refused an event of theirs.
CREATE TABLE {stopped} (
  key text PRIMARY KEY,
  partition smallint NOT NULL,
  position bigint NOT NULL,
  event_id text NOT NULL,
  reason text NOT NULL,
  since timestamptz NOT NULL DEFAULT now()
);

-- What was stored, if it is kept (Keep::History).
CREATE TABLE {sent} (
  position bigint PRIMARY KEY,
  event_id text NOT NULL,
  key text NOT NULL,
  subject text NOT NULL,
  sequence bigint NOT NULL,
  sent_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX {bare_sent}_at ON {sent} (sent_at);
"
    )
}

/// The tables of an outbox for SQLite (3.42 or later).
///
/// A name with a dot is that of a table in a database that is attached. That is for services whose state is there as well: in WAL mode SQLite
/// commits each file by itself, and of a transaction in two of them a crash may leave one half.
pub fn sqlite(table: &Table) -> String {
    let (lease, relay, stopped, sent) = beside(table);
    // Here it is the index that is in a schema, and its table is in the same one.
    let (bare, bare_sent) = (table.bare(), table.bare_beside("sent"));
    let last = PARTITIONS - 1;
    format!(
        "\
-- Events that wait to be published. Rows go once they are stored in their stream.
CREATE TABLE {table} (
  -- In the order in which they were added; never used twice.
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  partition INTEGER NOT NULL CHECK (partition BETWEEN 0 AND {last}),
  event_id TEXT NOT NULL UNIQUE,
  key TEXT NOT NULL,
  subject TEXT NOT NULL,
  headers BLOB NOT NULL,
  payload BLOB NOT NULL,
  -- Events of one unit are stored all or not at all: which one, and how many they are.
  unit BLOB,
  unit_size INTEGER,
  -- Milliseconds since 1970.
  added_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT;
CREATE INDEX {table}_partition ON {bare} (partition, position);

-- Who publishes the events of which keys.
CREATE TABLE {lease} (
  partition INTEGER PRIMARY KEY,
  owner TEXT,
  epoch INTEGER NOT NULL DEFAULT 0,
  beat INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO {lease} (partition)
  WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {last}) SELECT n FROM n;

-- The relays that live.
CREATE TABLE {relay} (
  relay TEXT PRIMARY KEY,
  beat INTEGER NOT NULL DEFAULT 0,
  trouble TEXT
) STRICT;

-- Keys that wait for somebody, because the stream refused an event of theirs.
CREATE TABLE {stopped} (
  key TEXT PRIMARY KEY,
  partition INTEGER NOT NULL,
  position INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  since INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT;

-- What was stored, if it is kept (Keep::History).
CREATE TABLE {sent} (
  position INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL,
  key TEXT NOT NULL,
  subject TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  sent_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT;
CREATE INDEX {sent}_at ON {bare_sent} (sent_at);
"
    )
}

/// The tables of an inbox for PostgreSQL (13 or later).
pub fn inbox_postgres(table: &Table) -> String {
    let (key, event, bare) = (table.beside("key"), table.beside("event"), table.bare());
    format!(
        "\
-- How far each key was handled by each subscription (Seen::ByKey).
CREATE TABLE {key} (
  subscription text NOT NULL,
  key text NOT NULL,
  -- The place in the stream of the last event that was handled, and when it was stored: nanoseconds since 1970.
  sequence bigint NOT NULL,
  stored_at bigint NOT NULL,
  event_id text NOT NULL,
  PRIMARY KEY (subscription, key)
) WITH (fillfactor = 80);

-- Which events were handled by each subscription (Seen::ById), until they are pruned.
CREATE TABLE {event} (
  subscription text NOT NULL,
  event_id text NOT NULL,
  handled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (subscription, event_id)
);
CREATE INDEX {bare}_handled_at ON {event} (subscription, handled_at);
"
    )
}

/// The tables of an inbox for SQLite (3.35 or later).
pub fn inbox_sqlite(table: &Table) -> String {
    let (key, event, bare) = (table.beside("key"), table.beside("event"), table.bare());
    format!(
        "\
-- How far each key was handled by each subscription (Seen::ByKey).
CREATE TABLE {key} (
  subscription TEXT NOT NULL,
  key TEXT NOT NULL,
  -- The place in the stream of the last event that was handled, and when it was stored: nanoseconds since 1970.
  sequence INTEGER NOT NULL,
  stored_at INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  PRIMARY KEY (subscription, key)
) STRICT, WITHOUT ROWID;

-- Which events were handled by each subscription (Seen::ById), until they are pruned.
CREATE TABLE {event} (
  subscription TEXT NOT NULL,
  event_id TEXT NOT NULL,
  handled_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  PRIMARY KEY (subscription, event_id)
) STRICT;
CREATE INDEX {bare}_handled_at ON {event} (subscription, handled_at);
"
    )
}

/// Statements that read nothing, and fail if a table or a column is missing that is used.
pub(crate) fn probes(table: &Table) -> Vec<String> {
    let (lease, relay, stopped, sent) = beside(table);
    let row =
        "position, partition, event_id, key, subject, headers, payload, unit, unit_size, added_at";
    [
        (table.to_string(), row),
        (lease, "partition, owner, epoch, beat"),
        (relay, "relay, beat, trouble"),
        (stopped, "key, partition, position, event_id, reason, since"),
        (sent, "position, event_id, key, subject, sequence, sent_at"),
    ]
    .map(|(table, columns)| format!("SELECT {columns} FROM {table} LIMIT 0"))
    .into()
}

fn beside(table: &Table) -> (String, String, String, String) {
    let [lease, relay, stopped, sent] =
        ["lease", "relay", "stopped", "sent"].map(|suffix| table.beside(suffix));
    (lease, relay, stopped, sent)
}
