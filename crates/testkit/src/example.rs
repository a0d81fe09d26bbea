//! Example programs, run as users run them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::wait;

/// How long an example may take, if nothing else is said.
const LIMIT: Duration = Duration::from_secs(60);

/// An example of the package whose test runs, as cargo has built it, with what it is to be run with.
#[derive(Debug)]
#[must_use = "an example does nothing until it is run or started"]
pub struct Example {
    name: String,
    command: Command,
    limit: Duration,
}

/// An example that runs. Dropping it kills it.
#[derive(Debug)]
pub struct RunningExample {
    name: String,
    child: Child,
    output: NamedTempFile,
    errors: NamedTempFile,
    /// How many lines [`RunningExample::line`] has returned.
    lines: usize,
    started: Instant,
    limit: Duration,
}

/// Why an example did not do what it was run for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExampleError {
    /// Cargo has built no such example. The caller's fault: the name is wrong, or the command builds no examples.
    #[error(
        "{} is not built: run all tests of the crate, or `cargo build --examples`",
        path.display()
    )]
    NotBuilt {
        /// Where it should be.
        path: PathBuf,
    },
    /// The operating system refused something that the run needs.
    #[error("cannot run the example {name}: {reason}")]
    System {
        /// The example.
        name: String,
        /// What the operating system said.
        reason: io::Error,
    },
    /// It reported failure, or ended before it printed what was waited for. The fault lies with the example.
    #[error(
        "the example {name} ended with {status}; its errors:\n{errors}\nand what it printed:\n{output}"
    )]
    Ended {
        /// The example.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// All that it printed.
        output: String,
        /// All that it printed as errors.
        errors: String,
    },
    /// It did not end, or did not print what was waited for, in its time, and has been killed. The fault lies with the example, or the
    /// machine is overloaded.
    #[error(
        "the example {name} was stopped after {limit_s} s; its errors:\n{errors}\nand what it printed:\n{output}"
    )]
    TimedOut {
        /// The example.
        name: String,
        /// Its time limit, in seconds.
        limit_s: u64,
        /// All that it printed.
        output: String,
        /// All that it printed as errors.
        errors: String,
    },
}

impl Example {
    /// The example `name` of the package whose test calls this: cargo builds examples beside the tests.
    ///
    /// # Errors
    ///
    /// [`ExampleError::NotBuilt`] when there is none.
    pub fn find(name: &str) -> Result<Example, ExampleError> {
        let system = |reason| ExampleError::System { name: name.to_owned(), reason };
        let test = std::env::current_exe().map_err(system)?;
        Example::at(beside(&test, name), name)
    }

    /// Gives it one more argument.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Example {
        self.command.arg(argument);
        self
    }

    /// Sets a variable of its environment. It has those of the test, too.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Example {
        self.command.env(name, value);
        self
    }

    /// How long it may take from its start, a minute by default.
    pub fn limit(mut self, limit: Duration) -> Example {
        self.limit = limit;
        self
    }

    /// Runs it to its end, which has to be a good one, and returns what it printed, without its errors.
    ///
    /// # Errors
    ///
    /// As [`Example::start`] and [`RunningExample::wait`].
    pub fn run(self) -> Result<String, ExampleError> {
        self.start()?.wait()
    }

    /// Starts it, with nothing to read on its standard input.
    ///
    /// # Errors
    ///
    /// [`ExampleError::System`] when there can be no process, or no files for what it prints.
    pub fn start(self) -> Result<RunningExample, ExampleError> {
        let Example { name, command, limit } = self;
        let system = |reason| ExampleError::System { name: name.clone(), reason };
        let (output, errors, child) = spawn(command).map_err(system)?;
        let started = Instant::now();
        Ok(RunningExample { name, child, output, errors, lines: 0, started, limit })
    }

    fn at(path: PathBuf, name: &str) -> Result<Example, ExampleError> {
        if !path.exists() {
            return Err(ExampleError::NotBuilt { path });
        }
        Ok(Example { name: name.to_owned(), command: Command::new(path), limit: LIMIT })
    }
}

impl RunningExample {
    /// The next line that it prints, without its end; waits for it.
    ///
    /// # Errors
    ///
    /// [`ExampleError::Ended`] when it ended before it printed one, be it well;
    /// [`ExampleError::TimedOut`] when it printed none in its time.
    pub fn line(&mut self) -> Result<String, ExampleError> {
        let line = self.until(|example, ended| {
            let output = text(&example.output)?;
            let line = output.split_inclusive('\n').nth(example.lines);
            // What has no end yet may go on.
            let line = line.filter(|line| line.ends_with('\n'));
            let line = line.and_then(|line| line.lines().next());
            Ok(line.map(|line| Ok(line.to_owned())).or(ended.map(Err)))
        })?;
        let line = line.map_err(|status| self.ended(status))?;
        self.lines += 1;
        Ok(line)
    }

    /// Waits for its end, which has to be a good one, and returns all that it printed, without its errors.
    ///
    /// # Errors
    ///
    /// [`ExampleError::Ended`] when it reported failure; [`ExampleError::TimedOut`] when it did not end in its time.
    pub fn wait(mut self) -> Result<String, ExampleError> {
        let status = self.until(|_, ended| Ok(ended))?;
        if !status.success() {
            return Err(self.ended(status));
        }
        text(&self.output).map_err(|reason| self.system(reason))
    }

    /// Asks `ready`, which is told how the example has ended if it has, until it has an answer; kills the example when its time is over.
    fn until<T>(
        &mut self,
        ready: impl Fn(&RunningExample, Option<ExitStatus>) -> io::Result<Option<T>>,
    ) -> Result<T, ExampleError> {
        let left = self.limit.saturating_sub(self.started.elapsed());
        let answer = wait::until(left, || {
            // Asked first: what it printed before its end is there when we look.
            let ended = self.child.try_wait();
            ended.and_then(|ended| ready(self, ended)).transpose()
        });
        match answer {
            Some(answer) => answer.map_err(|reason| self.system(reason)),
            None => {
                self.kill();
                Err(self.timed_out())
            }
        }
    }

    fn kill(&mut self) {
        // One that has ended already needs no killing, so errors mean nothing here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn ended(&self, status: ExitStatus) -> ExampleError {
        let (output, errors) = self.said();
        ExampleError::Ended { name: self.name.clone(), status, output, errors }
    }

    fn timed_out(&self) -> ExampleError {
        let (output, errors) = self.said();
        let limit_s = self.limit.as_secs();
        ExampleError::TimedOut { name: self.name.clone(), limit_s, output, errors }
    }

    fn system(&self, reason: io::Error) -> ExampleError {
        ExampleError::System { name: self.name.clone(), reason }
    }

    /// For errors: what can not be read is not worth another one.
    fn said(&self) -> (String, String) {
        (text(&self.output).unwrap_or_default(), text(&self.errors).unwrap_or_default())
    }
}

impl Drop for RunningExample {
    fn drop(&mut self) {
        self.kill();
    }
}

fn beside(test: &Path, name: &str) -> PathBuf {
    // Tests are in a folder `deps`.
    let folder = test.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    folder.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Files take any amount of output; a pipe that nobody reads would stop the program.
fn spawn(mut command: Command) -> io::Result<(NamedTempFile, NamedTempFile, Child)> {
    let (output, errors) = (NamedTempFile::new()?, NamedTempFile::new()?);
    // Opened anew, each with a place of its own: where we read does not move where it writes.
    command.stdin(Stdio::null()).stdout(output.reopen()?).stderr(errors.reopen()?);
    let child = command.spawn()?;
    Ok((output, errors, child))
}

fn text(file: &NamedTempFile) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(file.path())?).into_owned())
}

#[cfg(test)]
#[path = "example_tests.rs"]
mod tests;
