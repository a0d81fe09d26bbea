//! `jetlane dlq`, as users run it, on a real nats-server.

use std::num::NonZeroU32;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jetlane::{DeadLetters, Envelope, EventBus, Parking, Strategy, Subscription, Verdict};
use jetlane_testkit::Server;

const DEADLINE: Duration = Duration::from_secs(30);

fn dlq(url: &str, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jetlane"))
        .args(["dlq", "--url", url])
        .args(arguments.split_whitespace())
        .output()
        .expect("the program starts")
}

/// What it printed, if it did well.
fn lines(url: &str, arguments: &str) -> Vec<String> {
    let output = dlq(url, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {said}");
    String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A bus with topics, and a subscription that rejects all while the flag is set.
fn with_letters(server: &Server, parks: bool) -> (EventBus, Subscription, Arc<AtomicBool>) {
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "dead.>", "parked.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let subscribe = bus.subscribe("billing");
    let subscribe = match parks {
        true => subscribe.parking(Parking::to("parked").attempts(NonZeroU32::MIN)),
        false => subscribe.dead_letters(DeadLetters::to("dead").attempts(NonZeroU32::MIN)),
    };
    let handler = move |event: &Envelope| match is_down.load(Relaxed) {
        true => Verdict::Reject { reason: format!("no {}", event.event_type()) },
        false => Verdict::Done,
    };
    let subscription = subscribe.on("order.*", handler).start().unwrap();
    for (n, (key, kind)) in (1..).zip([("a", "Created"), ("b", "Created"), ("a", "Paid")]) {
        bus.publish("order.x", Envelope::new(key, kind, "{}")).unwrap().wait().unwrap();
        // One by one, so that the letters are in this order.
        until("it is given up", || {
            let counts = subscription.counts();
            counts.dead_lettered + counts.parked == n
        });
    }
    (bus, subscription, down)
}

#[test]
fn dead_letters_are_listed_picked_redriven_and_deleted() {
    let server = Server::start().unwrap();
    let url = server.url();
    let (bus, subscription, down) = with_letters(&server, false);
    let all = lines(&url, "list");
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all[3], "3 letters");
    assert!(all.iter().take(3).all(|line| line.contains("dead  billing  order.x")), "{all:?}");
    for (pick, count) in [
        ("--key a", 2),
        ("--reason Paid", 1),
        ("--key b --reason Paid", 0),
        ("--subscription other", 0),
        ("--kind parked", 0),
        ("--since 2999-01-01T00:00:00Z", 0),
        ("--until 2999-01-01T00:00:00Z", 3),
        ("--sequence 2", 1),
    ] {
        let told = lines(&url, &format!("list {pick}"));
        assert_eq!(told.len(), count + 1, "{pick}: {told:?}");
    }
    let json = lines(&url, "list --json --reason Paid");
    let letter: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!(
        (&letter["key"], &letter["payload"], &letter["reason"]),
        (&"a".into(), &"{}".into(), &"no Paid".into())
    );
    down.store(false, Relaxed);
    let dry = lines(&url, "redrive --reason Paid");
    assert_eq!(dry.last().unwrap(), "1 events would be redriven; with --run they are");
    assert_eq!(lines(&url, "list").len(), 4, "a dry run does nothing");
    let run = lines(&url, "redrive --reason Paid --run");
    assert_eq!(run.last().unwrap(), "1 events redriven, 0 parked aggregates");
    until("it is handled", || subscription.counts().handled == 1);
    assert_eq!(
        lines(&url, "delete --key b").last().unwrap(),
        "1 letters would be deleted; with --run they are"
    );
    assert_eq!(lines(&url, "delete --key b --run").last().unwrap(), "1 letters deleted");
    assert_eq!(lines(&url, "list").len(), 2);
    bus.close(DEADLINE).unwrap();
}

#[test]
fn a_parked_aggregate_is_redriven_whole() {
    let server = Server::start().unwrap();
    let url = server.url();
    let (bus, subscription, down) = with_letters(&server, true);
    down.store(false, Relaxed);
    let run = lines(&url, "redrive --subject parked --key a --run");
    assert_eq!(run.last().unwrap(), "2 events redriven, 1 parked aggregates");
    until("they are handled", || subscription.counts().handled == 2);
    until("one is left", || subscription.health().parked_keys == 1);
    bus.close(DEADLINE).unwrap();
}

#[test]
fn what_can_not_be_is_an_error_that_says_whose_fault_it_is() {
    let server = Server::start().unwrap();
    for (url, arguments, expected) in [
        (server.url(), "list", "no stream stores \"dead.>\""),
        (server.url(), "list --since yesterday", "--since"),
        ("nats://user:secret@127.0.0.1:1".into(), "list", "no connection to 127.0.0.1:1"),
    ] {
        let output = dlq(&url, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments}");
        assert!(said.contains(expected) && !said.contains("secret"), "{arguments}: {said}");
    }
}
