//! Integration tests of jetlane: every one against a real nats-server of its own, on a port of its own.

#[path = "atomic.rs"]
mod atomic;
#[path = "auth.rs"]
mod auth;
#[path = "batches.rs"]
mod batches;
#[path = "before.rs"]
mod before;
#[path = "blocked.rs"]
mod blocked;
#[path = "breaker.rs"]
mod breaker;
#[path = "bus.rs"]
mod bus;
#[path = "config.rs"]
mod config;
#[path = "conformance.rs"]
mod conformance;
#[path = "connecting.rs"]
mod connecting;
#[path = "consume.rs"]
mod consume;
#[path = "core.rs"]
mod core_nats;
#[path = "cuts.rs"]
mod cuts;
#[path = "dead_letters.rs"]
mod dead_letters;
#[path = "delivery.rs"]
mod delivery;
#[path = "differential.rs"]
mod differential;
#[path = "endings.rs"]
mod endings;
#[path = "executors.rs"]
mod executors;
#[path = "faults.rs"]
mod faults;
#[path = "features.rs"]
mod features;
#[path = "forgotten.rs"]
mod forgotten;
#[path = "gaps.rs"]
mod gaps;
#[path = "hostile.rs"]
mod hostile;
#[path = "in_memory.rs"]
mod in_memory;
#[path = "injection.rs"]
mod injection;
#[path = "inline.rs"]
mod inline;
#[path = "jetstream.rs"]
mod jetstream;
#[path = "jetstream_api.rs"]
mod jetstream_api;
#[path = "jetstream_events.rs"]
mod jetstream_events;
#[path = "listen.rs"]
mod listen;
#[path = "local.rs"]
mod local;
#[path = "messaging.rs"]
mod messaging;
#[path = "moving.rs"]
mod moving;
#[path = "order.rs"]
mod order;
#[path = "parking.rs"]
mod parking;
#[path = "payload.rs"]
mod payload;
#[path = "peers.rs"]
mod peers;
#[path = "permissions.rs"]
mod permissions;
#[path = "publisher.rs"]
mod publisher;
#[path = "redrive.rs"]
mod redrive;
#[path = "retention.rs"]
mod retention;
#[path = "rolling.rs"]
mod rolling;
#[cfg(target_os = "linux")]
#[path = "secrets.rs"]
mod secrets;
#[path = "seeing.rs"]
mod seeing;
#[cfg(target_os = "linux")]
#[path = "signals.rs"]
mod signals;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "syscalls.rs"]
mod syscalls;
#[path = "tls.rs"]
mod tls;
#[path = "tracing.rs"]
mod traces;
