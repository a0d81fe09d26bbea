//! The outbox and the inbox: on real databases, with real nats-servers.

mod failures;
mod relay;
mod service;
