use std::borrow::Cow;
use std::time::Duration;

use jetlane::Verdict;

use crate::error::DatabaseError;
use crate::table::Table;

/// How an inbox recognises events that it has handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// By their ids: a row an event, to be [pruned](crate::Inbox::prune) by age. Right in any order.
    #[default]
    ById,
    /// By how far each key has come: a row a key, which holds the place in the stream of the last event that was handled, and its id. Right only where
    /// the events of a key are handled in order, by one process at a time: one that came behind a later one would count as handled.
    ByKey,
}

/// A database driver of an inbox. Implemented by this crate only.
pub trait Driver: sealed::Sealed + Sized + Send + Sync + 'static {
    /// A connection. Handlers that run at once have one each.
    type Connection: Send;
    /// What handlers get.
    type Transaction<'a>;

    #[doc(hidden)]
    fn connect(&self) -> Result<Self::Connection, DatabaseError>;

    #[doc(hidden)]
    fn run(
        &self,
        connection: &mut Self::Connection,
        table: &Table,
        claims: &[Claim<'_>],
        handle: &mut Handle<'_, Self>,
    ) -> Result<Ended, DatabaseError>;

    #[doc(hidden)]
    fn prune(
        &self,
        connection: &mut Self::Connection,
        table: &Table,
        subscription: &str,
        older_than: Duration,
        most: u32,
    ) -> Result<u64, DatabaseError>;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// What is done in a transaction; of which of the events, as some may have been recorded before.
pub(crate) type Handle<'a, D> =
    dyn FnMut(&mut <D as Driver>::Transaction<'_>, &[usize]) -> Verdict + 'a;

/// What is to be recorded of an event.
#[doc(hidden)]
#[derive(Debug)]
pub struct Claim<'a> {
    pub(crate) subscription: &'a str,
    pub(crate) seen: Seen,
    pub(crate) key: &'a str,
    pub(crate) sequence: i64,
    /// In nanoseconds since 1970, by the clock of the server: a stream that was made anew begins at sequence 1 again, but later.
    pub(crate) stored_at: i64,
    pub(crate) event_id: Cow<'a, str>,
}

/// How a transaction ended.
#[doc(hidden)]
#[derive(Debug)]
pub enum Ended {
    Committed {
        /// How many events are new.
        new: usize,
    },
    /// All of it was recorded before: nothing was done.
    Repeated,
    /// By the handler's word.
    RolledBack(Verdict),
}
