//! The guard of a server: a tiny process that outlives us just long enough to kill it.
//!
//! A process that is killed or aborts runs no `Drop`. The guard reads from a pipe whose other end
//! only we hold; the kernel closes that end when we die, however we die, and then the guard acts.

use std::io;
use std::path::Path;

#[cfg(unix)]
use std::process::{Child, Command, Stdio};

/// Dropping it dismisses the guard without any effect on the server.
#[derive(Debug)]
pub(crate) struct Guard {
    #[cfg(unix)]
    shell: Child,
}

/// `read` is a part of the shell, so the guard is one process. The second `rm` is for a server that
/// was still writing into its folder in its last moment.
#[cfg(unix)]
const SCRIPT: &str = r#"read -r _; kill -9 "$1"; rm -rf "$2" || { sleep 1; rm -rf "$2"; }"#;

#[cfg(unix)]
impl Guard {
    /// Watches over the server `pid`, which lives in `folder`.
    pub(crate) fn watch(pid: u32, folder: &Path) -> io::Result<Guard> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "jetlane-guard"]).arg(pid.to_string()).arg(folder);
        // Nothing of ours may stay open in the guard: whoever reads our output waits for its last
        // writer.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        out_of_the_terminals_reach(&mut command);
        Ok(Guard { shell: command.spawn()? })
    }
}

#[cfg(unix)]
impl Drop for Guard {
    fn drop(&mut self) {
        // The pipe must stay open until the shell is dead, or the guard would act. `wait` closes it
        // afterwards. A guard that is gone already needs no dismissal, so errors mean
        // nothing here.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
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
    pub(crate) fn watch(_: u32, _: &Path) -> io::Result<Guard> {
        Ok(Guard {})
    }
}

#[cfg(not(unix))]
pub(crate) fn out_of_the_terminals_reach(_: &mut std::process::Command) {}
