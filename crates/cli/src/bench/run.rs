use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jetlane_testkit::Server;

use super::patience::{PATIENCE, Patience};
use super::setup::Setup;
use super::{JsWork, Line, Options, PubWork, Work};
use super::{bus, consume, fetch, paced, publish, request, stored, subscribe};
use crate::progress::Progress;

/// The stream that JetStream works use. It is made if it is not there, and left there.
pub const STREAM: &str = "BENCH";

/// When nothing was done for so long, nothing more will be. Longer than the work's own waits, which know better what they
/// wait for.
const LAST_PATIENCE: Duration = PATIENCE.saturating_add(Duration::from_secs(5));

/// Does the work, checks it, and says what it took. Nothing is printed but a progress bar, if one is wanted.
///
/// # Errors
/// If the options make no sense, the server can not do it, something got lost, or nothing went on for 30 seconds.
pub fn run(options: &Options) -> Result<Line> {
    options.check()?;
    let common = &options.common;
    let server = match &common.url {
        Some(_) => None,
        None => Some(Server::start().context("no nats-server could be started")?),
    };
    let url = match (&common.url, &server) {
        (Some(url), _) => url.clone(),
        (None, Some(server)) => server.url(),
        (None, None) => unreachable!("without a URL a server was started"),
    };
    let done = Arc::<AtomicU64>::default();
    let setup = Setup::new(options.clone(), url, Arc::clone(&done));
    let (tell, told) = mpsc::channel();
    // On a thread of its own, so that whatever it waits for, this one sees that nothing goes on.
    thread::Builder::new().name("bench".into()).spawn(move || {
        let _ = tell.send(work(&setup));
    })?;
    let quiet = common.json || common.no_progress;
    let progress = Progress::new(options.messages(), "messages", quiet);
    let line = watch(options, &told, &done, &progress);
    progress.finish();
    line
}

/// Shows how far it got until it is done, or nothing goes on any more.
fn watch(
    options: &Options,
    told: &Receiver<Result<Line>>,
    done: &AtomicU64,
    progress: &Progress,
) -> Result<Line> {
    let mut patience = Patience::new(LAST_PATIENCE);
    loop {
        match told.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => return line,
            Err(RecvTimeoutError::Disconnected) => bail!("the benchmark panicked"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let done = done.load(Ordering::Relaxed);
        progress.show(done);
        ensure!(
            !patience.is_over(done, Instant::now()),
            "nothing went on for {} s after {done} of {} messages of `{}`",
            LAST_PATIENCE.as_secs(),
            options.messages(),
            options.work
        );
    }
}

fn work(setup: &Setup) -> Result<Line> {
    match setup.options.work {
        Work::Pub if setup.common().rate.is_some() => paced::run(setup),
        Work::Pub => publish::run(setup),
        Work::Sub => subscribe::run(setup),
        Work::Req => request::run(setup),
        Work::Serve => request::serve(setup),
        Work::Js(JsWork::Pub(PubWork::Sync)) => stored::one_at_a_time(setup),
        Work::Js(JsWork::Pub(PubWork::Async)) => stored::many_at_a_time(setup),
        Work::Js(JsWork::Consume(how)) => consume::run(setup, how),
        Work::Js(JsWork::Fetch) => fetch::run(setup),
        Work::Bus => bus::run(setup),
        Work::Pressure => bail!("it has a report of its own: see `pressure::run`"),
    }
}
