//! The program as its users run it: `jetlane demo`.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jetlane_testkit::Server;
use serde_json::Value;

/// No run takes longer than this.
const DEADLINE: Duration = Duration::from_secs(120);

/// All that the JSON says. Scripts read it: a change here is a change for them.
const KEYS: [&str; 16] = [
    "published",
    "stored",
    "handled",
    "duplicates",
    "lost",
    "out_of_order",
    "publish_per_s",
    "end_to_end_per_s",
    "publish_call_p50_us",
    "publish_call_p99_us",
    "stored_p50_us",
    "stored_p99_us",
    "handled_p50_us",
    "handled_p99_us",
    "threads",
    "peak_rss_kb",
];

/// Runs `jetlane demo` with these arguments to its end. What it prints fits the pipes.
fn demo(arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_jetlane"))
        .arg("demo")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            panic!("`jetlane demo {}` did not end: {output:?}", arguments.join(" "));
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// The report, from one line of JSON.
fn report(output: &Output) -> Value {
    let stdout = str::from_utf8(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout.matches('\n').count(), 1, "{stdout}");
    assert!(output.stderr.is_empty(), "{output:?}");
    serde_json::from_str(stdout).unwrap()
}

fn check_counts(report: &Value, messages: u64) {
    for (key, expected) in [
        ("published", messages),
        ("stored", messages),
        ("handled", messages),
        ("duplicates", 0),
        ("lost", 0),
        ("out_of_order", 0),
    ] {
        assert_eq!(report[key], expected, "{key} in {report}");
    }
}

#[test]
fn the_json_has_what_is_documented_and_nothing_else() {
    let output = demo(&["--json", "--messages", "5000", "--keys", "50", "--lanes", "2"]);
    let report = report(&output);
    let mut keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = KEYS;
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    check_counts(&report, 5000);
    for key in KEYS.iter().filter(|key| key.ends_with("_per_s") || key.ends_with("_us")) {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key} in {report}");
    }
    for quantity in ["publish_call", "stored", "handled"] {
        let [p50, p99] = ["p50", "p99"].map(|p| report[format!("{quantity}_{p}_us")].as_f64());
        assert!(p50 <= p99, "{quantity} in {report}");
    }
    // The main thread, the one that takes outcomes, the reactor, and the lanes.
    if cfg!(target_os = "linux") {
        let threads = report["threads"].as_u64().unwrap();
        assert!((4..=3 + 2).contains(&threads), "{report}");
        assert!(report["peak_rss_kb"].as_u64().unwrap() > 0, "{report}");
    }
}

#[test]
fn the_demo_runs_on_a_server_that_is_there() {
    let server = Server::start().unwrap();
    for settlement in ["each", "watermark"] {
        let output = demo(&[
            "--json",
            "--messages",
            "2000",
            "--keys",
            "7",
            "--settlement",
            settlement,
            "--url",
            &server.url(),
        ]);
        check_counts(&report(&output), 2000);
    }
}

#[test]
fn without_json_the_summary_is_for_people() {
    let server = Server::start().unwrap();
    let output = demo(&["--messages", "100", "--no-progress", "--url", &server.url()]);
    let stdout = str::from_utf8(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout.starts_with("every event stored once, handled once,"), "{stdout}");
}

#[test]
fn what_can_not_be_run_is_said_on_stderr() {
    // Nobody listens there once the listener is gone.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refusing = format!("nats://127.0.0.1:{port}");
    for (arguments, message) in [
        (["--url", &refusing], "refused the connection"),
        (["--payload", "3"], "--payload must be at least 24"),
        (["--keys", "0"], "--keys must be at least 1"),
    ] {
        let output = demo(&arguments);
        let stderr = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr.starts_with("jetlane: ") && stderr.contains(message), "{stderr}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}
