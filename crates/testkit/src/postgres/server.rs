//! A PostgreSQL server that belongs to a test.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use super::find::{PostgresFindError, find_postgres};
use super::folder::{Folder, PORT};
use super::process::Process;
use super::run_as::RunAs;
use super::start_error::PostgresStartError;
use super::{answer, url};
use crate::guard::{Ending, Guard};
use crate::tools;

/// The user that `initdb` makes, who may do everything.
const USER: &str = "postgres";

/// The database that is there from the start.
const DATABASE: &str = "postgres";

const INITDB_LIMIT: Duration = Duration::from_secs(120);

/// A shutdown writes all that is in memory to the disk.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A PostgreSQL server with an empty database, in a temporary folder of its own, which it serves on
/// a Unix socket and not on the network.
///
/// Dropping it ends the server and removes the folder. Should this process die without dropping it,
/// a guard process does both.
///
/// ```no_run
/// # fn main() -> Result<(), jetlane_testkit::PostgresStartError> {
/// let mut postgres = jetlane_testkit::Postgres::start()?;
/// println!("PostgreSQL at {}", postgres.url());
/// postgres.kill();
/// postgres.restart()?; // the same URL, and all that was committed
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Postgres {
    // Fields drop in this order: the process must be gone before its folder goes, and the guard
    // watches until then.
    process: Option<Process>,
    folder: Folder,
    guard: Arc<Guard>,
    binaries: PathBuf,
    run_as: RunAs,
    settings: Vec<(String, OsString)>,
    pid: u32,
}

/// How a PostgreSQL server is to be started.
#[derive(Debug)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct PostgresBuilder {
    fsync: Fsync,
    settings: Vec<(String, OsString)>,
}

/// Whether the server makes sure that what is committed is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fsync {
    /// It does, as in production.
    On,
    /// It does not: faster, and as safe as long as only the server dies and not the machine.
    Off,
}

impl Postgres {
    /// Starts a server with the settings of `initdb`, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// See [`PostgresStartError`]; on an error nothing is left running.
    pub fn start() -> Result<Postgres, PostgresStartError> {
        Postgres::builder().start()
    }

    /// Starts from the defaults of [`Postgres::start`] and changes some of them.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder { fsync: Fsync::On, settings: Vec::new() }
    }

    /// The connection string for the database `postgres` as the superuser `postgres`, who needs no
    /// password: `postgres://postgres@%2Ftmp%2Fjetlane-pg-a1b2c3:5432/postgres`. It stays the same
    /// over all restarts.
    ///
    /// libpq, the crates `postgres` and `tokio-postgres`, and sqlx all understand it.
    #[must_use]
    pub fn url(&self) -> String {
        url::for_socket(self.folder.path(), PORT, USER, DATABASE)
    }

    /// The folder of the Unix socket, which libpq calls the host. The port that goes with it is
    /// 5432.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id of the server's first process, or of its last run when it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the server has logged so far, over all its runs.
    #[must_use]
    pub fn server_log(&self) -> String {
        self.folder.log().text()
    }

    /// Kills the server (`SIGKILL`), the processes of its connections as well, and returns when
    /// none of them does anything any more or holds on to anything. Its data is kept for a restart.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks the server to end (`SIGINT`, PostgreSQL's fast shutdown: transactions are rolled back
    /// and connections closed), and waits until it has, for 60 s at most. Its data is kept for a
    /// restart.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotConnected`] when it does not run, and [`ErrorKind::TimedOut`] when it still
    /// runs; a paused server does not end.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        let process = self.process.as_mut().ok_or(ErrorKind::NotConnected)?;
        let status = process.shut_down(STOP_LIMIT)?;
        self.process = None;
        Ok(status)
    }

    /// Starts the server again with the same data and the same settings; kills it first if it still
    /// runs. It accepts connections when this returns, and so has recovered what was committed.
    ///
    /// # Errors
    ///
    /// See [`PostgresStartError`]; on an error the server is down, and another restart may be tried.
    pub fn restart(&mut self) -> Result<(), PostgresStartError> {
        self.kill();
        let mark = self.server_log().len();
        let mut process = Process::spawn(self.command(), &self.folder, &self.guard)?;
        let socket = self.folder.socket();
        let serves = || answer::serves(&socket, USER, DATABASE);
        process.wait_until_ready(&self.folder, mark, serves)?;
        self.pid = process.id();
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server in its tracks (`SIGSTOP`), the processes of its connections as well:
    /// connections stay open and nothing is answered. It has stopped when this returns. Does
    /// nothing to a server that does not run.
    pub fn pause(&self) {
        if let Some(process) = &self.process {
            process.pause();
        }
    }

    /// Lets a paused server go on (`SIGCONT`).
    pub fn resume(&self) {
        if let Some(process) = &self.process {
            process.resume();
        }
    }

    fn initialise(&self) -> Result<(), PostgresStartError> {
        let mut initdb = self.run_as.command(&self.binaries.join("initdb"));
        // Whoever gets into the folder needs no password, and it is closed to others.
        initdb.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]);
        // Should the machine die, the folder is of no more use.
        initdb.arg("--no-sync").arg("--pgdata").arg(self.folder.data());
        tools::run(&mut initdb, INITDB_LIMIT).map_err(PostgresStartError::Initialise)?;
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = self.run_as.command(&self.binaries.join("postgres"));
        command.arg("-D").arg(self.folder.data());
        // Of equal settings the last counts, so none can move a server out of its folder, and its
        // log is where we read it.
        let port = PORT.to_string();
        let settled = [
            ("listen_addresses", OsString::new()),
            ("unix_socket_directories", quoted(self.folder.path().as_os_str())),
            ("port", port.into()),
            ("logging_collector", "off".into()),
        ];
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in given.chain(settled) {
            let mut setting = OsString::from(name);
            setting.push("=");
            setting.push(value);
            command.arg("-c").arg(setting);
        }
        command
    }
}

impl PostgresBuilder {
    /// Whether commits reach the disk; [`Fsync::On`] by default.
    pub fn fsync(mut self, fsync: Fsync) -> PostgresBuilder {
        self.fsync = fsync;
        self
    }

    /// Changes a setting, as in `postgresql.conf`: `setting("max_connections", "20")`. Of two
    /// values for the same name the later one counts.
    ///
    /// Where the server listens, and that it logs to its own log, is settled and stays as it is.
    pub fn setting(mut self, name: &str, value: &str) -> PostgresBuilder {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// Makes the data folder, starts the server, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// See [`PostgresStartError`]; on an error nothing is left running.
    pub fn start(self) -> Result<Postgres, PostgresStartError> {
        let binaries = find_postgres()?.folder;
        let run_as = RunAs::of_this_process().ok_or(PostgresFindError::NoUser)?;
        let folder = Folder::new(run_as)?;
        let guard = Guard::over(folder.path(), Ending::WithItsChildren)
            .map_err(PostgresStartError::system("run", Path::new("sh")))?;
        let fsync = match self.fsync {
            Fsync::On => "on",
            Fsync::Off => "off",
        };
        let mut settings = vec![
            ("fsync".to_owned(), fsync.into()),
            // Files in the folder, which go with it; other kinds outlive a server that is killed.
            ("dynamic_shared_memory_type".to_owned(), "mmap".into()),
        ];
        settings.extend(self.settings);
        let mut postgres = Postgres {
            process: None,
            folder,
            guard: Arc::new(guard),
            binaries,
            run_as,
            settings,
            pid: 0,
        };
        postgres.initialise()?;
        postgres.restart()?;
        Ok(postgres)
    }
}

/// One item of a list, whatever is in it.
fn quoted(item: &OsStr) -> OsString {
    let mut text = OsString::from("\"");
    text.push(item.to_string_lossy().replace('"', "\"\""));
    text.push("\"");
    text
}
