//! The examples, run as users run them: each must end well, and say what it is there to show.

use jetlane_testkit::Example;

/// What it printed, if it ended well.
fn run(name: &str) -> String {
    Example::find(name).and_then(Example::run).unwrap_or_else(|error| panic!("{error}"))
}

fn check(name: &str, expected: &[&str]) {
    let said = run(name);
    for line in expected {
        assert!(
            said.lines().any(|said| said == *line),
            "{name} does not say {line:?}, but\n{said}"
        );
    }
}

#[test]
fn order_service() {
    check("order_service", &["bill order-1", "receipt for order-2: 2", "done"]);
    let said = run("order_service");
    for order in ["order-1", "order-2"] {
        let at = |line: String| said.lines().position(|said| said == line);
        assert!(at(format!("bill {order}")) < at(format!("receipt for {order}: 2")), "{said}");
    }
}

#[test]
fn work_queue() {
    check("work_queue", &["100 tasks done by 2 workers"]);
}

#[test]
fn request_reply() {
    check("request_reply", &["tea costs 3"]);
}

#[test]
fn replay() {
    let expected =
        ["all of it: 10 -3 5", "from the second event on: -3 5", "what comes from now on: "];
    check("replay", &expected);
}

#[test]
fn dead_letters() {
    check(
        "dead_letters",
        &[
            "dead: order-2 (no amount)",
            "parked: order-1 (the bank is down)",
            "charged 7 for order-1",
            "charged 8 for order-1",
            "2 events redriven",
        ],
    );
}

#[test]
#[cfg(feature = "prost")]
fn typed_events() {
    let expected = [
        "order-1 costs 700 cents",
        "order-2 costs 750 cents",
        "order-2 is paid, says Some(\"application/protobuf\")",
        "3 handled, 1 rejected",
    ];
    check("typed_events", &expected);
}

#[test]
#[cfg(unix)]
fn container_shutdown() {
    check("container_shutdown", &["told to end by signal 15", "all that was begun is done"]);
}

#[test]
#[cfg(feature = "memory")]
fn in_memory_test() {
    check("in_memory_test", &["the greeter greets everybody once"]);
}

#[test]
#[cfg(feature = "config")]
fn config_file() {
    let said = run("config_file");
    for expected in [
        "bill order-1",
        "events are kept for 86400s, at most Some(100000)",
        "an event is delivered again after 5s",
        "did you mean",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

/// It serves until it is killed.
#[test]
#[cfg(all(feature = "config", feature = "metrics"))]
fn metrics() {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    const DEADLINE: Duration = Duration::from_secs(60);

    let server = jetlane_testkit::Server::start().expect("a server");
    let example = Example::find("metrics").expect("it is built");
    let example = example.env("JETLANE_EVENTBUS_NATS_URLS", server.url());
    let example = example.env("METRICS_ADDRESS", "127.0.0.1:0");
    let mut running = example.start().expect("it starts");
    let line = running.line().unwrap_or_else(|error| panic!("{error}"));
    let address =
        line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let address = address.expect("an address");
    let get = |path: &str| {
        let mut connection = TcpStream::connect(address).expect("it listens");
        connection.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it takes requests");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("it answers");
        answer
    };
    let deadline = Instant::now() + DEADLINE;
    let handled = "handled";
    let metrics = loop {
        let metrics = get("/metrics");
        let is_done = metrics.lines().any(|line| line.contains(handled) && line.ends_with(" 100"));
        if is_done || Instant::now() >= deadline {
            break metrics;
        }
    };
    let ready = get("/ready");
    drop(running);
    assert!(
        metrics.lines().any(|line| line.contains(handled) && line.ends_with(" 100")),
        "{metrics}"
    );
    assert!(metrics.contains("subscription=\"billing\""), "{metrics}");
    assert!(ready.starts_with("HTTP/1.1 200 OK"), "{ready}");
}
