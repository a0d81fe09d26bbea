//! The outbox and the inbox: on real databases, with real nats-servers.

mod conformance;
mod failures;
mod histories;
#[cfg(target_os = "linux")]
mod idle;
mod inbox;
mod looking;
mod order;
mod relay;
mod seeing;
mod servers;
mod service;
