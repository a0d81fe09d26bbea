use std::time::Duration;

use crate::database::Database;
use crate::error::DatabaseError;
use crate::outbox::Outbox;
use crate::store::{PartitionBacklog, RelayView, StoppedKey, Store};

/// So many rows of the history are deleted in one transaction.
const CHUNK: u32 = 1000;

/// What operators ask of an outbox, and do to it: `jetlane outbox` stands on it.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use jetlane_outbox::{Database, Outbox, Table, Upkeep, schema};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("shop.db");
/// # let connection = rusqlite::Connection::open(&path)?;
/// # connection.execute_batch(&schema::sqlite(&Table::default()))?;
/// let mut upkeep = Upkeep::of(&Outbox::new(), Database::sqlite_file(path))?;
/// upkeep.check()?;
/// let waiting: u64 = upkeep.backlog()?.iter().map(|partition| partition.waiting).sum();
/// println!("{waiting} events wait, and {} relays are there", upkeep.relays()?.len());
/// for stopped in upkeep.stopped()? {
///     println!("{} is stopped: {}", stopped.key, stopped.reason);
/// }
/// upkeep.retry_all()?; // once the cause is gone
/// upkeep.prune(Duration::from_secs(7 * 86_400))?;
/// # assert_eq!(waiting, 0);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
pub struct Upkeep {
    store: Box<dyn Store>,
}

impl Upkeep {
    /// Connects to the database of an outbox.
    ///
    /// # Errors
    /// [`DatabaseError`] if that does not work.
    pub fn of(outbox: &Outbox, database: impl Into<Database>) -> Result<Self, DatabaseError> {
        Ok(Self { store: database.into().connect(outbox.table())? })
    }

    /// Looks whether the tables are there, with all columns that are used; [`crate::schema`] has the SQL that makes them.
    ///
    /// # Errors
    /// [`DatabaseError`] names what is missing.
    pub fn check(&mut self) -> Result<(), DatabaseError> {
        self.store.check()
    }

    /// How many events wait to be published, and the age of the oldest one, by partition. Partitions where nothing waits are left out.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn backlog(&mut self) -> Result<Vec<PartitionBacklog>, DatabaseError> {
        self.store.backlog()
    }

    /// The relays that live, or did until a short time ago.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn relays(&mut self) -> Result<Vec<RelayView>, DatabaseError> {
        self.store.relays()
    }

    /// The keys that wait because the stream refused an event of theirs, those that have waited longest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn stopped(&mut self) -> Result<Vec<StoppedKey>, DatabaseError> {
        self.store.stopped()
    }

    /// Lets a stopped key go on, beginning with the event that was refused; whether it was stopped. If it is refused again, the key
    /// stops again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn retry(&mut self, key: &str) -> Result<bool, DatabaseError> {
        Ok(self.store.retry(Some(key))? > 0)
    }

    /// Lets all stopped keys go on; how many they were.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn retry_all(&mut self) -> Result<u64, DatabaseError> {
        self.store.retry(None)
    }

    /// Deletes what is older than that from the history ([`crate::Keep::History`]), a thousand rows at a time, so that nobody waits for it long; how
    /// many rows it were.
    ///
    /// # Errors
    /// [`DatabaseError`]; what was deleted before stays so.
    pub fn prune(&mut self, older_than: Duration) -> Result<u64, DatabaseError> {
        let mut pruned = 0;
        loop {
            let chunk = self.store.prune(older_than, CHUNK)?;
            pruned += chunk;
            if chunk < u64::from(CHUNK) {
                return Ok(pruned);
            }
        }
    }
}

impl std::fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upkeep")
    }
}
