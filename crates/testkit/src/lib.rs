#![forbid(unsafe_code)]
//! Real nats-servers on loopback, for tests and for `jetlane demo`.
//!
//! ```no_run
//! # fn main() -> Result<(), jetlane_testkit::StartError> {
//! let mut server = jetlane_testkit::Server::start()?;
//! println!("JetStream at {}", server.url());
//! server.kill();
//! server.restart()?; // the same port, the same streams
//! # Ok(())
//! # }
//! ```
//!
//! Every server gets a port from the kernel and a temporary folder of its own, so any number of
//! tests may run at once. It is gone when its [`Server`] is dropped, and also when the process that
//! started it dies without unwinding.
//!
//! For what a server on loopback never does by itself there are, on Unix, a `Proxy` that spoils
//! what goes through it, a `Scripted` server that says anything, and a raw `Publisher`. The feature
//! `tls` makes certificates, and `auth` makes operators, users and their keys.
//! On Linux the feature `faults` runs a `Program` that gets signals, whose system calls fail, and whose memory is searched.
//!
//! An [`Example`] is an example program of the package under test, run as users run it.
//!
//! [`find_server`] decides which binary runs: `NATS_SERVER`, `PATH`, the cache, and at last a
//! checked download.
//!
//! On Unix the feature `postgres` has the like for PostgreSQL: a `Postgres` with a temporary folder
//! and a Unix socket of its own, killed and restarted at will, also when root runs the tests. No
//! driver comes with it: `Postgres::url` is for any. `find_postgres` looks at `POSTGRES_BIN`,
//! `PATH`, the folders where Debian installs, the cache, and at last it fetches.

mod archive;
#[cfg(feature = "auth")]
mod auth;
mod cache;
mod cluster;
mod example;
#[cfg(all(feature = "faults", target_os = "linux"))]
mod faults;
mod fetch;
mod find;
mod folder;
mod guard;
mod log_file;
mod monitor;
mod pins;
mod port;
#[cfg(all(feature = "postgres", unix))]
mod postgres;
mod process;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
mod raw;
#[cfg(unix)]
mod scripted;
mod server;
mod sha;
#[cfg(unix)]
mod signals;
#[cfg(feature = "tls")]
mod tls;
mod tools;
mod wait;
mod wheel;

#[cfg(feature = "auth")]
pub use auth::{JwtUser, Nkey, Operator};
pub use cluster::{Cluster, ClusterBuilder};
pub use example::{Example, ExampleError, RunningExample};
#[cfg(all(feature = "faults", target_os = "linux", target_arch = "x86_64"))]
pub use faults::{Call, Errno, Fault, Trace};
#[cfg(all(feature = "faults", target_os = "linux"))]
pub use faults::{Ended, Program, occurrences};
pub use fetch::FetchError;
pub use find::{FindError, ServerBinary, Source, Unusable, find_server};
#[cfg(all(feature = "postgres", unix))]
pub use postgres::{
    Fsync, Postgres, PostgresBinaries, PostgresBuilder, PostgresFindError, PostgresStartError,
    find_postgres,
};
pub use process::StartError;
#[cfg(unix)]
pub use proxy::{Direction, End, Proxy};
#[cfg(unix)]
pub use raw::{Publisher, RawSocket};
#[cfg(unix)]
pub use scripted::Scripted;
pub use server::{ReloadError, Server, ServerBuilder};
#[cfg(unix)]
pub use signals::{pause, resume};
#[cfg(feature = "tls")]
pub use tls::{Certificates, Flaw, Identity};
pub use tools::CommandError;
