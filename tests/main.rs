//! Integration tests of jetlane: every one against a real nats-server of its own, on a port of its own.

#[path = "auth.rs"]
mod auth;
#[path = "bus.rs"]
mod bus;
#[path = "connecting.rs"]
mod connecting;
#[path = "consume.rs"]
mod consume;
#[path = "core.rs"]
mod core_nats;
#[path = "executors.rs"]
mod executors;
#[path = "faults.rs"]
mod faults;
#[path = "features.rs"]
mod features;
#[path = "gaps.rs"]
mod gaps;
#[path = "inline.rs"]
mod inline;
#[path = "jetstream.rs"]
mod jetstream;
#[path = "local.rs"]
mod local;
#[path = "messaging.rs"]
mod messaging;
#[path = "moving.rs"]
mod moving;
#[path = "permissions.rs"]
mod permissions;
#[path = "tls.rs"]
mod tls;
#[path = "tracing.rs"]
mod traces;
