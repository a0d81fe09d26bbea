//! One run of a server: from the spawn until it accepts connections, and to its end.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::family;
use super::folder::Folder;
use super::start_error::PostgresStartError;
use crate::guard::{self, Guard};
use crate::signals::{self, Signal};
use crate::{tools, wait};

/// Starting includes the recovery after a kill.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A server that ends at once allows its children five seconds.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

/// How long the kernel may take to stop or to end processes.
const SIGNAL_LIMIT: Duration = Duration::from_secs(10);

/// The processes of a server. Dropping it ends them all.
#[derive(Debug)]
pub(crate) struct Process {
    /// The first process, of which the others are children.
    child: Child,
    guard: Arc<Guard>,
    /// The log, which the server's processes hold locked: all of them inherit it, and the system
    /// frees it when the last one has ended.
    log: File,
}

impl Process {
    /// Spawns the server, which may not be ready yet.
    pub(crate) fn spawn(
        mut command: Command,
        folder: &Folder,
        guard: &Arc<Guard>,
    ) -> Result<Process, PostgresStartError> {
        let log = folder.log();
        let open = || log.open().map_err(PostgresStartError::system("open", log.path()));
        let (theirs, ours) = (open()?, open()?);
        // No process of an earlier run has it: none is left. A program that such a process ran may,
        // and then a kill waits longer than it needs to, which is no reason not to start.
        let _ = wait::until(SIGNAL_LIMIT, || theirs.try_lock().ok());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(theirs);
        guard::out_of_the_terminals_reach(&mut command);
        let program = Path::new(command.get_program()).to_owned();
        let child = command.spawn().map_err(PostgresStartError::system("run", &program))?;
        let process = Process { child, guard: Arc::clone(guard), log: ours };
        guard
            .take_on(process.id())
            .map_err(PostgresStartError::system("tell the guard of", folder.path()))?;
        Ok(process)
    }

    /// Waits until the server accepts connections, as `serves` finds out, or says why it does not.
    pub(crate) fn wait_until_ready(
        &mut self,
        folder: &Folder,
        mark: usize,
        serves: impl Fn() -> bool,
    ) -> Result<(), PostgresStartError> {
        // Before that connecting is in vain, and the server would log each time that it was.
        let says_so = || folder.pid_file().is_some_and(|file| file.accepts_connections);
        let log = || tools::tail(&folder.log().since(mark));
        let ready = wait::until(READY_LIMIT, || match self.child.try_wait() {
            Ok(None) => (says_so() && serves()).then_some(Ok(())),
            Ok(Some(status)) => Some(Err(PostgresStartError::Exited { status, log: log() })),
            Err(reason) => Some(Err(PostgresStartError::system("wait for", folder.path())(reason))),
        });
        let limit_s = READY_LIMIT.as_secs();
        ready.unwrap_or_else(|| Err(PostgresStartError::NotReady { limit_s, log: log() }))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to end its connections and then itself, and waits until it has.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] when it has not within `limit`.
    pub(crate) fn shut_down(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        signals::send(&self.child, Signal::INT);
        self.wait_until_ended(limit)
    }

    /// Kills all processes of the server, and returns when the last one has let go of its files. Its
    /// memory it has let go of before that.
    pub(crate) fn kill(&mut self) {
        if !self.has_ended() {
            // Stopped, it has no more children than now and reaps none.
            signals::stop(&self.child);
            for member in family::children_of(self.id()) {
                member.send(Signal::KILL);
            }
            signals::send(&self.child, Signal::KILL);
            self.guard.let_go();
            // There is nobody to wait for if it fails.
            let _ = self.child.wait();
        }
        // While one of them lives, no other server starts with this data.
        let _ = wait::until(SIGNAL_LIMIT, || self.log.try_lock().ok());
        // A process that we fork meanwhile holds the file for a moment, and must not hold the lock.
        let _ = self.log.unlock();
    }

    /// Stops all processes of the server. They have stopped when this returns.
    pub(crate) fn pause(&self) {
        signals::stop(&self.child);
        for member in family::children_of(self.id()) {
            member.send(Signal::STOP);
        }
        let stand_still = || family::children_of(self.id()).iter().all(|member| member.is_still());
        // Those that do not stop in time are no worse than a server that is paused a bit later.
        let _ = wait::until(SIGNAL_LIMIT, || stand_still().then_some(()));
    }

    /// Lets the processes of a paused server go on.
    pub(crate) fn resume(&self) {
        // It may run, and must reap none of its children before they have their signals.
        signals::stop(&self.child);
        for member in family::children_of(self.id()) {
            member.send(Signal::CONT);
        }
        signals::send(&self.child, Signal::CONT);
    }

    fn wait_until_ended(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let status = wait::until(limit, || self.child.try_wait().transpose())
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        self.guard.let_go();
        Ok(status)
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    /// By a signal of its own a server ends as fast as by `SIGKILL`, and gives its shared memory
    /// back.
    fn drop(&mut self) {
        if self.has_ended() {
            self.guard.let_go();
            return;
        }
        self.resume();
        signals::send(&self.child, Signal::QUIT);
        if self.wait_until_ended(QUIT_LIMIT).is_err() {
            self.kill();
        }
    }
}
