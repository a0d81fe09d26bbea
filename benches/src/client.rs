//! The clients that are compared, each run in a process of its own.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};
use jetlane_cli::bench::{self, Line, Options};
use serde::{Deserialize, Serialize};

use crate::{async_nats_client, raw};

/// What begins the command line of such a process.
const MARK: &str = "client";

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// A bare socket.
    Raw,
    /// The official one for Rust.
    AsyncNats,
    /// Ours.
    Jetlane,
}

impl Client {
    /// As it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::AsyncNats => "async-nats",
            Self::Jetlane => "jetlane",
        }
    }

    /// This program, to be started for one run of this client.
    ///
    /// # Errors
    /// If the path of this program can not be found out.
    pub fn command(self, options: &Options) -> Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.args([MARK, &serde_json::to_string(&(self, options))?]);
        Ok(command)
    }
}

/// Runs a client, if that is what this process was started for.
///
/// # Errors
/// If the run fails.
pub fn run_if_asked() -> Result<Option<Line>> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(MARK) {
        return Ok(None);
    }
    let what = arguments.next().context("what to run")?;
    let (client, options): (Client, Options) = serde_json::from_str(&what)?;
    let line = match client {
        Client::Raw => raw::run(&options)?,
        Client::AsyncNats => async_nats_client::run(&options)?,
        Client::Jetlane => bench::run(&options)?,
    };
    Ok(Some(line))
}
