//! What handlers have done, recorded in the transaction of what they did.

mod count;
mod driver;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(test)]
mod seen_tests;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jetlane::{Envelope, IntoVerdict, RawEvent, Verdict};

use crate::error::DatabaseError;
use crate::table::Table;

use count::Count;
use driver::{Claim, Ended};
pub use driver::{Driver, Seen};
use pool::Pool;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresConnection};
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

/// So many ids are deleted in one transaction.
const CHUNK: u32 = 1000;

/// Makes handlers whose effect is in a database handle each event once in effect: the handler writes in a transaction in which the inbox has
/// recorded the event, and an event that was recorded already is not handed to it. Whatever fails between the commit and the ack, the event that
/// comes again is recognised. Cloning is cheap, and all clones are the same.
///
/// What a handler does outside of its transaction may be done again.
///
/// ```
/// # use jetlane::{Envelope, EventBus, Strategy};
/// # use jetlane_outbox::{Inbox, schema, Table};
/// # let server = jetlane_testkit::Server::start()?;
/// # let bus = EventBus::connect(&server.url())?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("billing.db");
/// # let database = rusqlite::Connection::open(&path)?;
/// # database.execute_batch(&schema::inbox_sqlite(&Table::inbox()))?;
/// # database.execute_batch("CREATE TABLE bills (aggregate TEXT)")?;
/// # bus.topic("order.>").ensure(Strategy::CreateOnly)?;
/// let inbox = Inbox::sqlite("billing", move || rusqlite::Connection::open(&path));
/// let handler = inbox.handler(|event: &Envelope, transaction: &mut rusqlite::Transaction<'_>| {
///     transaction.execute("INSERT INTO bills VALUES (?1)", [event.aggregate_id()]).map(drop)
/// });
/// bus.subscribe("billing").on_raw("order.created.*", handler).start()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Inbox<D: Driver> {
    subscription: String,
    table: Table,
    seen: Seen,
    shared: Arc<Shared<D>>,
}

/// What all clones have in common.
struct Shared<D: Driver> {
    pool: Pool<D>,
    handled: Count,
    repeated: Count,
}

/// What an inbox has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxCounts {
    /// Events whose handler has committed.
    pub handled: u64,
    /// Events that were handled before, and so were not again.
    pub repeated: u64,
}

impl<D: Driver> Inbox<D> {
    pub(crate) fn new(subscription: &str, driver: D) -> Self {
        let [handled, repeated] =
            ["handled", "repeated"].map(|outcome| Count::new(subscription, outcome));
        let shared = Shared { pool: Pool::new(driver), handled, repeated };
        Self {
            subscription: subscription.to_owned(),
            table: Table::inbox(),
            seen: Seen::default(),
            shared: Arc::new(shared),
        }
    }

    /// The same in tables of this name, instead of `jetlane_inbox`.
    #[must_use]
    pub fn in_table(self, table: Table) -> Self {
        Self { table, ..self }
    }

    /// How events are recognised. Default [`Seen::ById`].
    #[must_use]
    pub fn seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    /// A handler for [`jetlane::Subscribe::on_raw`], of events of any type. `handle` gets the event, and the transaction that is
    /// committed if it says that the event is done, and rolled back if not. It is not called for an event that was handled before.
    pub fn handler<F, R>(
        &self,
        handle: F,
    ) -> impl Fn(&RawEvent<'_>) -> Verdict + Send + Sync + 'static + use<D, F, R>
    where
        F: for<'t> Fn(&Envelope, &mut D::Transaction<'t>) -> R + Send + Sync + 'static,
        R: IntoVerdict,
    {
        let inbox = self.clone();
        move |raw| {
            inbox.handle(std::slice::from_ref(raw), |events, transaction| {
                handle(&events[0], transaction).into_verdict()
            })
        }
    }

    /// As [`Inbox::handler`], for [`jetlane::Subscribe::on_raw_batch`]: several events of one key share a transaction, and so its commit. `handle`
    /// gets those that were not handled before, in order.
    pub fn batch_handler<F, R>(
        &self,
        handle: F,
    ) -> impl Fn(&[RawEvent<'_>]) -> Verdict + Send + Sync + 'static + use<D, F, R>
    where
        F: for<'t> Fn(&[Envelope], &mut D::Transaction<'t>) -> R + Send + Sync + 'static,
        R: IntoVerdict,
    {
        let inbox = self.clone();
        move |raw| {
            inbox.handle(raw, |events, transaction| handle(events, transaction).into_verdict())
        }
    }

    /// What it has seen since it was made.
    pub fn counts(&self) -> InboxCounts {
        let Shared { handled, repeated, .. } = &*self.shared;
        InboxCounts { handled: handled.get(), repeated: repeated.get() }
    }

    /// Forgets the ids of events that were handled longer ago than that ([`Seen::ById`]), a thousand at a time; how many they were. An event that
    /// comes again later than that is handled again: it has to be longer than events can be on their way, redriven dead letters included.
    ///
    /// # Errors
    /// [`DatabaseError`]; what was deleted before stays so.
    pub fn prune(&self, older_than: Duration) -> Result<u64, DatabaseError> {
        let Self { subscription, table, shared, .. } = self;
        let mut pruned = 0;
        loop {
            let prune = |connection: &mut _, driver: &D| {
                driver.prune(connection, table, subscription, older_than, CHUNK)
            };
            let chunk = shared.pool.with(prune)?;
            pruned += chunk;
            if chunk < u64::from(CHUNK) {
                return Ok(pruned);
            }
        }
    }

    /// Handles events in one transaction.
    fn handle(
        &self,
        raw: &[RawEvent<'_>],
        handle: impl Fn(&[Envelope], &mut D::Transaction<'_>) -> Verdict,
    ) -> Verdict {
        let read: Result<Vec<_>, _> = raw.iter().map(RawEvent::read).collect();
        let events = match read {
            Ok(events) => events,
            Err(error) => return Verdict::Reject { reason: error.to_string() },
        };
        let ended = {
            let claims: Vec<_> =
                raw.iter().zip(&events).map(|(raw, event)| self.claim(raw, event)).collect();
            let mut handle = |transaction: &mut D::Transaction<'_>, new: &[usize]| match new.len() {
                all if all == events.len() => handle(&events, transaction),
                _ => {
                    let new: Vec<_> = new.iter().map(|&at| events[at].clone()).collect();
                    handle(&new, transaction)
                }
            };
            self.shared.pool.with(|connection, driver| {
                driver.run(connection, &self.table, &claims, &mut handle)
            })
        };
        self.conclude(ended, events.len())
    }

    fn conclude(&self, ended: Result<Ended, DatabaseError>, all: usize) -> Verdict {
        let new = match ended {
            Ok(Ended::Committed { new }) => new,
            Ok(Ended::Repeated) => 0,
            Ok(Ended::RolledBack(verdict)) => return verdict,
            Err(error) => return Verdict::Retry { after: None, reason: error.to_string() },
        };
        self.shared.handled.add(new as u64);
        self.shared.repeated.add((all - new) as u64);
        Verdict::Done
    }

    fn claim<'a>(&'a self, raw: &RawEvent<'_>, event: &'a Envelope) -> Claim<'a> {
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let stored_at = raw.stored_at().and_then(since).map_or(0, |since| since.as_nanos());
        let stored_at = i64::try_from(stored_at).unwrap_or(i64::MAX);
        let sequence = raw.sequence().cast_signed();
        let event_id = event.event_id().map_or_else(
            // Only an event of others is without one.
            || format!("{sequence}@{stored_at}").into(),
            Into::into,
        );
        let (subscription, key, seen) = (&*self.subscription, event.aggregate_id(), self.seen);
        Claim { subscription, seen, key, sequence, stored_at, event_id }
    }
}

impl<D: Driver> Clone for Inbox<D> {
    fn clone(&self) -> Self {
        Self {
            subscription: self.subscription.clone(),
            table: self.table.clone(),
            seen: self.seen,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<D: Driver> fmt::Debug for Inbox<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("subscription", &self.subscription)
            .field("seen", &self.seen)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
