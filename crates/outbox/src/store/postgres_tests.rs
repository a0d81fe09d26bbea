use std::thread;

use super::*;
use crate::Outbox;
use crate::store::shop::{Server, Shop};
use crate::store::suite::{self, Database};

impl Database for Shop {
    fn table(&self) -> &Table {
        &self.table
    }

    fn store_in(&self, table: &Table) -> Box<dyn Store> {
        Box::new(PostgresStore::new(self.connect(), table).unwrap())
    }

    fn add(&self, outbox: &Outbox, events: Vec<suite::Event>) {
        let mut client = self.connect();
        let mut transaction = client.transaction().unwrap();
        outbox.add_all(&mut transaction, events).unwrap();
        transaction.commit().unwrap();
    }
}

#[test]
fn a_store_in_postgres_does_what_stores_do() {
    let server = Server::start();
    suite::run_all(|| server.shop());
}

#[test]
fn a_table_can_be_in_a_schema() {
    let server = Server::start();
    let in_schema = || server.shop_with(Table::new("shop.outbox").unwrap());
    suite::run_all(in_schema);
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'shop'";
    let count: i64 = in_schema().connect().query_one(indexes, &[]).unwrap().get(0);
    // Five primary keys, the ids of events, the times of the history.
    assert_eq!(count, 7);
}

/// What the session says of its settings.
fn settings(client: &mut Client, names: &[&str]) -> Vec<String> {
    let setting = |name: &&str| client.query_one("SELECT current_setting($1)", &[name]);
    names.iter().map(setting).map(|row| row.unwrap().get(0)).collect()
}

#[test]
fn a_session_is_as_the_statements_need_it_whatever_the_database_says() {
    let server = Server::start();
    let shop = server.shop();
    for (database_says, expected) in [("off", "on"), ("local", "local"), ("on", "on")] {
        shop.run(&format!(
            "ALTER ROLE postgres SET default_transaction_isolation = 'serializable'; \
             ALTER ROLE postgres SET synchronous_commit = {database_says}; \
             ALTER ROLE postgres SET jit = on"
        ));
        let mut client = shop.store().client;
        let said = settings(&mut client, &["transaction_isolation", "synchronous_commit"]);
        assert_eq!(said, ["read committed", expected]);
        let switches = ["enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"];
        assert_eq!(settings(&mut client, &switches), ["off"; 4]);
        assert_eq!(settings(&mut client, &["plan_cache_mode"]), ["force_custom_plan"]);
    }
}

#[test]
fn a_statement_that_waits_for_a_lock_is_given_up() {
    let server = Server::start();
    let shop = server.shop();
    let limited = format!("{}?options=-c%20statement_timeout%3D50", shop.url);
    for (url, expected) in
        [(&shop.url, ["30s", "jetlane-outbox"]), (&limited, ["50ms", "jetlane-outbox"])]
    {
        let mut client = connect_postgres(&postgres_config(url).unwrap()).unwrap();
        assert_eq!(settings(&mut client, &["statement_timeout", "application_name"]), expected);
    }
    let mut who = shop.connect();
    let mut locks = who.transaction().unwrap();
    locks.batch_execute("LOCK TABLE jetlane_outbox").unwrap();
    let database = crate::Database::postgres_url(&limited).unwrap();
    let error = database.connect(&shop.table).unwrap().backlog().unwrap_err().to_string();
    let doing = "what waits can not be counted";
    assert_eq!(error, format!("{doing}: ERROR: canceling statement due to statement timeout"));
}

#[test]
fn a_key_is_not_stopped_while_its_partition_is_taken() {
    let server = Server::start();
    let shop = server.shop();
    let mut store = shop.store();
    let seen = store.beat("one", None).unwrap().leases;
    let owned = store.take("one", &seen[12..13]).unwrap()[0];
    let mut who = shop.connect();
    let mut takes = who.transaction().unwrap();
    let take =
        "UPDATE jetlane_outbox_lease SET owner = 'two', epoch = epoch + 1 WHERE partition = 12";
    takes.batch_execute(take).unwrap();
    thread::scope(|scope| {
        let stops = scope.spawn(|| {
            let stop = Stop { owned, key: "a", position: 1, event_id: "x", reason: "late" };
            store.stop("one", &stop)
        });
        let (mut watch, waits) =
            (shop.connect(), "SELECT count(*) FROM pg_locks WHERE NOT granted");
        while !stops.is_finished() && watch.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 0 {}
        takes.commit().unwrap();
        assert!(!stops.join().unwrap().unwrap(), "it was two's when it was stopped");
    });
    assert_eq!(store.stopped().unwrap(), []);
}

#[test]
fn who_takes_or_forgets_waits_for_nobody() {
    let server = Server::start();
    let shop = server.shop();
    let mut store = shop.store();
    store.client.batch_execute("SET lock_timeout = '5s'").unwrap();
    for relay in ["one", "two", "three"] {
        store.beat(relay, None).unwrap();
    }
    let Leases { relays, leases } = store.beat("three", None).unwrap();
    let mut who = shop.connect();
    let mut beats = who.transaction().unwrap();
    let beat = "UPDATE jetlane_outbox_lease SET beat = beat WHERE partition = 3; \
                UPDATE jetlane_outbox_relay SET beat = beat WHERE relay = 'one'";
    beats.batch_execute(beat).unwrap();
    assert_eq!(store.take("three", &leases[3..5]).unwrap(), [Owned { partition: 4, epoch: 1 }]);
    store.forget(&relays).unwrap();
    drop(beats);
    let left = store.beat("three", None).unwrap().relays;
    let left: Vec<_> = left.iter().map(|relay| &*relay.relay).collect();
    assert_eq!(left, ["one", "three"]);
}

#[test]
fn statements_go_along_the_indexes_whatever_the_statistics_say() {
    let server = Server::start();
    let shop = server.shop();
    // They say that there is hardly anything in any partition but one, and no key that is stopped.
    shop.run(
        "INSERT INTO jetlane_outbox (partition, event_id, key, subject, headers, payload) \
         SELECT 63, n, n, 'order.changed', '', repeat('x', 100)::bytea FROM generate_series(1, 20000) AS n; \
         ANALYZE",
    );
    let PostgresStore { mut client, queries, .. } = shop.store();
    let along = "Index Scan using jetlane_outbox_pkey on jetlane_outbox";
    let at = "Index Cond: (\"position\" = ANY (";
    let stopped =
        "Index Only Scan using jetlane_outbox_stopped_pkey on jetlane_outbox_stopped stopped";
    let is_stopped = "Index Cond: (key = waiting.key)";
    // All rows are looked at for those of topics that are held.
    let held = "Seq Scan on jetlane_outbox waiting_1";
    let sent_at = "Index Scan using jetlane_outbox_sent_at on jetlane_outbox_sent";
    let in_history = "Index Scan using jetlane_outbox_sent_pkey on jetlane_outbox_sent";
    for (query, arguments, expected) in [
        (
            &queries.read,
            "('{1,2}', '{7}', 100, '{a}')",
            &[along, "hashed SubPlan", stopped, is_stopped][..],
        ),
        (
            &queries.read_beside,
            "('{1,2}', '{7}', 100, '{a}', '{order}')",
            &[along, "hashed SubPlan", stopped, is_stopped, "HashAggregate", held],
        ),
        (&queries.waiting, "('{1,2}', 0, 100)", &[along]),
        (&queries.sent, "('{1,2,3}', '{a,b,c}')", &[along, at]),
        (&queries.sent_with_history, "('{1,2}', '{a,b}', '{7,8}')", &[along, at]),
        (&queries.prune, "(1, 100)", &[sent_at, in_history, at]),
    ] {
        client.batch_execute(&format!("PREPARE query AS {}", query.sql)).unwrap();
        let explain = format!("EXPLAIN (COSTS OFF) EXECUTE query{arguments}");
        let plan: Vec<String> =
            client.query(&explain, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(expected.iter().all(|part| plan.contains(part)), "{plan}");
        let plan = plan.replace(held, "");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        client.batch_execute("DEALLOCATE query").unwrap();
    }
}
