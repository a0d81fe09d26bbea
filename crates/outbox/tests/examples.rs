//! The examples, run as users run them: each must end well, and say what it is there to show.
#![cfg(any(feature = "sqlite", feature = "postgres"))]

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "sqlite")]
use jetlane_testkit::Server;

/// No example takes longer than this.
const DEADLINE: Duration = Duration::from_secs(60);

/// Cargo builds the examples beside the tests.
fn program(name: &str) -> PathBuf {
    let mut path = env::current_exe().expect("the test has a path");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{path:?} is not built: run all tests of the crate, or `cargo build --examples`"
    );
    path
}

/// What it printed, if it ended well.
fn run(name: &str, arguments: &[String]) -> Vec<String> {
    let mut child = Command::new(program(name))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().expect("it can be waited for").is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!("{name} did not end: {:?}", child.wait_with_output());
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("it has ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
}

/// An order service, on whatever database.
fn order_service(name: &str, arguments: &[String]) {
    let said = run(name, arguments);
    let at = |line: &str| {
        let found = said.iter().position(|said| said.starts_with(line));
        found.unwrap_or_else(|| panic!("{name} does not say {line:?}, but {said:#?}"))
    };
    at("order-1 is placed");
    at("order-2 is not placed: ");
    at("billing: OrderPlaced order-3");
    assert!(at("billing: OrderPlaced order-1") < at("billing: OrderPaid order-1"), "{said:#?}");
    at("0 partitions of the outbox have events that wait");
    at("3 entries in the ledger");
}

#[test]
#[cfg(feature = "postgres")]
fn order_service_postgres() {
    order_service("order_service_postgres", &[]);
}

#[test]
#[cfg(feature = "sqlite")]
fn order_service_sqlite() {
    order_service("order_service_sqlite", &[]);
}

#[test]
#[cfg(feature = "sqlite")]
fn order_service_sqlite_again_and_again_on_one_server() {
    let server = Server::start().expect("a server");
    for _ in 0..2 {
        order_service("order_service_sqlite", &[server.url()]);
    }
}
