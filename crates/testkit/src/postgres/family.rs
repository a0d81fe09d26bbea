//! The processes of a server: one for each connection and each task, all children of the first one.
//!
//! Each is in a session of its own, so no signal reaches them all at once.

use rustix::process::{Pid, Signal, kill_process};

/// A child of the server's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pid: Pid,
    state: char,
}

impl Member {
    /// To be called while the parent is stopped: it reaps nobody then, so the pid is still this
    /// process's own.
    pub(crate) fn send(self, signal: Signal) {
        // It fails only for a process that has ended, and then there is nothing left to do.
        let _ = kill_process(self.pid, signal);
    }

    /// Whether it does nothing: it is stopped, or has ended.
    pub(crate) fn is_still(self) -> bool {
        matches!(self.state, 'T' | 't' | 'Z' | 'X')
    }
}

/// The children of `parent`; complete only while that one is stopped and has no more of them.
#[cfg(target_os = "linux")]
pub(crate) fn children_of(parent: u32) -> Vec<Member> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    // What cannot be read has ended, or is no process.
    let stats = entries
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter_map(|stat| child_in(&fields_of_stat(&stat)?, parent)).collect()
}

/// The children of `parent`; complete only while that one is stopped and has no more of them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn children_of(parent: u32) -> Vec<Member> {
    let mut command = std::process::Command::new("ps");
    let output = command.args(["-A", "-o", "pid=,stat=,ppid="]).output();
    let list = output.map(|output| output.stdout).unwrap_or_default();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    String::from_utf8_lossy(&list)
        .lines()
        .filter_map(|line| child_in(&fields(line), parent))
        .collect()
}

/// Pid, state and parent in `12 (a name) S 1 …`, where the name may hold anything.
#[cfg(target_os = "linux")]
fn fields_of_stat(stat: &str) -> Option<Vec<&str>> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    Some(std::iter::once(pid).chain(rest.split(' ').take(2)).collect())
}

/// Reads pid, state and parent.
fn child_in(fields: &[impl AsRef<str>], parent: u32) -> Option<Member> {
    let [pid, state, parents] = fields else { return None };
    if parents.as_ref().parse() != Ok(parent) {
        return None;
    }
    let pid = Pid::from_raw(pid.as_ref().parse().ok()?)?;
    Some(Member { pid, state: state.as_ref().chars().next()? })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_are_read_from_stat() {
        let check = |stat: &str, expected: Option<(i32, char)>| {
            let expected =
                expected.map(|(pid, state)| Member { pid: Pid::from_raw(pid).unwrap(), state });
            let found = fields_of_stat(stat).and_then(|fields| child_in(&fields, 17));
            assert_eq!(found, expected, "{stat}");
        };
        check("18 (postgres) S 17 18 18 0 -1", Some((18, 'S')));
        check("18 (a) T 1 (b) R 17 18", Some((18, 'R')));
        check("18 (postgres) S 170 18 18 0 -1", None);
        check("18 (postgres) S", None);
        check("18 postgres S 17", None);
        check("x (postgres) S 17 18", None);
        check("", None);
    }

    #[test]
    fn a_child_is_found_and_reached() {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&cat);
        let found = || {
            let children = children_of(std::process::id());
            *children.iter().find(|member| member.pid == pid).unwrap()
        };
        assert!(!found().is_still());
        found().send(Signal::KILL);
        cat.wait().unwrap();
        assert!(children_of(std::process::id()).iter().all(|member| member.pid != pid));
    }
}
