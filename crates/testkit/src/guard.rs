//! The guard of a server: a tiny process that outlives us just long enough to kill it.
//!
//! A process that is killed or aborts runs no `Drop`. The guard reads from a pipe whose other end
//! only we hold; the kernel closes that end when we die, however we die, and then the guard acts.

use std::io;
use std::path::Path;

#[cfg(unix)]
use std::io::Write as _;
#[cfg(unix)]
use std::process::{Child, ChildStdin, Command, Stdio};

/// How a guard ends the process it watches over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// By `SIGKILL`.
    AtOnce,
    /// By `SIGQUIT`, on which PostgreSQL ends its children and gives its shared memory back. It
    /// allows its children five seconds, so `SIGKILL` follows after ten.
    #[cfg(all(feature = "postgres", unix))]
    WithItsChildren,
}

/// Dropping it dismisses the guard without any effect on the server or its folder.
#[derive(Debug)]
pub(crate) struct Guard {
    #[cfg(unix)]
    shell: Child,
    #[cfg(unix)]
    pipe: Option<ChildStdin>,
}

/// The last line that was read is the pid. `read` is a part of the shell, so the guard is one
/// process. The second `rm` is for a server that was still writing into its folder in its last
/// moment.
#[cfg(unix)]
const SCRIPT: &str = r#"
    pid=; while read -r line; do pid=$line; done
    if [ -n "$pid" ]; then ENDING; fi
    rm -rf "$1" || { sleep 1; rm -rf "$1"; }"#;

#[cfg(unix)]
impl Ending {
    fn script(self) -> &'static str {
        match self {
            Ending::AtOnce => r#"kill -9 "$pid""#,
            // A paused server would not heed the signal, and not every system wakes it when we die.
            // Should this `sleep` know whole seconds only, then there is no waiting, and the last
            // `kill` does it.
            #[cfg(feature = "postgres")]
            Ending::WithItsChildren => {
                r#"
                kill -CONT "$pid"; kill -QUIT "$pid"; tenths=0
                while [ $tenths -lt 100 ] && kill -0 "$pid" && sleep 0.1; do
                    tenths=$((tenths + 1))
                done
                kill -9 "$pid""#
            }
        }
    }
}

#[cfg(unix)]
impl Guard {
    /// Watches over `folder`, and over no process yet.
    pub(crate) fn over(folder: &Path, ending: Ending) -> io::Result<Guard> {
        let mut command = Command::new("sh");
        command.args(["-c", &SCRIPT.replace("ENDING", ending.script()), "jetlane-guard"]);
        // Nothing of ours may stay open in the guard: whoever reads our output waits for its last
        // writer.
        command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        out_of_the_terminals_reach(&mut command);
        let mut shell = command.spawn()?;
        Ok(Guard { pipe: shell.stdin.take(), shell })
    }

    /// Watches over the process `pid` from now on.
    pub(crate) fn take_on(&self, pid: u32) -> io::Result<()> {
        self.tell(&pid.to_string())
    }

    /// Watches over no process from now on. To be called before it is reaped, as its pid may then
    /// belong to somebody else.
    #[cfg(feature = "postgres")]
    pub(crate) fn let_go(&self) {
        // A guard that is gone cannot do harm.
        let _ = self.tell("");
    }

    fn tell(&self, word: &str) -> io::Result<()> {
        // In one write, so that no half of a pid is ever in the pipe.
        self.pipe.as_ref().map_or(Ok(()), |mut pipe| pipe.write_all(format!("{word}\n").as_bytes()))
    }
}

#[cfg(unix)]
impl Drop for Guard {
    fn drop(&mut self) {
        // The pipe must stay open until the shell is dead, or the guard would act. A guard that is
        // gone already needs no dismissal, so errors mean nothing here.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        self.pipe = None;
    }
}

/// Ctrl-C in a terminal goes to the whole foreground process group. In a group of its own a child
/// is spared, so we decide how it ends: by `Drop`, or by the guard when Ctrl-C ends us.
#[cfg(unix)]
pub(crate) fn out_of_the_terminals_reach(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
impl Guard {
    pub(crate) fn over(_: &Path, _: Ending) -> io::Result<Guard> {
        Ok(Guard {})
    }

    pub(crate) fn take_on(&self, _: u32) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(unix))]
pub(crate) fn out_of_the_terminals_reach(_: &mut std::process::Command) {}
