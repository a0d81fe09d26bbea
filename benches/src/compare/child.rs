//! One run of one client, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use jetlane_cli::bench::{ConsumeWork, Line};

use super::rows::{Contender, Row, Scene};
use crate::client::Client;
use crate::stage::{SUBJECT, Stage};

/// No run takes longer.
const DEADLINE: Duration = Duration::from_secs(90);

pub(super) struct Run<'a> {
    pub(super) row: &'a Row,
    pub(super) contender: &'a Contender,
    pub(super) url: &'a str,
    pub(super) stage: &'a Stage,
    pub(super) quick: bool,
}

impl Run<'_> {
    pub(super) fn perform(&self) -> Result<Line> {
        let (stage, n) = (self.stage, self.msgs());
        match self.row.scene {
            Scene::Alone => {
                stage.no_stream();
                self.client()?.line()
            }
            Scene::Published => {
                stage.no_stream();
                let client = self.client()?;
                client.wait_for_subscription()?;
                let publisher = self.other("pub", n)?;
                let line = client.line()?;
                publisher.line().context("publishing for it")?;
                Ok(line)
            }
            Scene::Answered => {
                stage.no_stream();
                let server = self.other("serve", n)?;
                server.wait_for_subscription()?;
                let line = self.client()?.line()?;
                server.line().context("answering it")?;
                Ok(line)
            }
            Scene::Stored(storage) => {
                stage.empty_stream(storage)?;
                let line = self.client()?.line()?;
                stage.stored(n)?;
                Ok(line)
            }
            Scene::Consumed(_) => {
                let how = self.consumes();
                stage.full_stream(jetlane_cli::bench::StoreIn::Memory, n, self.row.size)?;
                stage.new_consumer(how)?;
                let line = self.client()?.line()?;
                stage.consumed(how, n)?;
                Ok(line)
            }
        }
    }

    fn msgs(&self) -> u64 {
        if self.quick { (self.row.msgs / 10).max(1000.min(self.row.msgs)) } else { self.row.msgs }
    }

    /// A peer without a watermark acknowledges each.
    fn consumes(&self) -> ConsumeWork {
        match self.row.scene {
            Scene::Consumed(ConsumeWork::Watermark) if self.contender.who == Client::AsyncNats => {
                ConsumeWork::Each
            }
            Scene::Consumed(how) => how,
            _ => ConsumeWork::None,
        }
    }

    fn client(&self) -> Result<Process> {
        let work = match (self.row.scene, self.consumes()) {
            (Scene::Consumed(_), ConsumeWork::Each) => "js consume each",
            _ => self.row.work,
        };
        let options = format!("{} {}", self.row.options, self.contender.options);
        self.start(self.contender.who, work, &options, self.msgs())
    }

    /// The bare socket, at the other end.
    fn other(&self, work: &str, msgs: u64) -> Result<Process> {
        let options = if work == "pub" { self.row.options } else { "" };
        self.start(Client::Raw, work, options, msgs)
    }

    fn start(&self, who: Client, work: &str, options: &str, msgs: u64) -> Result<Process> {
        let (msgs, size) = (msgs.to_string(), self.row.size.to_string());
        let fixed = ["--msgs", &msgs, "--size", &size, "--url", self.url, "--subject", SUBJECT];
        let words = work.split_whitespace().chain(options.split_whitespace()).chain(fixed);
        let words = ["client"].into_iter().chain(words).chain(["--no-progress"]);
        let options = Words::try_parse_from(words).context("the row's options")?.options;
        Process::start(who.command(&options)?)
    }
}

/// Options, as a row has them.
#[derive(Debug, Parser)]
struct Words {
    #[command(flatten)]
    options: jetlane_cli::bench::Options,
}

/// A process that runs, and is killed if it is still there when nobody wants it any more.
struct Process {
    child: Child,
    began: Instant,
    /// What it says on standard error, line by line.
    says: mpsc::Receiver<String>,
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting a client")?;
        let stderr = child.stderr.take().context("it has a standard error")?;
        let (say, says) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, began: Instant::now(), says })
    }

    fn wait_for_subscription(&self) -> Result<()> {
        match self.says.recv_timeout(DEADLINE) {
            Ok(line) if line == "subscribed" => Ok(()),
            Ok(line) => bail!("it says {line:?}"),
            Err(_) => bail!("it did not subscribe"),
        }
    }

    /// Its result, once it has ended well.
    fn line(mut self) -> Result<Line> {
        // One short line fits the pipe, so it can be read when all is over.
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.began.elapsed() > DEADLINE {
                bail!("it did not end within {} s", DEADLINE.as_secs());
            }
            thread::park_timeout(Duration::from_millis(5));
        };
        let mut out = String::new();
        self.child.stdout.take().context("it has a standard output")?.read_to_string(&mut out)?;
        if !status.success() {
            let said: Vec<_> = self.says.iter().collect();
            bail!("it failed: {}", said.join(" / "));
        }
        serde_json::from_str(&out).with_context(|| format!("it printed {out:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail once it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
