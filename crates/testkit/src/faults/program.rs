//! A program that ends by its deadline, one way or the other.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{self as sys, Pid, PidfdFlags, Signal};

#[cfg(target_arch = "x86_64")]
use super::{Fault, Trace, tracer};

/// A child process that is killed when its time is over, and when this is dropped.
///
/// It should wait for a line on its standard input before it begins, which it gets when all that is to be done to it is
/// prepared.
#[derive(Debug)]
pub struct Program {
    pid: Pid,
    handle: Arc<OwnedFd>,
    started: Instant,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    errors: Option<JoinHandle<String>>,
    follower: Option<JoinHandle<io::Result<Followed>>>,
    /// Dropped, it ends the watchdog.
    watched: Option<Sender<()>>,
    watchdog: Option<JoinHandle<bool>>,
}

/// How a program has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed and nobody has read yet.
    pub output: String,
    /// What it printed as errors.
    pub errors: String,
    /// Whether it was killed, as its time was over.
    pub timed_out: bool,
    /// How long it ran.
    pub took: Duration,
    /// What its system calls were, if they were followed.
    #[cfg(target_arch = "x86_64")]
    pub trace: Trace,
}

/// What the thread that waits for its end has to tell.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) status: ExitStatus,
    #[cfg(target_arch = "x86_64")]
    pub(super) trace: Trace,
}

impl Program {
    /// Starts `command`, which is killed after `limit`.
    ///
    /// # Errors
    ///
    /// When the system does not give a process.
    pub fn start(command: &mut Command, limit: Duration) -> io::Result<Program> {
        Program::follow(command, limit, |mut child, begin| {
            let _ = begin.send(());
            let status = child.wait()?;
            Ok(Followed {
                status,
                #[cfg(target_arch = "x86_64")]
                trace: Trace::default(),
            })
        })
    }

    /// Starts `command` and follows the system calls of all its threads; one of them fails as `fault` says.
    ///
    /// # Errors
    ///
    /// When the system does not give a process. That it may not be followed is told by [`Program::wait`].
    #[cfg(target_arch = "x86_64")]
    pub fn start_traced(
        command: &mut Command,
        fault: Option<Fault>,
        limit: Duration,
    ) -> io::Result<Program> {
        Program::follow(command, limit, move |child, begin| tracer::follow(&child, fault, &begin))
    }

    fn follow(
        command: &mut Command,
        limit: Duration,
        follow: impl FnOnce(std::process::Child, Sender<()>) -> io::Result<Followed> + Send + 'static,
    ) -> io::Result<Program> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        // Unlike a number it names this process and no later one.
        let handle = Arc::new(sys::pidfd_open(pid, PidfdFlags::empty())?);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut input), Some(output), Some(errors)) = pipes else {
            return Err(io::Error::other("no pipes"));
        };
        let (begin, prepared) = mpsc::channel();
        let follower = thread::spawn(move || follow(child, begin));
        let (watched, ended) = mpsc::channel::<()>();
        let victim = Arc::clone(&handle);
        let watchdog = thread::spawn(move || {
            let late = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                kill(&victim);
            }
            late
        });
        // If it could not be prepared, its end is told by the follower.
        if prepared.recv().is_ok() {
            let _ = input.write_all(b"begin\n");
        }
        Ok(Program {
            pid,
            handle,
            started,
            input,
            output: BufReader::new(output),
            errors: Some(thread::spawn(move || all_of(errors))),
            follower: Some(follower),
            watched: Some(watched),
            watchdog: Some(watchdog),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The next line that it prints; empty when it has ended.
    ///
    /// # Errors
    ///
    /// When it prints no UTF-8.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Gives it a line to read.
    ///
    /// # Errors
    ///
    /// When it reads no more.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.input, "{line}")
    }

    /// Asks it to end (`SIGTERM`).
    pub fn terminate(&self) {
        // It fails only for one that has ended, and the caller sees that by other means.
        let _ = sys::pidfd_send_signal(&*self.handle, Signal::TERM);
    }

    /// Sends `SIGALRM` to each of its threads. Returns how many took it; 0 once it has ended.
    #[must_use]
    pub fn alarm_threads(&self) -> usize {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else { return 0 };
        let ids = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
        // A signal to the process that is sent by the number of one of its threads goes to that one, if it may.
        ids.filter_map(Pid::from_raw)
            .filter(|thread| sys::kill_process(*thread, Signal::ALARM).is_ok())
            .count()
    }

    /// Whether it has ended, or is about to.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.follower.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end, which comes by its deadline.
    ///
    /// # Errors
    ///
    /// When it could not be followed, or prints no UTF-8.
    pub fn wait(mut self) -> io::Result<Ended> {
        let followed = join(self.follower.take()).unwrap_or_else(|| Err(lost()))?;
        let took = self.started.elapsed();
        drop(self.watched.take());
        let timed_out = join(self.watchdog.take()).unwrap_or_default();
        let mut output = String::new();
        self.output.read_to_string(&mut output)?;
        let errors = join(self.errors.take()).unwrap_or_default();
        Ok(Ended {
            status: followed.status,
            output,
            errors,
            timed_out,
            took,
            #[cfg(target_arch = "x86_64")]
            trace: followed.trace,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What `wait` has taken is over.
        if let Some(follower) = self.follower.take() {
            kill(&self.handle);
            let _ = follower.join();
        }
    }
}

fn kill(handle: &OwnedFd) {
    let _ = sys::pidfd_send_signal(handle, Signal::KILL);
}

fn join<T>(thread: Option<JoinHandle<T>>) -> Option<T> {
    thread?.join().ok()
}

fn lost() -> io::Error {
    io::Error::other("the thread that followed it has panicked")
}

fn all_of(mut errors: ChildStderr) -> String {
    let mut bytes = Vec::new();
    let _ = errors.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
