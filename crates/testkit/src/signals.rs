//! Signals to a child of ours. They reach nobody else: until we reap a child its pid is its own.

use std::process::Child;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};

pub(crate) use rustix::process::Signal;

pub(crate) fn send(child: &Child, signal: Signal) {
    // It fails only for a child that has ended, and the caller sees that by other means.
    let _ = kill_process(Pid::from_child(child), signal);
}

/// Stops a child where it stands (`SIGSTOP`), and returns when it has stopped indeed, or has ended.
pub fn pause(child: &Child) {
    stop(child);
}

/// Lets a child go on that was stopped (`SIGCONT`).
pub fn resume(child: &Child) {
    send(child, Signal::CONT);
}

/// Sends `SIGSTOP`, and returns when the child has stopped indeed (or has ended).
pub(crate) fn stop(child: &Child) {
    send(child, Signal::STOP);
    // NOWAIT leaves the end of the child, should it be that, for its owner to reap.
    let news = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // Without news there is no such child, and then there is nothing to wait for.
    while matches!(waitid(WaitId::Pid(Pid::from_child(child)), news), Err(Errno::INTR)) {}
}
