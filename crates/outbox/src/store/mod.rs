//! What a relay asks of a database. Each call is a transaction of its own, and changes all or nothing.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(all(test, feature = "postgres"))]
pub(crate) mod shop;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(test)]
mod suite;

#[cfg(feature = "postgres")]
pub(crate) use postgres::{PostgresStore, connect_postgres, postgres_config};
#[cfg(feature = "sqlite")]
pub(crate) use sqlite::SqliteStore;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::DatabaseError;
use crate::entry::Unit;

/// A connection to the database of an outbox.
pub(crate) trait Store: Send {
    /// Tells that the relay `relay` lives, and that it keeps its partitions: counts up the beat of both. Returns what stands there
    /// afterwards, of all relays and all partitions. Makes a row for a relay that has none.
    /// `trouble` is for whoever asks how relays are.
    fn beat(&mut self, relay: &str, trouble: Option<&str>) -> Result<Leases, DatabaseError>;

    /// Takes partitions that are as they were seen; with each that it got, its new epoch, which is higher by one.
    fn take(&mut self, relay: &str, seen: &[Lease]) -> Result<Vec<Owned>, DatabaseError>;

    /// Gives partitions back, so that others can take them at once; those that somebody else has meanwhile stay.
    fn release(&mut self, relay: &str, owned: &[Owned]) -> Result<(), DatabaseError>;

    /// Deletes relays that are gone, which were seen so; those that have moved meanwhile stay.
    fn forget(&mut self, seen: &[RelayBeat]) -> Result<(), DatabaseError>;

    /// Those partitions of `owned` that are still owned, by the same epoch.
    fn still_owned(&mut self, relay: &str, owned: &[Owned]) -> Result<Vec<Owned>, DatabaseError>;

    /// Of rows in these partitions, in order of their position, those behind `after`, stopped keys included: at most `most`.
    fn waiting(
        &mut self,
        partitions: &[i16],
        after: i64,
        most: u32,
    ) -> Result<Vec<Waiting>, DatabaseError>;

    /// The first rows, in order of their position, of these partitions that are not passed over, and not of a stopped key: at most
    /// `most`. One snapshot: if it sees a row it sees all that was committed before that row was added.
    fn read(&mut self, wanted: &Wanted<'_>) -> Result<Vec<Row>, DatabaseError>;

    /// Takes rows out that are stored in their stream; keeps them as history, if that is wanted. Those that are not there are passed over.
    fn sent(&mut self, sent: &[Sent], keep: Keep) -> Result<(), DatabaseError>;

    /// Stops a key at a row, unless the partition has another owner; whether it is stopped now.
    fn stop(&mut self, relay: &str, stop: &Stop<'_>) -> Result<bool, DatabaseError>;

    /// Deletes at most `most` rows of the history that are older than that, and how many it were.
    fn prune(&mut self, older_than: Duration, most: u32) -> Result<u64, DatabaseError>;

    /// How many rows wait, and how old the oldest one is, by partition; partitions without rows are left out.
    fn backlog(&mut self) -> Result<Vec<PartitionBacklog>, DatabaseError>;

    /// The relays, by name.
    fn relays(&mut self) -> Result<Vec<RelayView>, DatabaseError>;

    /// Looks whether the tables are there, with all columns that are used; the error names what is not.
    fn check(&mut self) -> Result<(), DatabaseError>;

    /// The stopped keys, oldest first.
    fn stopped(&mut self) -> Result<Vec<StoppedKey>, DatabaseError>;

    /// Lets stopped keys go on, or all of them for `None`; how many they were.
    fn retry(&mut self, key: Option<&str>) -> Result<u64, DatabaseError>;
}

/// Who owns what, as it stood at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leases {
    pub(crate) relays: Vec<RelayBeat>,
    /// Of all partitions.
    pub(crate) leases: Vec<Lease>,
}

/// A relay, and how often it has told that it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelayBeat {
    pub(crate) relay: String,
    pub(crate) beat: i64,
}

/// Who owns a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) partition: i16,
    /// `None` if it is nobody's.
    pub(crate) owner: Option<String>,
    /// Higher by one with each owner.
    pub(crate) epoch: i64,
    /// Higher by one whenever the owner tells that it keeps it.
    pub(crate) beat: i64,
}

/// A partition that this relay owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Owned {
    pub(crate) partition: i16,
    pub(crate) epoch: i64,
}

/// A row, as far as recovery needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) position: i64,
    pub(crate) event_id: String,
    pub(crate) subject: String,
    pub(crate) unit: Option<Uuid>,
}

/// Which rows are to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) partitions: &'a [i16],
    pub(crate) passed_over: PassedOver<'a>,
    pub(crate) most: u32,
}

/// Which rows are not to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOver<'a> {
    /// Of rows that were read and are still there, in order.
    pub(crate) positions: &'a [i64],
    pub(crate) keys: &'a [String],
    /// Their subjects without the key. Nor what stands behind them of their keys.
    pub(crate) topics: &'a [String],
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) position: i64,
    pub(crate) partition: i16,
    pub(crate) event_id: String,
    pub(crate) key: String,
    pub(crate) subject: String,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) unit: Option<Unit>,
}

/// A row that is stored in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) position: i64,
    /// A position can have become that of another event, where a database has lost what it had committed.
    pub(crate) event_id: String,
    /// Its place in the stream.
    pub(crate) sequence: u64,
}

/// What becomes of rows that are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// They are deleted: the stream has them.
    #[default]
    Nothing,
    /// They go to the table `<outbox>_sent`, with their sequence in the stream, until they are pruned.
    History,
}

/// A key that is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop<'a> {
    pub(crate) owned: Owned,
    pub(crate) key: &'a str,
    pub(crate) position: i64,
    pub(crate) event_id: &'a str,
    pub(crate) reason: &'a str,
}

/// What waits in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionBacklog {
    /// Which one.
    pub partition: i16,
    /// How many rows wait.
    pub waiting: u64,
    /// For how long the oldest one has been waiting, by the clock of the database.
    pub oldest: Duration,
}

/// A relay, as it tells of itself in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayView {
    /// Its name: another one at each start.
    pub relay: String,
    /// How many partitions it owns.
    pub partitions: u64,
    /// What held it up when it last told: see [`crate::RelayStatus::troubles`].
    pub trouble: Option<String>,
}

/// A key whose event the stream has refused. Its events wait, those of others do not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoppedKey {
    /// The key.
    pub key: String,
    /// The event that was refused.
    pub event_id: String,
    /// Why, in the server's words.
    pub reason: String,
    /// How many events of the key wait, that one included.
    pub waiting: u64,
    /// For how long, by the clock of the database.
    pub since: Duration,
}
