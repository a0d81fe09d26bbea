//! Looking up other programs and running them, each run with a time limit.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::wait;

const TAIL_LINES: usize = 20;

/// A program that we ran did not do its work. The fault lies with that program or its surroundings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The program could not be started or waited for.
    #[error("cannot run `{command}`: {reason}")]
    NotRun {
        /// The program and its arguments.
        command: String,
        /// What the operating system said.
        reason: io::Error,
    },
    /// The program ended and reported failure.
    #[error("`{command}` ended with {status}: {output}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        output: String,
    },
    /// The program was still running at its time limit and has been killed.
    #[error("`{command}` was stopped after {limit_s} s without an end")]
    TimedOut {
        /// The program and its arguments.
        command: String,
        /// The time limit, in seconds.
        limit_s: u64,
    },
}

/// Every executable file called `name` on `search_path`, in the order of the path.
pub(crate) fn on_path(search_path: &OsStr, name: &str) -> impl Iterator<Item = PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    // An empty entry means the working folder, which is no place to take programs from unasked.
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(move |folder| folder.join(&file))
        .filter(|path| is_executable(path))
}

pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && may_execute(&metadata))
}

/// Runs `command` to its end and returns what it wrote to stdout and stderr.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<String, CommandError> {
    let shown = shown(command);
    let not_run = |reason| CommandError::NotRun { command: shown.clone(), reason };
    // A file takes any amount of output; a pipe that nobody reads would stop the program.
    let mut output = tempfile::tempfile().map_err(not_run)?;
    let status = run_into(&output, command, limit).map_err(not_run)?;
    let text = read_back(&mut output).map_err(not_run)?;
    match status {
        Some(status) if status.success() => Ok(text),
        Some(status) => Err(CommandError::Failed { command: shown, status, output: tail(&text) }),
        None => Err(CommandError::TimedOut { command: shown, limit_s: limit.as_secs() }),
    }
}

/// The last lines of a text: enough to see what went wrong, short enough for an error.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn run_into(
    output: &File,
    command: &mut Command,
    limit: Duration,
) -> io::Result<Option<ExitStatus>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    if let Some(status) = wait::until(limit, || child.try_wait().transpose()) {
        return status.map(Some);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn read_back(output: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(unix)]
fn may_execute(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn may_execute(_: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
pub(crate) mod fakes {
    use super::*;

    /// Writes an executable shell script.
    ///
    /// Another process does the writing: while this one has the file open, a child that another
    /// test thread forks at that moment holds it open too, and then running the script fails
    /// with "text file busy".
    pub(crate) fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
        let path = folder.join(name);
        let mut writer = Command::new("sh")
            .args(["-c", "mkdir -p \"$2\" && cat >\"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(&path)
            .arg(folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\n{body}\n");
        io::Write::write_all(&mut writer.stdin.take().unwrap(), text.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        path
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_in_one_of_four_ways() {
        let check = |program: &str, script: &str, limit_s: u64, expected: &str| {
            let ended =
                run(Command::new(program).args(["-c", script]), Duration::from_secs(limit_s));
            let found = match ended {
                Ok(text) => format!("ok {text}"),
                Err(CommandError::NotRun { .. }) => "not run".to_owned(),
                Err(CommandError::Failed { status, output, .. }) => {
                    format!("failed {:?} {output}", status.code())
                }
                Err(CommandError::TimedOut { .. }) => "timed out".to_owned(),
            };
            assert_eq!(found, expected, "{program} -c {script:?}");
        };
        check("sh", "echo out; echo err >&2", 30, "ok out\nerr\n");
        check("sh", "echo why >&2; exit 3", 30, "failed Some(3) why");
        check("sh", "read -r line; echo \"got $line\"", 30, "ok got \n");
        check("sh", "exec sleep 600", 0, "timed out");
        check("/nonexistent/program", "", 30, "not run");
    }

    #[test]
    fn the_tail_of_a_text_is_its_last_lines() {
        let check = |text: &str, expected: &str| assert_eq!(tail(text), expected, "{text:?}");
        let long: Vec<String> = (0..50).map(|line| line.to_string()).collect();
        check("", "");
        check("one\n", "one");
        check(&long.join("\n"), &long[30..].join("\n"));
    }
}
