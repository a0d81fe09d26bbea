//! A JetStream server in the process: for unit tests of programs that use NATS, where no nats-server is installed.
//!
//! It speaks the NATS protocol on a port of the loopback interface, so that whatever talks to a nats-server talks to it
//! unchanged. All it stores is in memory, and gone when it is dropped.
//!
//! ```
//! use std::io::{BufRead, BufReader};
//! use std::net::TcpStream;
//!
//! let server = jetlane_memory::MemoryServer::start()?;
//! let mut lines = BufReader::new(TcpStream::connect(server.address())?).lines();
//! assert!(lines.next().unwrap()?.starts_with("INFO {"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it does, and what not
//!
//! Core NATS: subscriptions with wildcards and queue groups, headers, requests, no responders. JetStream: streams with
//! their limits, all retentions, duplicates, expectations and rollups; pull consumers with everything that their acks
//! and pull requests can say; advisories about consumers.
//!
//! It answers as nats-server 2.15.1 does, down to error numbers and status texts. What it lacks it says: the API answers with an
//! error "not supported by the server in memory: …". That is: push consumers, mirrors and sources, republishing and
//! transforms of subjects, counters, schedules, atomic batches, priority groups, snapshots, and more than one replica. There is no
//! authentication, no TLS and no cluster. It is made to be clear rather than fast.
#![forbid(unsafe_code)]

mod client_op;
mod clock;
mod connection;
mod content;
mod hub;
mod jetstream;
mod outgoing;
mod routes;
mod server;
mod subjects;
mod timer;

pub use server::MemoryServer;
