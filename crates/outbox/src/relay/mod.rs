//! Brings events from the outbox to their streams.

mod courier;
mod expected;
mod leases;
mod lines;
mod lookup;
#[cfg(feature = "metrics")]
mod meters;
#[cfg(not(feature = "metrics"))]
#[path = "meters_off.rs"]
mod meters;
mod recovery;
mod status;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jetlane::EventBus;
use jetlane::client::later;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::bell::Bell;
use crate::database::Database;
use crate::outbox::Outbox;
use crate::store::Keep;

use meters::Meters;
use status::Shared;
pub use status::{Busy, RelayStatus, Trouble};
use worker::Worker;

/// Publishes what is in an outbox: one thread, with one connection to the database. Any number of relays, in any number of processes, share the
/// work by partitions of keys, and take over from each other.
///
/// Each event is stored by its stream once and in the order of its key, whatever fails: relays that are killed or paused for however
/// long, connections, servers, the database. What is needed for that: the subjects `<topic>.<key>` are published to by this outbox only, and their
/// messages are kept for longer than relays may be down.
///
/// Dropping it stops it in the background; [`Relay::stop`] does so and waits.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A relay to be: made by [`Relay::of`].
#[derive(Clone)]
pub struct RelayBuilder {
    bus: EventBus,
    outbox: Outbox,
    database: Database,
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) poll: Duration,
    pub(crate) lease_time: Duration,
    pub(crate) most: u32,
    pub(crate) keep: Keep,
}

/// What was not done when a relay was stopped: it waits in the table for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the relay did not end within {timeout:?}: its leases are free after the time of a lease")]
pub struct StopError {
    /// How long it was waited for.
    pub timeout: Duration,
}

impl Relay {
    /// Begins to set up a relay that publishes by this bus what the outbox has in this database.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use jetlane::{Envelope, EventBus, Strategy};
    /// # use jetlane_outbox::{Database, Outbox, Relay, Table, schema};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("shop.db");
    /// # let connection = rusqlite::Connection::open(&path)?;
    /// # connection.execute_batch(&schema::sqlite(&Table::default()))?;
    /// # let outbox = Outbox::new();
    /// # outbox.add(&connection, "order.paid", Envelope::new("order-42", "OrderPaid", "{}"))?;
    /// bus.topic("order.>").ensure(Strategy::CreateOnly)?; // has `order.paid.order-42` in it
    /// let relay = Relay::of(&bus, &outbox, Database::sqlite_file(path)).start()?;
    /// # while relay.status().published == 0 {
    /// #     std::thread::park_timeout(Duration::from_millis(1));
    /// # }
    /// for trouble in relay.status().troubles {
    ///     eprintln!("held up: {trouble}");
    /// }
    /// relay.stop(Duration::from_secs(10))?; // at the end, before the bus is closed
    /// # assert_eq!(relay.status().published, 1);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    pub fn of(bus: &EventBus, outbox: &Outbox, database: impl Into<Database>) -> RelayBuilder {
        let settings = Settings {
            poll: Duration::from_secs(1),
            lease_time: Duration::from_secs(10),
            most: 4096,
            keep: Keep::Nothing,
        };
        let (bus, outbox, database) = (bus.clone(), outbox.clone(), database.into());
        RelayBuilder { bus, outbox, database, settings }
    }

    /// What it does now, and what holds it up.
    pub fn status(&self) -> RelayStatus {
        self.shared.status()
    }

    /// Publishes nothing more, waits for what is on its way, takes that out of the table, and gives its partitions to others at once.
    ///
    /// # Errors
    /// [`StopError`] if that takes longer than `timeout`; it goes on in the background.
    pub fn stop(&self, timeout: Duration) -> Result<(), StopError> {
        self.shared.stop();
        match self.shared.wait_for_end(later(Instant::now(), timeout)) {
            false => Err(StopError { timeout }),
            true => {
                // It has nothing left to do but to return.
                self.thread.lock().take().map(JoinHandle::join);
                Ok(())
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl RelayBuilder {
    /// How often it looks into the table without being woken. Default 1 s. [`Outbox::wake`] makes it look at once, if it is in the same process.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.settings.poll = poll.max(Duration::from_millis(1));
        self
    }

    /// How long a relay may be silent before others take its partitions over. Default 10 s; it tells that it lives four times as
    /// often. All relays of an outbox need the same. Shorter ones take over faster, and lose their partitions at shorter hiccups, which costs
    /// time and nothing else.
    #[must_use]
    pub fn lease_time(mut self, lease_time: Duration) -> Self {
        self.settings.lease_time = lease_time.max(Duration::from_millis(40));
        self
    }

    /// How many rows it holds in memory at most, and so how many keys it publishes at once. Default 4096.
    #[must_use]
    pub fn most(mut self, most: u32) -> Self {
        self.settings.most = most.max(1);
        self
    }

    /// What becomes of rows that are stored. Default: they are deleted.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.settings.keep = keep;
        self
    }

    /// Starts its thread. It connects to the database by itself, also when that is down now: [`Relay::status`] tells.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(self) -> std::io::Result<Relay> {
        let bell = Arc::<Bell>::default();
        self.outbox.listen(&bell);
        let shared = Arc::new(Shared::new(bell));
        let name = format!("relay-{}", Uuid::now_v7());
        let (js, table) = (self.bus.jetstream().clone(), self.outbox.table().clone());
        let Self { database, settings, .. } = self;
        let meters = Meters::new(&table);
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("jetlane-relay".into()).spawn(move || {
            Worker::new(name, js, database, table, settings, meters, &of_thread).run();
            of_thread.end();
        })?;
        Ok(Relay { shared, thread: Mutex::new(Some(thread)) })
    }
}

impl fmt::Debug for RelayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBuilder")
            .field("outbox", &self.outbox)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
