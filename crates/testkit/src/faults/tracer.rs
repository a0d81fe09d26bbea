//! Follows the system calls of a program, and has one of them fail.
//!
//! Every thread of it stops where it enters a system call and where it leaves it (`PTRACE_SYSCALL`). A call that is to fail is
//! replaced by one that does not exist, and its result by the error.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::Sender;

use nix::errno::Errno as NixErrno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::call::could_raise_sigpipe;
use super::program::Followed;
use super::{Call, Errno, Fault};

/// What the system calls of a program were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// How many there were of each kind.
    pub calls: BTreeMap<Call, u32>,
    /// The threads, by name, in which a call was made to fail.
    pub failed_in: Vec<String>,
    /// How many were interrupted by real signals, of each kind and thread.
    pub interrupted: BTreeMap<(Call, String), u32>,
    /// How many writes to sockets would have sent `SIGPIPE`, had the peer been gone.
    pub could_raise_sigpipe: u32,
}

/// What a thread has in hand between entering a call and leaving it.
#[derive(Debug, Clone, Copy)]
struct Entered {
    call: Call,
    /// What its result is to be instead.
    result: Option<u64>,
}

struct Tracer {
    fault: Option<Fault>,
    /// The threads that are in a system call; with `None` those in one of no interest.
    entered: BTreeMap<Pid, Option<Entered>>,
    trace: Trace,
}

/// Follows `child` to its end. Tells `begin` when all that it does from then on is seen.
pub(super) fn follow(
    child: &Child,
    fault: Option<Fault>,
    begin: &Sender<()>,
) -> io::Result<Followed> {
    let leader = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let options =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::seize(leader, options)?;
    ptrace::interrupt(leader)?;
    let mut tracer = Tracer { fault, entered: BTreeMap::new(), trace: Trace::default() };
    // Only what this very thread traces: other children of this process are none of its business.
    let whom = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    loop {
        let news = match waitpid(None, Some(whom)) {
            Err(NixErrno::EINTR) => continue,
            news => news?,
        };
        match news {
            WaitStatus::Exited(pid, code) if pid == leader => return Ok(tracer.end(code << 8)),
            WaitStatus::Signaled(pid, signal, _) if pid == leader => {
                return Ok(tracer.end(signal as i32));
            }
            WaitStatus::PtraceSyscall(thread) => {
                gone_is_fine(tracer.at_call(thread))?;
                go_on(thread, None)?;
            }
            WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal))?,
            WaitStatus::PtraceEvent(thread, ..) => {
                go_on(thread, None)?;
                // The first stop is the one that was asked for; nobody may listen any more at later ones.
                let _ = begin.send(());
            }
            _ => {}
        }
    }
}

fn go_on(thread: Pid, signal: Option<Signal>) -> io::Result<()> {
    gone_is_fine(ptrace::syscall(thread, signal))
}

/// A thread may be killed at any time, and what is asked of it then fails.
fn gone_is_fine(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Err(NixErrno::ESRCH) => Ok(()),
        result => Ok(result?),
    }
}

impl Tracer {
    fn end(self, status: i32) -> Followed {
        Followed { status: ExitStatus::from_raw(status), trace: self.trace }
    }

    /// `thread` enters a system call, or leaves it: the two take turns.
    fn at_call(&mut self, thread: Pid) -> nix::Result<()> {
        match self.entered.remove(&thread) {
            Some(Some(entered)) => self.leaves(thread, entered),
            Some(None) => Ok(()),
            None => {
                let entered = self.enters(thread)?;
                self.entered.insert(thread, entered);
                Ok(())
            }
        }
    }

    fn enters(&mut self, thread: Pid) -> nix::Result<Option<Entered>> {
        let mut registers = ptrace::getregs(thread)?;
        let Some(call) = Call::of(thread, &registers) else { return Ok(None) };
        if call == Call::Send {
            self.trace.could_raise_sigpipe += u32::from(could_raise_sigpipe(&registers));
        }
        let count = self.trace.calls.entry(call).or_default();
        *count += 1;
        let fault = self.fault.filter(|fault| fault.call == call && fault.at == *count);
        if let Some(fault) = fault {
            self.trace.failed_in.push(name_of(thread));
            if !fault.is_done_all_the_same() {
                registers.orig_rax = u64::MAX;
                ptrace::setregs(thread, registers)?;
            }
        }
        Ok(Some(Entered { call, result: fault.map(|fault| fault.result()) }))
    }

    fn leaves(&mut self, thread: Pid, entered: Entered) -> nix::Result<()> {
        let mut registers = ptrace::getregs(thread)?;
        if let Some(result) = entered.result {
            registers.rax = result;
            return ptrace::setregs(thread, registers);
        }
        if registers.rax.cast_signed() == i64::from(-Errno::INTR.raw_os_error()) {
            *self.trace.interrupted.entry((entered.call, name_of(thread))).or_default() += 1;
        }
        Ok(())
    }
}

fn name_of(thread: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}
