//! A nats-server that belongs to a test.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
#[cfg(unix)]
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

use crate::find::{ServerBinary, find_server};
use crate::folder::Folder;
use crate::port::HeldPort;
use crate::process::{Process, StartError};

#[cfg(unix)]
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The shortest lame duck mode that a server allows takes 30 s at most.
const END_LIMIT: Duration = Duration::from_secs(40);

/// A nats-server on loopback, with a port from the kernel and a temporary folder for its config,
/// log and store.
///
/// Dropping it kills the server and removes the folder. Should this process die without dropping
/// it, on Unix a guard process does both.
#[derive(Debug)]
pub struct Server {
    // Fields drop in this order: the process must be gone before its folder goes.
    process: Option<Process>,
    folder: Folder,
    binary: PathBuf,
    jetstream: JetStream,
    base_config: String,
    port: u16,
    pid: u32,
    held_port: OnceLock<HeldPort>,
}

/// How a server is to be started.
#[derive(Debug)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct ServerBuilder {
    jetstream: JetStream,
    base_config: String,
    config: String,
}

/// Why a server did not take a new config.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The server has been killed.
    #[error("the server does not run, so it cannot reload its config")]
    NotRunning,
    /// The config file could not be written.
    #[error("cannot write the config: {0}")]
    Write(#[source] io::Error),
    /// The given config is wrong, or changes what only a restart can change. The old one stays in
    /// force.
    #[error("the server refused the config: {reason}")]
    Refused {
        /// What the server says about it.
        reason: String,
    },
    /// The server did not say in time that it has reloaded: it is paused, ended or overloaded.
    #[error("the server did not answer the reload within {limit_s} s")]
    NoAnswer {
        /// The time limit, in seconds.
        limit_s: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum JetStream {
    On,
    Off,
}

impl Server {
    /// Starts a server with JetStream and an empty store, and waits until it greets clients.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; on an error nothing is left running.
    pub fn start() -> Result<Server, StartError> {
        Server::builder().start()
    }

    /// Starts from the defaults of [`Server::start`] and changes some of them.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            jetstream: JetStream::On,
            base_config: String::new(),
            config: String::new(),
        }
    }

    /// The URL for clients: `nats://127.0.0.1:` and the port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port for clients. It stays the same for the life of this value, over all restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server, or of its last run when it has been killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The folder of JetStream's store, whose files only a server that is down leaves alone.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.store()
    }

    /// Kills the server (`SIGKILL`) and returns when it is gone. Its port and its store are kept
    /// for a restart.
    pub fn kill(&mut self) {
        self.process = None;
        // If it cannot be held, that is a small risk for the restart, which will say so if it comes
        // true.
        let _ = self.hold_port();
    }

    /// Keeps the port of a server that does not listen any more. Once held it stays held, as a
    /// server may listen on a held port.
    fn hold_port(&self) -> bool {
        self.held_port.get().is_some()
            || HeldPort::of(self.port).is_ok_and(|port| self.held_port.set(port).is_ok())
    }

    /// Waits until the server ends by itself, for 40 s at most. Then it is as if it had been
    /// killed: it can be restarted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotConnected`] when it does not run, and [`ErrorKind::TimedOut`] when it still
    /// runs.
    pub fn wait_until_ended(&mut self) -> io::Result<ExitStatus> {
        let process = self.process.as_mut().ok_or(ErrorKind::NotConnected)?;
        let status = process.wait_until_ended(END_LIMIT)?.ok_or(ErrorKind::TimedOut)?;
        self.kill();
        Ok(status)
    }

    /// Starts the server again on the same port and the same store; kills it first if it still
    /// runs.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; on an error the server is down, and another restart may be tried.
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.kill();
        let options = self.options(&self.port.to_string());
        let (process, _) = Process::start(&self.binary, &self.folder, &options)?;
        self.pid = process.id();
        self.process = Some(process);
        Ok(())
    }

    /// What the server has logged so far, over all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        self.folder.log().text()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// The port of the HTTP monitor, where the config asks for one.
    pub(crate) fn monitor_port(&self) -> Option<u16> {
        self.folder.port("monitoring")
    }

    fn write_config(&self, config: &str) -> io::Result<()> {
        // The caller's text comes first, so the line numbers in the server's complaints are the
        // caller's.
        fs::write(self.folder.config(), format!("{config}\n{}\n", self.base_config))
    }

    /// The command line has the last word over the config, so no config can move a server out of
    /// its folder.
    fn options(&self, port: &str) -> Vec<OsString> {
        let mut options: Vec<OsString> = vec!["--addr".into(), "127.0.0.1".into()];
        options.extend(["--port".into(), port.into()]);
        options.extend(["--config".into(), self.folder.config().into()]);
        options.extend(["--log".into(), self.folder.log().path().into()]);
        options.extend(["--ports_file_dir".into(), self.folder.ports().into()]);
        if let JetStream::On = self.jetstream {
            options.extend(["-js".into(), "--store_dir".into(), self.folder.store().into()]);
        }
        options
    }
}

#[cfg(unix)]
impl Server {
    /// Stops the server in its tracks (`SIGSTOP`): connections stay open and nothing is answered.
    /// It has stopped when this returns. Does nothing to a killed server.
    pub fn pause(&self) {
        if let Some(process) = &self.process {
            process.pause();
        }
    }

    /// Lets a paused server go on (`SIGCONT`).
    pub fn resume(&self) {
        if let Some(process) = &self.process {
            process.resume();
        }
    }

    /// Asks the server to end (`SIGTERM`) and waits until it has, as [`Server::wait_until_ended`]
    /// does: clients get an orderly end of their connections.
    ///
    /// # Errors
    ///
    /// As [`Server::wait_until_ended`]; a paused server does not end.
    pub fn quit(&mut self) -> io::Result<ExitStatus> {
        if let Some(process) = &self.process {
            process.terminate();
        }
        self.wait_until_ended()
    }

    /// Sends the server into lame duck mode (`SIGUSR2`): it tells its clients, takes no new ones,
    /// closes one connection after another, and ends. It has entered the mode when this returns.
    ///
    /// How long that takes is up to the config: `lame_duck_grace_period: "200ms"` is the time until
    /// the first connection is closed, ten seconds by default. The connections are closed within
    /// `lame_duck_duration`, which is 30 s or more, but no more than a second apart.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotConnected`] when it does not run, and [`ErrorKind::TimedOut`] when it does
    /// not say that it has entered the mode.
    pub fn lame_duck(&self) -> io::Result<()> {
        let process = self.process.as_ref().ok_or(ErrorKind::NotConnected)?;
        let mark = self.log().len();
        process.enter_lame_duck_mode();
        let entered = || self.folder.log().since(mark).contains("Entering lame duck mode");
        // It says so a moment before it stops listening.
        let refuses = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err();
        crate::wait::until(ANSWER_LIMIT, || (entered() && refuses()).then_some(()))
            .ok_or(ErrorKind::TimedOut)?;
        // It will run for a while, and its clients leave: nobody else is to get the port meanwhile.
        let _ = self.hold_port();
        Ok(())
    }

    /// Replaces the text given to [`ServerBuilder::config`] by `config` and makes the server reload
    /// it (`SIGHUP`). The server has done so when this returns. Later restarts use the new text
    /// too.
    ///
    /// # Errors
    ///
    /// See [`ReloadError`].
    pub fn reload(&self, config: &str) -> Result<(), ReloadError> {
        let process = self.process.as_ref().ok_or(ReloadError::NotRunning)?;
        let mark = self.log().len();
        self.write_config(config).map_err(ReloadError::Write)?;
        process.hang_up();
        let no_answer = || ReloadError::NoAnswer { limit_s: ANSWER_LIMIT.as_secs() };
        crate::wait::until(ANSWER_LIMIT, || reload_result(&self.folder.log().since(mark)))
            .unwrap_or_else(|| Err(no_answer()))
    }
}

/// What the log says about a reload, once it says it in a whole line.
#[cfg(unix)]
fn reload_result(log: &str) -> Option<Result<(), ReloadError>> {
    log.split_inclusive('\n').filter(|line| line.ends_with('\n')).find_map(|line| {
        if line.contains("Reloaded server configuration") {
            return Some(Ok(()));
        }
        let (_, reason) = line.split_once("Failed to reload server configuration: ")?;
        Some(Err(ReloadError::Refused { reason: reason.trim().to_owned() }))
    })
}

impl ServerBuilder {
    /// Leaves JetStream off.
    pub fn without_jetstream(mut self) -> ServerBuilder {
        self.jetstream = JetStream::Off;
        self
    }

    /// Adds text to the server's config file, in the server's own syntax: `max_payload: 64KB`.
    ///
    /// The address, the port, the log file and the store are settled on the command line and stay
    /// as they are.
    pub fn config(mut self, text: &str) -> ServerBuilder {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// Starts the server and waits until it greets clients.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; on an error nothing is left running.
    pub fn start(self) -> Result<Server, StartError> {
        let ServerBinary { path: binary, .. } = find_server()?;
        let folder = Folder::new()
            .map_err(StartError::system("create a folder in", &std::env::temp_dir()))?;
        let mut server = Server {
            process: None,
            folder,
            binary,
            jetstream: self.jetstream,
            base_config: self.base_config,
            port: 0,
            pid: 0,
            held_port: OnceLock::new(),
        };
        server
            .write_config(&self.config)
            .map_err(StartError::system("write", &server.folder.config()))?;
        // Port -1 asks the server to ask the kernel: a port that we chose could be gone before the
        // server binds it.
        let options = server.options("-1");
        let (process, port) = Process::start(&server.binary, &server.folder, &options)?;
        server.port = port;
        server.pid = process.id();
        server.process = Some(process);
        Ok(server)
    }

    /// Config that also stays when a reload replaces the caller's text.
    pub(crate) fn base_config(mut self, text: &str) -> ServerBuilder {
        text.clone_into(&mut self.base_config);
        self
    }
}
