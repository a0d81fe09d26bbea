//! Benchmarks of jetlane: what its pieces cost, and how it does beside its peers and beside a bare socket.
//!
//! Every client does the same work in a process of its own, on a real nats-server, and checks that nothing is missing.
#![forbid(unsafe_code)]

pub mod async_nats_client;
pub mod client;
pub mod compare;
pub mod icount;
pub mod outbox;
pub mod overhead;
pub mod pieces;
pub mod raw;
mod stage;
