//! Outbox and inbox for jetlane: an event is stored in its stream if and only if the database transaction that it belongs to
//! is committed, once, and in order.
//!
//! A service writes its state and its events in one transaction ([`Outbox::add`]). A [`Relay`] brings the events to JetStream,
//! those of one key in the order in which they were added, and takes them out of the table once they are stored. A handler with an
//! [`Inbox`] records what it has done in the transaction of its effect, so that an event which is delivered twice has one effect.
//!
//! Drivers are features, none of them on by default: `sqlite` (crate `rusqlite`) and `postgres` (crate `postgres`) have write side,
//! relay and inbox; `tokio-postgres`, `sqlx-postgres` and `sqlx-sqlite` have the write side for services that use those.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(dead_code, reason = "what relays need is there for the databases that have one")
)]

mod add;
mod bell;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod database;
mod entry;
mod error;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod inbox;
#[cfg(feature = "metrics")]
pub mod metrics;
mod outbox;
mod partition;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod relay;
pub mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod store;
mod table;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod upkeep;

pub use add::{AddError, Insert, Transaction};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use database::Database;
pub use entry::{Entry, EntryError};
pub use error::DatabaseError;
#[cfg(feature = "sqlite")]
pub use inbox::Sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use inbox::{Driver, Inbox, InboxCounts, Seen};
#[cfg(feature = "postgres")]
pub use inbox::{Postgres, PostgresConnection};
pub use outbox::Outbox;
pub use partition::{PARTITIONS, partition};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use relay::{Busy, Relay, RelayBuilder, RelayStatus, StopError, Trouble};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use store::{Keep, PartitionBacklog, RelayView, StoppedKey};
pub use table::{Table, TableError};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use upkeep::Upkeep;
