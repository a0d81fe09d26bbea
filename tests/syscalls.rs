//! X9: system calls that fail, one at a time, each in its turn, in a program that uses the client.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jetlane_client::{Client, ConnectOptions, SinkHandle, Tls};
use jetlane_jetstream::{JetStream, Storage, StreamConfig};
use jetlane_testkit::{Call, Certificates, Ended, Errno, Fault, Flaw, Program, Server};
use jetlane_tests::accounts::{Accounts, text};
use serde_json::{Value, json};

/// How many programs run at the same time: most of what they do is to wait.
const AT_ONCE: usize = 4;

/// By when a program is done, however slow the machine.
const LIMIT: Duration = Duration::from_secs(20);

/// What was missed comes to light two seconds after connecting, when the server sends its first PING.
const STALLED: Duration = Duration::from_millis(1500);

/// How many numbers a program publishes.
const NUMBERS: usize = 10;

/// A server with a stream, somebody who answers requests, and what was seen.
struct Scene {
    server: Server,
    certificates: Option<Certificates>,
    js: JetStream,
    _answers: SinkHandle,
    beating: Option<(Sender<()>, JoinHandle<()>)>,
    runs: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    accounts: Accounts,
    faults: BTreeMap<Call, u64>,
    threads: BTreeMap<String, u64>,
    /// Errors that the user was told, in calls or events.
    told: u64,
    reconnects: u64,
    slowest: Duration,
    sends: u32,
    could_raise_sigpipe: u32,
}

impl Scene {
    fn new(certificates: Option<Certificates>) -> Scene {
        let config = certificates.as_ref().map(|it| it.server_config(Flaw::None, ""));
        let server = Server::builder().config(&config.unwrap_or_default()).start().unwrap();
        let tls = certificates.as_ref().map(|it| Tls::new().root_certificates(it.ca()));
        let options = ConnectOptions::new();
        let options = tls.into_iter().fold(options, ConnectOptions::tls);
        let client = options.connect(&server.url()).unwrap();
        let js = JetStream::new(client.clone()).unwrap();
        let stream = StreamConfig::new("S").subject("s.>").storage(Storage::Memory);
        js.create_stream(&stream).wait().unwrap();
        let answers = answer(&client);
        let (runs, seen) = Default::default();
        let beating = Some(beat(client));
        Scene { server, certificates, js, _answers: answers, beating, runs, seen }
    }

    /// One life of the program, in which one call fails. False if it made no such call.
    fn suffers(&self, fault: Option<Fault>) -> bool {
        let run = self.runs.fetch_add(1, Relaxed).to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
        // A kernel that has said AGAIN tells of it when the socket is ready. One that was made to say so does not, but tells both
        // directions with the next message.
        let beats = fault.is_some_and(|fault| fault.errno == Errno::AGAIN);
        let company = if beats { "beats" } else { "silence" };
        command.args(["session", &self.server.url(), &run, company]);
        command.args(self.certificates.as_ref().map(Certificates::ca));
        let program = Program::start_traced(&mut command, fault, LIMIT).unwrap();
        let ended = program.wait().unwrap();
        let case = format!("run {run}: {fault:?}: {ended:?}");
        assert!(ended.status.success() && !ended.timed_out, "{case}");
        assert!(!ended.errors.contains("panicked"), "{case}");
        let report: Value = serde_json::from_str(&ended.output).expect(&case);
        assert_eq!((&report["alive"], &report["close"]), (&json!(true), &json!("ok")), "{case}");
        let hit = !ended.trace.failed_in.is_empty();
        if !hit || is_nothing(fault) {
            undisturbed(&report, &case);
        }
        if !beats {
            // Whoever was to be told of anything was told at once.
            assert!(ended.took < STALLED, "{case}");
        }
        if let Some(Fault { call: Call::Receive | Call::Send, errno: Errno::AGAIN, .. }) = fault {
            assert_eq!(report["reconnects"], 0, "{case}");
        }
        self.note(&run, fault.filter(|_| hit), &report, &ended);
        hit
    }

    fn note(&self, run: &str, fault: Option<Fault>, report: &Value, ended: &Ended) {
        let mut seen = self.seen.lock().unwrap();
        seen.accounts.add(&format!("s.{run}"), &report["account"], NUMBERS);
        if let Some(fault) = fault {
            *seen.faults.entry(fault.call).or_default() += 1;
        }
        for thread in &ended.trace.failed_in {
            *seen.threads.entry(thread.clone()).or_default() += 1;
        }
        let count = |list: &str| report[list].as_array().unwrap().len() as u64;
        let calls = ["request", "flush"].map(|call| u64::from(report[call] != "ok"));
        seen.told += count("events") + count("connect_errors") + calls.iter().sum::<u64>();
        seen.reconnects += report["reconnects"].as_u64().unwrap();
        seen.slowest = seen.slowest.max(ended.took);
        seen.sends += ended.trace.calls.get(&Call::Send).copied().unwrap_or_default();
        seen.could_raise_sigpipe += ended.trace.could_raise_sigpipe;
    }

    /// Every call of the kind fails with `errno`, each in a life of its own.
    fn sweep(&self, call: Call, errno: Errno) {
        let mut at = 1;
        while self.suffers(Some(Fault::new(call, errno, at))) {
            at += 1;
        }
        assert!(at > 1, "there was no {call:?}");
    }
}

/// Whether the client has to go on as if nothing had happened.
fn is_nothing(fault: Option<Fault>) -> bool {
    fault.is_some_and(|fault| {
        fault.errno == Errno::INTR || matches!(fault.call, Call::Wake | Call::Sleep)
    })
}

/// Nobody was told anything, and everything was done.
fn undisturbed(report: &Value, case: &str) {
    let account = report["account"].as_array().unwrap();
    assert!(account.iter().all(|one| one[1] == "stored"), "{case}");
    assert_eq!((&report["request"], &report["flush"]), (&json!("ok"), &json!("ok")), "{case}");
    assert_eq!((&report["events"], &report["connect_errors"]), (&json!([]), &json!([])), "{case}");
    assert_eq!(report["reconnects"], 0, "{case}");
    let mut received: Vec<u64> = report["received"]
        .as_array()
        .unwrap()
        .iter()
        .map(|number| text(number).parse().unwrap())
        .collect();
    received.sort_unstable();
    assert_eq!(received, [1, 2, 3, 4, 5, 6, 101, 102, 103, 104], "{case}");
}

fn answer(client: &Client) -> SinkHandle {
    let replies = client.clone();
    let answers = client.subscription("echo").inline(move |request| {
        let reply = std::str::from_utf8(request.reply().unwrap()).unwrap();
        replies.publish(reply, "x").unwrap();
    });
    client.flush().wait().unwrap();
    answers.unwrap()
}

/// Publishes all the time, until it is told to end.
fn beat(client: Client) -> (Sender<()>, JoinHandle<()>) {
    let (end, ended) = mpsc::channel();
    let beating = thread::spawn(move || {
        while ended.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
            client.publish("beats", "").unwrap();
        }
    });
    (end, beating)
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some((end, beating)) = self.beating.take() {
            drop(end);
            let _ = beating.join();
        }
    }
}

/// The kinds of calls with the errors that each is to fail with.
fn all_faults() -> Vec<(Call, Errno)> {
    let errors = [Errno::CONNRESET, Errno::PIPE, Errno::NOMEM, Errno::INTR, Errno::AGAIN];
    let calls = [Call::Receive, Call::Send, Call::Wait, Call::Connect, Call::Wake];
    let mut all: Vec<_> =
        calls.into_iter().flat_map(|call| errors.map(|errno| (call, errno))).collect();
    all.extend([(Call::Sleep, Errno::INTR), (Call::Sleep, Errno::AGAIN)]);
    all
}

fn sweep_all(scene: &Scene, faults: Vec<(Call, Errno)>) {
    let faults = Mutex::new(faults);
    let next = || faults.lock().unwrap().pop();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((call, errno)) = next() {
                    scene.sweep(call, errno)
                }
            });
        }
    });
    let seen = scene.seen.lock().unwrap();
    let unknown = seen.accounts.check(&scene.js);
    println!(
        "X9{}: {} runs, calls that failed {:?}, in threads {:?}, errors told {}, reconnects {}, publishes {:?} ({unknown} of the unknown \
         stored), slowest run {:?}, {} sends, {} of them could raise SIGPIPE",
        if scene.certificates.is_some() { " with TLS" } else { "" },
        scene.runs.load(Relaxed),
        seen.faults,
        seen.threads,
        seen.told,
        seen.reconnects,
        seen.accounts.outcomes,
        seen.slowest,
        seen.sends,
        seen.could_raise_sigpipe,
    );
    assert_eq!(seen.could_raise_sigpipe, 0);
}

#[test]
fn whatever_system_call_fails_each_publish_is_accounted_for_and_the_client_lives_on() {
    sweep_all(&Scene::new(None), all_faults());
}

#[test]
fn with_tls_whatever_read_or_write_fails_nothing_is_sent_twice() {
    let scene = Scene::new(Some(Certificates::new().unwrap()));
    let mut faults = all_faults();
    faults.retain(|(call, _)| matches!(call, Call::Receive | Call::Send));
    sweep_all(&scene, faults);
}
