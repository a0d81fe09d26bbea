//! X5: signals, however many and whatever they interrupt.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use jetlane_client::{Client, SinkHandle};
use jetlane_testkit::{Ended, Program, Scripted, Server};
use jetlane_tests::accounts::{Accounts, text};
use jetlane_tests::stream::with_stream;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

/// How many programs are stormed on, one after the other; and how many of them, the first ones, have their calls followed.
const ROUNDS: usize = 12;
const FOLLOWED: usize = 3;

/// Of the signal that a process dies of when it writes to a peer that is gone.
const SIGPIPE: i32 = 13;

fn victim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
    command.args(arguments);
    command
}

/// What it says in its last line. It has ended well, and in time.
fn report(ended: &Ended) -> Value {
    assert!(ended.status.success() && !ended.timed_out, "{ended:?}");
    assert!(!ended.errors.contains("panicked"), "{ended:?}");
    serde_json::from_str(&ended.output).unwrap_or_else(|_| panic!("{ended:?}"))
}

fn answer(server: &Server) -> (Client, SinkHandle) {
    let client = Client::connect(&server.url()).unwrap();
    let replies = client.clone();
    let answers = client.subscription("echo").inline(move |request| {
        let reply = std::str::from_utf8(request.reply().unwrap()).unwrap();
        replies.publish(reply, "x").unwrap();
    });
    client.flush().wait().unwrap();
    (client, answers.unwrap())
}

/// Lets signals rain on all threads until the program has ended. Returns how many there were.
fn storm(mut program: Program) -> (usize, Ended) {
    assert_eq!(program.line().unwrap(), "ready");
    let mut signals = 0;
    while !program.has_ended() {
        signals += program.alarm_threads();
        thread::park_timeout(Duration::from_micros(50));
    }
    (signals, program.wait().unwrap())
}

/// The program that is followed has fewer messages, as each of its calls takes longer; but it is seen what was interrupted.
fn storm_on(command: &mut Command, followed: bool) -> (usize, Ended) {
    #[cfg(target_arch = "x86_64")]
    if followed {
        return storm(Program::start_traced(command, None, LIMIT).unwrap());
    }
    let _ = followed;
    storm(Program::start(command, LIMIT).unwrap())
}

#[test]
fn a_storm_of_signals_on_every_thread_is_noticed_nowhere() {
    let (server, js) = with_stream();
    let answering = answer(&server);
    let (mut accounts, mut signals, mut interrupted) = (Accounts::default(), 0, 0);
    for run in 0..ROUNDS {
        let count = if run < FOLLOWED { 1000 } else { 2000 };
        let mut command = victim(&["storm", &server.url(), &run.to_string(), &count.to_string()]);
        let (more, ended) = storm_on(&mut command, run < FOLLOWED);
        let report = report(&ended);
        assert_eq!((&report["errors"], &report["events"]), (&json!([]), &json!([])), "{report}");
        assert_eq!(report["alarmed"], true);
        accounts.add(&format!("s.{run}"), &report["account"], count);
        signals += more;
        interrupted += interruptions(&ended);
    }
    let published: u64 = accounts.outcomes.values().sum();
    println!(
        "X5: {signals} SIGALRM, in {FOLLOWED} of {ROUNDS} runs {interrupted} times during the poll of the loop: {:?}, 0 errors, 0 losses",
        accounts.outcomes
    );
    assert_eq!(accounts.outcomes["stored"], published);
    assert_eq!(accounts.check(&js), 0);
    #[cfg(target_arch = "x86_64")]
    assert!(interrupted > 0);
    assert!(signals > 1000, "{signals}");
    drop(answering);
}

/// How often a signal has come while the loop asked for events, if that was followed.
fn interruptions(ended: &Ended) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        let polls = (jetlane_testkit::Call::Wait, "jetlane-io".to_owned());
        ended.trace.interrupted.get(&polls).copied().unwrap_or_default()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = ended;
        0
    }
}

#[test]
fn nobody_dies_of_sigpipe_when_connections_are_cut_while_writing() {
    const CUTS: u64 = 300;
    let ended = Program::start(&mut victim(&["broken-pipe"]), LIMIT).unwrap().wait().unwrap();
    assert_eq!(ended.status.signal(), Some(SIGPIPE), "the signal is deadly: {ended:?}");
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    // Ends with the test.
    thread::spawn(move || {
        for cut in 0.. {
            let Ok(mut socket) = peer.accept() else { continue };
            let _ = socket.bytes(5000);
            if cut % 2 == 0 {
                // What is written between the end and the reset would raise it.
                let _ = socket.finish();
            }
            let _ = socket.reset();
        }
    });
    let mut command = victim(&["cuts", &url, &CUTS.to_string()]);
    let report = report(&Program::start(&mut command, LIMIT).unwrap().wait().unwrap());
    println!("X5: cut by RST while writing: {report}, 0 died of SIGPIPE");
    assert!(report["cuts"].as_u64() >= Some(CUTS));
}

#[test]
fn a_service_that_is_told_to_end_while_it_flushes_ends_with_everything_accounted_for() {
    let (server, js) = with_stream();
    let mut accounts = Accounts::default();
    for run in 0..5 {
        let mut command = victim(&["term", &server.url(), &run.to_string()]);
        let mut program = Program::start(&mut command, LIMIT).unwrap();
        assert_eq!(program.line().unwrap(), "connected");
        server.pause();
        program.say("publish").unwrap();
        assert_eq!(program.line().unwrap(), "flushing");
        program.terminate();
        assert_eq!(program.line().unwrap(), "told");
        server.resume();
        let report = report(&program.wait().unwrap());
        assert_eq!(text(&report["signal"]), "SIGTERM");
        assert_eq!((&report["flush"], &report["close"]), (&Value::Null, &Value::Null), "{report}");
        accounts.add(&format!("s.{run}"), &report["account"], 100);
    }
    assert_eq!(accounts.outcomes["stored"], 500);
    assert_eq!(accounts.check(&js), 0);
    println!("X5: SIGTERM during a flush, 5 times: exit 0, {:?}", accounts.outcomes);
}
