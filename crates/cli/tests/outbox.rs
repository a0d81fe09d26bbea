//! `jetlane outbox`, as users run it, on a database of SQLite, with a relay and a real nats-server.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use jetlane::{Envelope, EventBus, Strategy};
use jetlane_outbox::{Database, Keep, Outbox, Relay, Table, schema};
use jetlane_testkit::Server;
use rusqlite::Connection;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(30);

/// A database of a service, without tables.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        shop.run("PRAGMA journal_mode = WAL");
        shop
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(DEADLINE).unwrap();
        connection
    }

    fn run(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    fn add(&self, key: &str, payload: Vec<u8>) {
        let event = Envelope::new(key, "OrderChanged", payload);
        Outbox::new().add(&self.connect(), "order.changed", event).unwrap();
    }

    /// `jetlane outbox` with the words of `arguments`, of which `DB` stands for this database.
    fn jetlane(&self, arguments: &str) -> Output {
        let database = format!("sqlite:{}", self.path().display());
        let word = |word: &str| if word == "DB" { database.clone() } else { word.to_owned() };
        Command::new(env!("CARGO_BIN_EXE_jetlane"))
            .current_dir(self.folder.path())
            .arg("outbox")
            .args(arguments.split_whitespace().map(word))
            .output()
            .expect("the program starts")
    }

    /// What it printed, if it did well.
    fn said(&self, arguments: &str) -> String {
        let output = self.jetlane(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.said(&format!("{arguments} --json"))).unwrap()
    }

    /// What it said, if it did not do well.
    fn error(&self, arguments: &str) -> String {
        let output = self.jetlane(arguments);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{arguments}: {printed}");
        assert_eq!(printed, "", "{arguments}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn contains_all(said: &str, expected: &[&str]) {
    for expected in expected {
        assert!(said.contains(expected), "{expected:?} is not in {said:?}");
    }
}

#[test]
fn the_tables_that_are_printed_are_those_that_are_looked_for() {
    let shop = Shop::new();
    for (arguments, name) in [("", "jetlane_outbox"), ("--table shop_outbox", "shop_outbox")] {
        let command = format!("jetlane outbox schema --database sqlite --table {name}");
        let said = shop.error(&format!("check DB {arguments}"));
        contains_all(&said, &[&format!("no such table: {name}\n"), &command, "shop.db"]);
        contains_all(&shop.error(&format!("status DB {arguments}")), &["no such table", &command]);
        shop.run(&shop.said(&format!("schema --database sqlite {arguments}")));
        let said = shop.said(&format!("check DB {arguments}"));
        contains_all(&said, &["shop.db has all tables of the outbox", name]);
    }
    for path in ["sqlite:shop.db", "sqlite://shop.db"] {
        assert_eq!(shop.json(&format!("check {path}"))["is_right"], true);
    }
    shop.run("ALTER TABLE jetlane_outbox_stopped RENAME COLUMN reason TO why");
    contains_all(&shop.error("check DB"), &["no such column: reason", "jetlane outbox schema"]);
    shop.run("DROP TABLE shop_outbox_sent");
    contains_all(&shop.error("check DB --table shop_outbox"), &["no such table: shop_outbox_sent"]);
}

#[test]
fn the_sql_is_that_of_the_library_for_each_database() {
    let shop = Shop::new();
    let named = || Table::new("shop.x").unwrap();
    for (arguments, expected) in [
        ("--database postgres", schema::postgres(&Table::default())),
        ("--database postgres --table shop.x", schema::postgres(&named())),
        ("--database postgres --inbox", schema::inbox_postgres(&Table::inbox())),
        ("--database postgres --inbox shop.x", schema::inbox_postgres(&named())),
        ("--database sqlite", schema::sqlite(&Table::default())),
        ("--inbox --database sqlite", schema::inbox_sqlite(&Table::inbox())),
        ("--inbox shop.x --database sqlite", schema::inbox_sqlite(&named())),
    ] {
        assert_eq!(shop.said(&format!("schema {arguments}")), expected, "{arguments}");
    }
}

#[test]
fn what_waits_and_what_is_stopped_is_told_and_let_go_on() {
    let (shop, server) = (Shop::new(), Server::start().unwrap());
    shop.run(&schema::sqlite(&Table::default()));
    assert_eq!(shop.said("status DB"), "nothing waits\nno relay is there\n");
    assert_eq!(shop.json("status DB")["oldest"], Value::Null);
    for (key, size) in [("order-1", 2000), ("order-1", 1), ("order-2", 1)] {
        shop.add(key, vec![b'x'; size]);
    }
    shop.run("UPDATE jetlane_outbox SET added_at = added_at - 7384000 WHERE key = 'order-1'");
    let told = shop.said("status DB --by-partition");
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 4, "{told}");
    contains_all(lines[0], &["3 events wait, the oldest one for 2h 3m "]);
    let partition = jetlane_outbox::partition("order-1");
    contains_all(&told, &[&format!("partition {partition}: 2, the oldest one for 2h 3m ")]);

    // There is no stream yet.
    let bus = EventBus::connect(&server.url()).unwrap();
    let relay = Relay::of(&bus, &Outbox::new(), Database::sqlite_file(shop.path()))
        .poll(Duration::from_millis(50))
        .lease_time(Duration::from_secs(1))
        .keep(Keep::History)
        .start()
        .unwrap();
    until("what holds it up is told", || {
        let said = shop.said("status DB");
        said.lines().any(|line| line.contains(": 64 partitions, held up: 2 loads wait"))
    });
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    until("the small one is published", || shop.json("status DB")["waiting"] != 3);
    // Nothing was refused but for want of a stream.
    assert_eq!(shop.json("status DB")["stopped"], Value::Array(Vec::new()));
    relay.stop(DEADLINE).unwrap();
    bus.close(DEADLINE).unwrap();
}

/// A shop whose stream takes small events only, and so has refused one of order-1.
fn with_a_stopped_key() -> (Shop, Server, EventBus, Relay) {
    let (shop, server) = (Shop::new(), Server::start().unwrap());
    shop.run(&schema::sqlite(&Table::default()));
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    allow_up_to(&bus, Some(1000));
    for (key, size) in [("order-1", 2000), ("order-1", 1), ("order-2", 1)] {
        shop.add(key, vec![b'x'; size]);
    }
    let relay = Relay::of(&bus, &Outbox::new(), Database::sqlite_file(shop.path()))
        .poll(Duration::from_millis(50))
        .keep(Keep::History)
        .start()
        .unwrap();
    until("order-1 alone waits", || {
        let status = relay.status();
        (status.stopped, status.published) == (1, 1)
    });
    (shop, server, bus, relay)
}

fn allow_up_to(bus: &EventBus, size: Option<u64>) {
    let js = bus.jetstream();
    let name = js.all_stream_names("order.x").next().unwrap().unwrap();
    let mut config = js.stream_info(&name).wait().unwrap().config;
    config.max_msg_size = size;
    js.update_stream(&config).wait().unwrap();
}

#[test]
fn stopped_keys_are_told_let_go_on_and_their_history_is_pruned() {
    let (shop, _server, bus, relay) = with_a_stopped_key();
    let told = shop.said("status DB");
    contains_all(&told, &["2 events wait", "\norder-1 is stopped for ", "2 events wait: ", "size"]);
    let json = shop.json("status DB");
    let stopped = &json["stopped"][0];
    assert_eq!((&json["waiting"], &stopped["waiting"]), (&2.into(), &2.into()));
    assert_eq!(stopped["key"], "order-1");
    assert!(stopped["since"].as_f64().unwrap() < DEADLINE.as_secs_f64(), "{json}");
    assert_eq!(json["relays"][0]["partitions"], 64);
    assert_eq!(json["partitions"].as_array().unwrap().len(), 1);

    contains_all(&shop.error("retry DB --key order-2"), &["order-2 is not stopped"]);
    assert_eq!(shop.said("retry DB --key order-1"), "order-1 goes on\n");
    until("it is refused again", || relay.status().stopped == 2);
    allow_up_to(&bus, None);
    assert_eq!(shop.json("retry DB --all")["keys"], 1);
    until("nothing waits", || shop.json("status DB")["waiting"] == 0);
    assert_eq!(shop.said("retry DB --all"), "0 keys go on\n");
    relay.stop(DEADLINE).unwrap();

    shop.run("UPDATE jetlane_outbox_sent SET sent_at = sent_at - 90000000 WHERE key = 'order-1'");
    assert_eq!(shop.said("prune DB --older-than 2d"), "0 rows deleted\n");
    assert_eq!(shop.json("prune DB --older-than 1d")["rows"], 2);
    bus.close(DEADLINE).unwrap();
}

#[test]
fn an_event_that_is_given_up_is_deleted_by_hand_and_its_key_goes_on() {
    let (shop, _server, bus, relay) = with_a_stopped_key();
    let json = shop.json("status DB");
    let event_id = json["stopped"][0]["event_id"].as_str().unwrap();
    shop.run(&format!("DELETE FROM jetlane_outbox WHERE event_id = '{event_id}'"));
    shop.said("retry DB --key order-1");
    until("the other one is published", || relay.status().published == 2);
    assert!(shop.said("status DB").starts_with("nothing waits\n"));
    relay.stop(DEADLINE).unwrap();
    bus.close(DEADLINE).unwrap();
}

#[test]
fn of_an_inbox_the_ids_of_one_subscription_are_forgotten_by_age() {
    let shop = Shop::new();
    let said = shop.error("prune DB --older-than 7d --inbox billing");
    let command = "jetlane outbox schema --database sqlite --inbox jetlane_inbox`";
    contains_all(&said, &["no such table: jetlane_inbox_event", command]);
    for inbox in ["", "shop_inbox"] {
        shop.run(&shop.said(&format!("schema --database sqlite --inbox {inbox}")));
        let table = if inbox.is_empty() { "jetlane_inbox" } else { inbox };
        for (subscription, days) in [("billing", 8), ("billing", 6), ("shipping", 8)] {
            shop.run(&format!(
                "INSERT INTO {table}_event VALUES ('{subscription}', 'id-{days}', \
                 (unixepoch() - {days} * 86400) * 1000)"
            ));
        }
    }
    assert_eq!(shop.said("prune DB --older-than 7d --inbox billing"), "1 rows deleted\n");
    assert_eq!(shop.said("prune DB --older-than 7d --inbox billing"), "0 rows deleted\n");
    let of_another = "prune DB --older-than 1w --inbox shipping --table shop_inbox";
    for rows in [1, 0] {
        assert_eq!(shop.json(of_another)["rows"], rows);
    }
    assert_eq!(shop.json("prune DB --older-than 7d --inbox shipping")["rows"], 1);
}

#[test]
fn what_can_not_be_is_an_error_that_says_whose_fault_it_is() {
    let shop = Shop::new();
    let folder = shop.folder.path().display().to_string();
    let no_database = format!("{folder}/text");
    std::fs::write(&no_database, "this is no database, but a text that is longer than its header")
        .unwrap();
    let secret = "postgres://user:secret@127.0.0.1/shop";
    for (arguments, expected) in [
        (&*format!("status sqlite:{folder}/none"), "there is no file"),
        (&*format!("check sqlite://{folder}/none"), "there is no file"),
        (&*format!("prune sqlite:{folder}/none --older-than 1d --inbox x"), "there is no file"),
        (&*format!("check sqlite:{no_database}"), "not a database"),
        (&*format!("status {secret}"), "PostgreSQL"),
        (&*format!("prune {secret} --older-than 1d --inbox x"), "PostgreSQL"),
        ("status postgress://user:secret@127.0.0.1/shop", "sqlite:PATH"),
        ("status secret.db", "sqlite:PATH"),
        ("check DB --table x;y", "no name of a table"),
        ("schema --database oracle", "postgres, sqlite"),
        ("schema", "--database"),
        ("schema --database sqlite --table x --inbox", "cannot be used with"),
        ("retry DB", "--key"),
        ("retry DB --all --key x", "cannot be used with"),
        ("prune DB --older-than 7", "unit"),
        ("prune DB --older-than 1mo", "month"),
        ("prune DB --older-than=-7d", "it is to come"),
    ] {
        let said = shop.error(arguments);
        assert!(said.contains(expected), "{arguments}: {said}");
        assert!(!said.contains("secret"), "{arguments}: {said}");
        assert!(!said.contains("prints the SQL"), "{arguments}: {said}");
    }
    assert!(!PathBuf::from(format!("{folder}/none")).exists());
}
