//! The outbox and the inbox: on real databases, with real nats-servers.

mod failures;
mod histories;
mod looking;
mod relay;
mod seeing;
mod service;
