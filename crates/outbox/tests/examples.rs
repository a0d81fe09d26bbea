//! The examples, run as users run them: each must end well, and say what it is there to show.
#![cfg(any(feature = "sqlite", feature = "postgres"))]

use jetlane_testkit::Example;
#[cfg(feature = "sqlite")]
use jetlane_testkit::Server;

/// An order service, on whatever database.
fn order_service(name: &str, arguments: &[String]) {
    let example =
        Example::find(name).map(|example| arguments.iter().fold(example, Example::argument));
    let said = example.and_then(Example::run).unwrap_or_else(|error| panic!("{error}"));
    let at = |line: &str| {
        let found = said.lines().position(|said| said.starts_with(line));
        found.unwrap_or_else(|| panic!("{name} does not say {line:?}, but\n{said}"))
    };
    at("order-1 is placed");
    at("order-2 is not placed: ");
    at("billing: OrderPlaced order-3");
    assert!(at("billing: OrderPlaced order-1") < at("billing: OrderPaid order-1"), "{said}");
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
