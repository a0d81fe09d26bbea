//! Integration tests of jetlane: every one against a real nats-server of its own, on a port of its own.

#[path = "bus.rs"]
mod bus;
#[path = "core.rs"]
mod core_nats;
#[path = "jetstream.rs"]
mod jetstream;
#[path = "faults.rs"]
mod faults;
