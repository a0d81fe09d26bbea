//! Letters: events that a subscription could not handle, on their way out of it with their history, and back again.

pub(crate) mod header;
pub(crate) mod redrive;
pub(crate) mod token;
