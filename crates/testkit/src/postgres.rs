//! PostgreSQL servers for tests and examples. No driver is needed here, and none is chosen for those
//! who use it.

mod answer;
mod cache;
mod family;
mod fetch;
mod find;
mod folder;
mod pid_file;
mod platforms;
mod process;
mod programs;
mod run_as;
mod server;
mod shared_memory;
mod start_error;
mod url;

pub use find::{PostgresBinaries, PostgresFindError, find_postgres};
pub use server::{Fsync, Postgres, PostgresBuilder};
pub use start_error::PostgresStartError;
