//! Brings events from the outbox to their streams.

mod leases;
mod lines;
