//! The lock-free pieces of jetlane. This crate knows nothing of NATS.
//!
//! - [`PendingRing`] holds everything that waits for an answer: a slot is claimed before a question is sent, its
//!   [`Token`] travels with the question, and the answer finds its slot by index: no map, no string, no allocation.
//!   The [`Ticket`] is the asker's end: a `Future` that can also be waited for on a plain thread.
//! - [`WakeGate`] lets producers wake a sleeping event loop with one system call, and an awake one with none.
//! - [`wait`] and [`wait_timeout`] run any future on the calling thread.
//!
//! It is the only crate of jetlane with `unsafe`: the slots of the ring. Every block says why it holds, and
//! `src/models.rs` checks the protocol with loom, including that loom fails when any one ordering is weakened.
//!
//! ```
//! use jetlane_ring::{PendingRing, RingConfig};
//!
//! let ring = PendingRing::<u32>::new(RingConfig { capacity: 64, window: 8 });
//! let mut completer = ring.completer();
//!
//! let claim = ring.claim(100).expect("the window is open");
//! let token = claim.token();
//! let ticket = claim.into_ticket();
//!
//! completer.complete(token, 42).expect("nobody was faster");
//! completer.flush();
//! assert_eq!(ticket.wait(), 42);
//! ```
#![deny(clippy::undocumented_unsafe_blocks)]

mod completer;
mod free_list;
mod gate;
mod order;
mod pending;
mod room;
mod slot;
mod sync;
mod ticket;
mod wait;

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests;

pub use completer::Completer;
pub use gate::WakeGate;
pub use pending::{Claim, Full, PendingRing, RingConfig, Token};
pub use ticket::Ticket;
pub use wait::{wait, wait_timeout};
