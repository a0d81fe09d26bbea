//! System calls as a client of sockets sees them, and how they fail.

use std::fs;

use nix::libc;
use nix::unistd::Pid;
use rustix::io::Errno;

/// What a system call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Reads from a socket.
    Receive,
    /// Writes to a socket.
    Send,
    /// Waits for events of sockets.
    Wait,
    /// Begins a connection.
    Connect,
    /// Writes to an eventfd: wakes who waits.
    Wake,
    /// Sleeps until another thread goes on.
    Sleep,
}

/// A system call that is to fail, once.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which kind.
    pub call: Call,
    /// With what.
    pub errno: Errno,
    /// Which one of its kind, counted from 1 over all threads.
    pub at: u32,
}

impl Fault {
    /// The call number `at` of kind `call` fails with `errno`.
    #[must_use]
    pub fn new(call: Call, errno: Errno, at: u32) -> Fault {
        Fault { call, errno, at }
    }

    /// Whether the call is done all the same: a `connect` that a signal interrupts goes on behind.
    pub(super) fn is_done_all_the_same(&self) -> bool {
        self.call == Call::Connect && self.errno == Errno::INTR
    }

    pub(super) fn result(&self) -> u64 {
        // As the kernel returns it: negative.
        i64::from(-self.errno.raw_os_error()).cast_unsigned()
    }
}

/// The registers of a thread that enters a system call.
pub(super) type Registers = libc::user_regs_struct;

impl Call {
    /// What `thread` enters, if it is of any interest here.
    pub(super) fn of(thread: Pid, registers: &Registers) -> Option<Call> {
        let number = registers.orig_rax.cast_signed();
        let descriptor = || fs::read_link(format!("/proc/{thread}/fd/{}", registers.rdi)).ok();
        let is = |kind: &str| descriptor().is_some_and(|it| it.to_string_lossy().starts_with(kind));
        match number {
            libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg => {
                is("socket:").then_some(Call::Receive)
            }
            libc::SYS_write if is("anon_inode:[eventfd]") => Some(Call::Wake),
            libc::SYS_write | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg => {
                is("socket:").then_some(Call::Send)
            }
            libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => {
                Some(Call::Wait)
            }
            libc::SYS_connect => Some(Call::Connect),
            libc::SYS_futex => waits(registers.rsi).then_some(Call::Sleep),
            _ => None,
        }
    }
}

/// Whether a futex call with this operation sleeps.
fn waits(operation: u64) -> bool {
    let command = u32::try_from(operation).unwrap_or(u32::MAX) & 0x7f;
    [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET].map(i32::cast_unsigned).contains(&command)
}

/// Whether a write to a socket would send `SIGPIPE` if the peer were gone.
pub(super) fn could_raise_sigpipe(registers: &Registers) -> bool {
    let flags = match registers.orig_rax.cast_signed() {
        libc::SYS_sendto => registers.r10,
        libc::SYS_sendmsg => registers.rdx,
        _ => 0,
    };
    flags & u64::from(libc::MSG_NOSIGNAL.cast_unsigned()) == 0
}
