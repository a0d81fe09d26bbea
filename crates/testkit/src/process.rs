//! One run of a server: from the spawn until it greets clients, and to its end.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::find::FindError;
use crate::folder::Folder;
use crate::guard::{self, Ending, Guard};
#[cfg(unix)]
use crate::signals::{self, Signal};
use crate::{tools, wait};

const READY_LIMIT: Duration = Duration::from_secs(10);
const GREETING_LIMIT: Duration = Duration::from_secs(1);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no server binary.
    #[error(transparent)]
    Find(#[from] FindError),
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
    /// The server ended by itself: mostly the given config is at fault, and the log says where.
    #[error("nats-server ended with {status} before it was ready; its log ends with:\n{log}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs but does not greet clients: the machine is overloaded, or the log says more.
    #[error("nats-server was not ready after {limit_s} s; its log ends with:\n{log}")]
    NotReady {
        /// The time limit, in seconds.
        limit_s: u64,
        /// The last lines of its log.
        log: String,
    },
    /// The caller asked for a cluster that cannot elect a leader.
    #[error("a cluster has two nodes or more, not {size}")]
    ClusterSize {
        /// The number of nodes that was asked for.
        size: usize,
    },
    /// The nodes run but do not agree on a meta leader.
    #[error(
        "the cluster had no leader after {limit_s} s; the log of its first node ends with:\n{log}"
    )]
    NoLeader {
        /// The time limit, in seconds.
        limit_s: u64,
        /// The last lines of the first node's log.
        log: String,
    },
}

impl StartError {
    /// For `map_err`: an error of the system while doing `action` to `path`.
    pub(crate) fn system(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> StartError + use<> {
        let path = path.to_owned();
        move |reason| StartError::System { action, path, reason }
    }
}

/// A server process and its guard. Dropping it kills the process and reaps it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guard: Option<Guard>,
}

impl Process {
    /// Starts the server in `folder` and waits until it greets clients; returns its port too.
    pub(crate) fn start(
        binary: &Path,
        folder: &Folder,
        options: &[OsString],
    ) -> Result<(Process, u16), StartError> {
        folder.clear_ports().map_err(StartError::system("clear", &folder.ports()))?;
        let mark = folder.log().text().len();
        let mut process = Process::spawn(binary, folder, options)?;
        let port = process.wait_until_ready(folder, mark)?;
        Ok((process, port))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the server ended by itself, or `None` when it has not within `limit`.
    pub(crate) fn wait_until_ended(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        wait::until(limit, || self.child.try_wait().transpose()).transpose()
    }

    fn spawn(binary: &Path, folder: &Folder, options: &[OsString]) -> Result<Process, StartError> {
        let log = folder.log();
        let log = log.open().map_err(StartError::system("open", log.path()))?;
        let mut command = Command::new(binary);
        command.args(options).stdin(Stdio::null()).stdout(Stdio::null());
        // Complaints about the config and panics of the server go to stderr and not to its log.
        command.stderr(log);
        guard::out_of_the_terminals_reach(&mut command);
        let child = command.spawn().map_err(StartError::system("run", binary))?;
        let mut process = Process { child, guard: None };
        let guard = Guard::over(folder.path(), Ending::AtOnce)
            .and_then(|guard| guard.take_on(process.id()).map(|()| guard))
            .map_err(StartError::system("run", Path::new("sh")))?;
        process.guard = Some(guard);
        Ok(process)
    }

    fn wait_until_ready(&mut self, folder: &Folder, mark: usize) -> Result<u16, StartError> {
        let log = || tools::tail(&folder.log().since(mark));
        let ended = wait::until(READY_LIMIT, || match self.child.try_wait() {
            Ok(None) => folder.port("nats").filter(|port| greets(*port, folder, mark)).map(Ok),
            Ok(Some(status)) => Some(Err(StartError::Exited { status, log: log() })),
            Err(reason) => Some(Err(StartError::system("wait for", folder.path())(reason))),
        });
        let timeout = || StartError::NotReady { limit_s: READY_LIMIT.as_secs(), log: log() };
        ended.unwrap_or_else(|| Err(timeout()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard goes first: once we have reaped the server, its pid may belong to somebody
        // else.
        self.guard = None;
        // A server that has ended already needs no killing, so errors mean nothing here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a client that connects is served.
fn greets(port: u16, folder: &Folder, mark: usize) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, GREETING_LIMIT) else { return false };
    // We say nothing, and say so: a server that wants the TLS handshake first gives up at once.
    let mut greeting = [0; 5];
    let read = stream
        .shutdown(Shutdown::Write)
        .and_then(|()| stream.set_read_timeout(Some(GREETING_LIMIT)))
        .and_then(|()| stream.read_exact(&mut greeting));
    match read {
        Ok(()) => greeting == *b"INFO ",
        // It greets nobody in plain text; its log is all we have then.
        Err(_) => folder.log().since(mark).contains("Server is ready"),
    }
}

#[cfg(unix)]
impl Process {
    /// Returns when the server has stopped indeed (or has ended), not only when the signal is sent.
    pub(crate) fn pause(&self) {
        signals::stop(&self.child);
    }

    pub(crate) fn resume(&self) {
        signals::send(&self.child, Signal::CONT);
    }

    pub(crate) fn hang_up(&self) {
        signals::send(&self.child, Signal::HUP);
    }

    pub(crate) fn enter_lame_duck_mode(&self) {
        signals::send(&self.child, Signal::USR2);
    }

    pub(crate) fn terminate(&self) {
        signals::send(&self.child, Signal::TERM);
    }
}
