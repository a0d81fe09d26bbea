use std::borrow::Borrow;
use std::sync::{Arc, Weak};

use jetlane::Envelope;
use jetlane::client::AsSubject;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::add::{Insert, Transaction};
use crate::bell::Bell;
use crate::entry::{Entry, EntryError, Unit};
use crate::table::Table;

/// Streams take no more events in one atomic batch.
const MOST_IN_A_UNIT: usize = 1000;

/// Where a service puts its events, in the transactions that it writes its state in. Cloning is cheap, and all clones are the same.
///
/// It holds no connection: transactions are the caller's.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    table: Table,
    division: Division,
    /// Of the relays in this process.
    relays: Arc<Mutex<Vec<Weak<Bell>>>>,
}

/// How keys are spread over relays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Division {
    /// By their partitions.
    #[default]
    Divided,
    /// Not at all.
    Undivided,
}

impl Outbox {
    /// An outbox in the table `jetlane_outbox`.
    pub fn new() -> Self {
        Self::default()
    }

    /// An outbox in a table of this name.
    pub fn in_table(table: Table) -> Self {
        Self { table, ..Self::default() }
    }

    /// The same, with all keys in one partition: one relay at a time publishes all of it, and [`Outbox::add_atomic`] takes events of
    /// different keys. To be chosen for good, by all who write to the table: a key whose rows are in two partitions has no order
    /// between them.
    #[must_use]
    pub fn undivided(mut self) -> Self {
        self.division = Division::Undivided;
        self
    }

    /// Its table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Puts an event into the outbox, as part of a transaction: one INSERT, and nothing else is sent to anybody. If the transaction is
    /// committed, the relay publishes it to `<topic>.<key>`, where the key is its aggregate id as one token of a subject
    /// ([`jetlane::key_token`]); handlers subscribe to `<topic>.*`.
    ///
    /// Events of one key are published in the order in which they were added. That is the order of their transactions if only one
    /// transaction at a time writes to an aggregate, as when it locks the aggregate's row or checks its version.
    ///
    /// What comes back is a `Result` for drivers that wait, and a future of one for those that do not.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use jetlane::Envelope;
    /// # use jetlane_outbox::{Outbox, Table, schema};
    /// # let mut connection = rusqlite::Connection::open_in_memory()?;
    /// # connection.execute_batch(&schema::sqlite(&Table::default()))?;
    /// # connection.execute_batch("CREATE TABLE orders (id TEXT, paid INTEGER)")?;
    /// let outbox = Outbox::new();
    /// let transaction = connection.transaction()?;
    /// transaction.execute("UPDATE orders SET paid = 1 WHERE id = ?1", ["order-42"])?;
    /// outbox.add(&transaction, "order.paid", Envelope::new("order-42", "OrderPaid", "{}"))?;
    /// transaction.commit()?;
    /// outbox.wake();
    /// # let count = "SELECT count(*) FROM jetlane_outbox WHERE subject = 'order.paid.order-42'";
    /// # assert_eq!(connection.query_row(count, [], |row| row.get::<_, i64>(0))?, 1);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`crate::AddError`]; the transaction should be rolled back then, or the state would be stored without its event.
    pub fn add<T: Transaction>(
        &self,
        transaction: T,
        topic: impl AsSubject,
        event: impl Borrow<Envelope>,
    ) -> T::Added {
        let entry = Entry::new(topic, event);
        self.insert(transaction, entry.map(|entry| vec![entry]))
    }

    /// As [`Outbox::add`], for many events with one INSERT, in this order.
    ///
    /// # Errors
    /// As [`Outbox::add`].
    pub fn add_all<T: Transaction, S: AsSubject, E: Borrow<Envelope>>(
        &self,
        transaction: T,
        events: impl IntoIterator<Item = (S, E)>,
    ) -> T::Added {
        self.insert(transaction, entries(events))
    }

    /// As [`Outbox::add_all`], for events that the stream is to store all or not at all, one right behind the other, so that whoever
    /// reads it sees all of them or none. At most 1000, all of them in one stream, which has to allow it
    /// ([`jetlane::Topic::atomic`], nats-server 2.12), and of one key unless the outbox is [undivided](Outbox::undivided).
    ///
    /// # Errors
    /// As [`Outbox::add`].
    pub fn add_atomic<T: Transaction, S: AsSubject, E: Borrow<Envelope>>(
        &self,
        transaction: T,
        events: impl IntoIterator<Item = (S, E)>,
    ) -> T::Added {
        let unit = entries(events).and_then(|entries| self.unit(entries));
        self.insert(transaction, unit)
    }

    /// Tells relays in this process that there is something to publish: to be called after a commit. Without it they look by themselves,
    /// by [`crate::RelayBuilder::poll`].
    pub fn wake(&self) {
        self.relays.lock().iter().filter_map(Weak::upgrade).for_each(|bell| bell.ring_to_look());
    }

    /// Rings this bell when it is woken.
    pub(crate) fn listen(&self, bell: &Arc<Bell>) {
        let mut relays = self.relays.lock();
        relays.retain(|bell| bell.strong_count() > 0);
        relays.push(Arc::downgrade(bell));
    }

    fn unit(&self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, EntryError> {
        let count = entries.len();
        let too_many = EntryError::TooMany { count, most: MOST_IN_A_UNIT };
        let size = i16::try_from(count).ok().filter(|_| count <= MOST_IN_A_UNIT).ok_or(too_many)?;
        let is_of_one = |pair: &[Entry]| pair[0].partition == pair[1].partition;
        if self.division == Division::Divided && !entries.windows(2).all(is_of_one) {
            return Err(EntryError::Scattered);
        }
        let unit = Unit { id: Uuid::now_v7(), size };
        entries.iter_mut().for_each(|entry| entry.unit = Some(unit));
        Ok(entries)
    }

    fn insert<T: Transaction>(
        &self,
        transaction: T,
        entries: Result<Vec<Entry>, EntryError>,
    ) -> T::Added {
        let insert = entries.map(|mut entries| {
            if self.division == Division::Undivided {
                entries.iter_mut().for_each(|entry| entry.partition = 0);
            }
            Insert { table: self.table.clone(), entries }
        });
        transaction.insert(insert.map_err(Into::into))
    }
}

fn entries<S: AsSubject, E: Borrow<Envelope>>(
    events: impl IntoIterator<Item = (S, E)>,
) -> Result<Vec<Entry>, EntryError> {
    events.into_iter().map(|(topic, event)| Entry::new(topic, event)).collect()
}
