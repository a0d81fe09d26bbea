//! Why a PostgreSQL server does not run.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::find::PostgresFindError;
use crate::tools::CommandError;

/// Why a PostgreSQL server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresStartError {
    /// There are no programs to run.
    #[error(transparent)]
    Find(#[from] PostgresFindError),
    /// No folder for temporary files will do: its path is too long for a socket, or the user that
    /// runs the server in root's stead cannot reach it.
    #[error(
        "none of {tried:?} can hold the folder of a server, as its path is too long for a socket \
         or closed to the user who runs the server; name another one in TMPDIR"
    )]
    NoTemporaryFolder {
        /// The folders that were looked at.
        tried: Vec<PathBuf>,
    },
    /// The operating system refused something that the server needs.
    #[error("cannot {action} {}: {reason}", path.display())]
    System {
        /// What was attempted.
        action: &'static str,
        /// The file or program it was attempted on.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// `initdb` failed: mostly the machine is at fault, and its output says how.
    #[error("no data folder could be made: {0}")]
    Initialise(#[source] CommandError),
    /// The server ended by itself: mostly a given setting is at fault, and the log says which.
    #[error("postgres ended with {status} before it was ready; its log ends with:\n{log}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs but accepts no connections: the machine is overloaded, or the log says more.
    #[error("postgres was not ready after {limit_s} s; its log ends with:\n{log}")]
    NotReady {
        /// The time limit, in seconds.
        limit_s: u64,
        /// The last lines of its log.
        log: String,
    },
}

impl PostgresStartError {
    /// For `map_err`: an error of the system while doing `action` to `path`.
    pub(crate) fn system(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> PostgresStartError + use<> {
        let path = path.to_owned();
        move |reason| PostgresStartError::System { action, path, reason }
    }
}
