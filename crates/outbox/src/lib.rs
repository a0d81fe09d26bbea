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
#![allow(dead_code, reason = "the relay is on its way")]

mod add;
mod bell;
mod entry;
mod error;
mod outbox;
mod partition;
mod relay;
mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod store;
mod table;

pub use add::{AddError, Insert, Transaction};
pub use entry::{Entry, EntryError};
pub use error::DatabaseError;
pub use outbox::Outbox;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use store::{Keep, PartitionBacklog, StoppedKey};
pub use table::{Table, TableError};
