//! Integration tests of jetlane: every one against a real nats-server of its own, on a port of its own.

#[path = "bus.rs"]
mod bus;
#[path = "consume.rs"]
mod consume;
#[path = "core.rs"]
mod core_nats;
#[path = "cuts.rs"]
mod cuts;
#[path = "endings.rs"]
mod endings;
#[path = "faults.rs"]
mod faults;
#[path = "gaps.rs"]
mod gaps;
#[path = "hostile.rs"]
mod hostile;
#[path = "injection.rs"]
mod injection;
#[path = "inline.rs"]
mod inline;
#[path = "jetstream.rs"]
mod jetstream;
#[path = "local.rs"]
mod local;
#[path = "peers.rs"]
mod peers;
