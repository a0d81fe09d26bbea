//! The messages of a stream, read and deleted one by one, without a consumer.

mod batch;
mod get;
mod purge;
mod stored;

pub use batch::{BatchGet, BatchMessages};
pub use get::Get;
pub use purge::{Purge, Purged};
pub use stored::StoredMessage;
