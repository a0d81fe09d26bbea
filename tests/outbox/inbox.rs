//! Handlers with an inbox: one effect an event, however often it comes.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetlane::{Envelope, EventBus, Strategy, Subscription, Verdict};
use jetlane_outbox::{Inbox, Seen, Table, schema};
use jetlane_testkit::{Postgres, Server};
use jetlane_tests::{DEADLINE, eventually};
use rusqlite::Connection;

/// A database with an inbox, and a table `effects`.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Box<Postgres>),
}

impl Place {
    fn sqlite() -> Self {
        let place = Self::Sqlite(tempfile::tempdir().unwrap());
        place.run(&schema::inbox_sqlite(&Table::inbox()));
        place.run("CREATE TABLE effects (event TEXT)");
        place
    }

    fn postgres() -> Self {
        let place = Self::Postgres(Box::new(Postgres::start().unwrap()));
        place.run(&schema::inbox_postgres(&Table::inbox()));
        place.run("CREATE TABLE effects (event text)");
        place
    }

    fn connect_sqlite(&self) -> impl Fn() -> rusqlite::Result<Connection> + use<> {
        let Self::Sqlite(folder) = self else { panic!("it is on SQLite") };
        let path = folder.path().join("inbox.db");
        move || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(DEADLINE)?;
            Ok(connection)
        }
    }

    fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => self.connect_sqlite()().unwrap().execute_batch(sql).unwrap(),
            Self::Postgres(server) => client(server).batch_execute(sql).unwrap(),
        }
    }

    fn effects(&self) -> Vec<String> {
        let sql = "SELECT event FROM effects";
        match self {
            Self::Sqlite(_) => {
                let connection = self.connect_sqlite()().unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let rows = statement.query_map([], |row| row.get(0)).unwrap();
                rows.collect::<Result<_, _>>().unwrap()
            }
            Self::Postgres(server) => {
                client(server).query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
            }
        }
    }

    fn count(&self, table: &str) -> usize {
        let sql = format!("SELECT count(*) FROM {table}");
        let count: i64 = match self {
            Self::Sqlite(_) => {
                self.connect_sqlite()().unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
            }
            Self::Postgres(server) => client(server).query_one(&sql, &[]).unwrap().get(0),
        };
        count.try_into().unwrap()
    }

    /// A subscription that notes each event as an effect, and then says of it what `judge` says.
    fn subscribe(
        &self,
        bus: &EventBus,
        seen: Seen,
        judge: impl Fn(&Envelope) -> Verdict + Send + Sync + 'static,
    ) -> Subscription {
        let subscribe = bus.subscribe("billing").retry(PACE, PACE);
        let insert = "INSERT INTO effects VALUES ($1)";
        let topic = "order.changed.*";
        let subscribe = match self {
            Self::Sqlite(_) => {
                let inbox = Inbox::sqlite("billing", self.connect_sqlite()).seen(seen);
                let handler = inbox.handler(
                    move |event: &Envelope, transaction: &mut rusqlite::Transaction<'_>| {
                        transaction.execute(insert, [event.event_id()]).unwrap();
                        judge(event)
                    },
                );
                subscribe.on_raw(topic, handler)
            }
            Self::Postgres(server) => {
                let url = server.url();
                let inbox = Inbox::postgres("billing", move || {
                    postgres::Client::connect(&url, postgres::NoTls)
                });
                let handler = inbox.seen(seen).handler(
                    move |event: &Envelope, transaction: &mut postgres::Transaction<'_>| {
                        transaction.execute(insert, &[&event.event_id()]).unwrap();
                        judge(event)
                    },
                );
                subscribe.on_raw(topic, handler)
            }
        };
        subscribe.start().unwrap()
    }
}

impl Place {
    /// A subscription that notes each event as an effect, several in one transaction, and how many it was given at once.
    fn subscribe_batches(
        &self,
        bus: &EventBus,
        seen: Seen,
        batches: &Arc<Mutex<Vec<usize>>>,
    ) -> Subscription {
        let (topic, most) = ("order.changed.*", NonZeroUsize::new(10).unwrap());
        let insert = "INSERT INTO effects VALUES ($1)";
        let batches = Arc::clone(batches);
        let note = move |events: &[Envelope]| batches.lock().unwrap().push(events.len());
        let subscribe = match self {
            Self::Sqlite(_) => {
                let inbox = Inbox::sqlite("billing", self.connect_sqlite()).seen(seen);
                let handler = inbox.batch_handler(
                    move |events: &[Envelope], transaction: &mut rusqlite::Transaction<'_>| {
                        note(events);
                        for event in events {
                            transaction.execute(insert, [event.event_id()]).unwrap();
                        }
                    },
                );
                bus.subscribe("billing").on_raw_batch(topic, most, handler)
            }
            Self::Postgres(server) => {
                let url = server.url();
                let connect = move || postgres::Client::connect(&url, postgres::NoTls);
                let inbox = Inbox::postgres("billing", connect).seen(seen);
                let handler = inbox.batch_handler(
                    move |events: &[Envelope], transaction: &mut postgres::Transaction<'_>| {
                        note(events);
                        for event in events {
                            transaction.execute(insert, &[&event.event_id()]).unwrap();
                        }
                    },
                );
                bus.subscribe("billing").on_raw_batch(topic, most, handler)
            }
        };
        subscribe.start().unwrap()
    }
}

const PACE: Duration = Duration::from_millis(5);

fn client(server: &Postgres) -> postgres::Client {
    postgres::Client::connect(&server.url(), postgres::NoTls).unwrap()
}

fn bus() -> (Server, EventBus) {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    (server, bus)
}

/// Publishes an event of a key with this id, as if it were new to the stream.
fn publish(bus: &EventBus, key: &str, id: &str) {
    let event = Envelope::new(key, "Changed", "{}").with_event_id(id);
    let headers = event.headers().unwrap();
    let encoded = {
        let mut block = Vec::new();
        jetlane::client::HeaderBlock::encode(&headers, &mut block);
        // The stream would recognise the id of a duplicate: these are about those that it does not.
        String::from_utf8(block).unwrap().replace("Nats-Msg-Id", "Not-Msg-Id")
    };
    let mut headers = jetlane::client::Headers::new();
    for line in encoded.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(name, value).unwrap();
    }
    let subject = format!("order.changed.{key}");
    bus.jetstream().publish_with(&*subject, &headers, event.payload()).unwrap().wait().unwrap();
}

fn both(check: impl Fn(&Place)) {
    check(&Place::sqlite());
    check(&Place::postgres());
}

/// What is told of each event.
fn told() -> (impl Fn(&Envelope) + Send + Sync, Receiver<String>) {
    let (send, told) = channel();
    let send = Mutex::new(send);
    let tell = move |event: &Envelope| {
        let _ = send.lock().unwrap().send(event.event_id().unwrap_or_default().to_owned());
    };
    (tell, told)
}

#[test]
fn an_event_that_is_in_the_stream_twice_has_one_effect() {
    for seen in [Seen::ById, Seen::ByKey] {
        both(|place| {
            let (_server, bus) = bus();
            for (key, id) in [("a", "1"), ("a", "1"), ("b", "2"), ("a", "3"), ("b", "2")] {
                publish(&bus, key, id);
            }
            let _subscription = place.subscribe(&bus, seen, |_| Verdict::Done);
            publish(&bus, "c", "last");
            eventually("all were handled", || (place.count("effects") == 4).then_some(()));
            let mut effects = place.effects();
            effects.sort_unstable();
            assert_eq!(effects, ["1", "2", "3", "last"], "{seen:?}");
        });
    }
}

#[test]
fn what_failed_has_no_effect_until_it_is_done() {
    for seen in [Seen::ById, Seen::ByKey] {
        both(|place| {
            let (_server, bus) = bus();
            let (tell, told) = told();
            let attempts = Arc::<AtomicUsize>::default();
            let counted = Arc::clone(&attempts);
            let _subscription = place.subscribe(&bus, seen, move |event| {
                match (event.event_id(), counted.fetch_add(1, Ordering::Relaxed)) {
                    (Some("rejected"), _) => Verdict::Reject { reason: "no".into() },
                    (_, 0) => Verdict::Retry { after: None, reason: "later".into() },
                    (_, 1) => panic!("handlers do"),
                    _ => {
                        tell(event);
                        Verdict::Done
                    }
                }
            });
            publish(&bus, "a", "1");
            assert_eq!(told.recv_timeout(DEADLINE).unwrap(), "1");
            publish(&bus, "a", "rejected");
            publish(&bus, "a", "2");
            assert_eq!(told.recv_timeout(DEADLINE).unwrap(), "2");
            eventually("both have effects", || (place.count("effects") == 2).then_some(()));
            assert_eq!(place.effects(), ["1", "2"], "{seen:?}");
            assert_eq!(attempts.load(Ordering::Relaxed), 5);
        });
    }
}

#[test]
fn a_key_has_one_row_and_an_id_has_one_until_it_is_pruned() {
    both(|place| {
        let (_server, bus) = bus();
        let subscription = place.subscribe(&bus, Seen::ByKey, |_| Verdict::Done);
        for id in 0..20 {
            publish(&bus, ["a", "b"][id % 2], &id.to_string());
        }
        eventually("all were handled", || (place.count("effects") == 20).then_some(()));
        assert_eq!((place.count("jetlane_inbox_key"), place.count("jetlane_inbox_event")), (2, 0));
        subscription.stop(DEADLINE).unwrap();

        let _subscription = place.subscribe(&bus, Seen::ById, |_| Verdict::Done);
        for id in 20..40 {
            publish(&bus, "a", &id.to_string());
        }
        eventually("all were handled", || (place.count("effects") == 40).then_some(()));
        assert_eq!(place.count("jetlane_inbox_event"), 20);
        let prune = |older_than| match place {
            Place::Sqlite(_) => {
                Inbox::sqlite("billing", place.connect_sqlite()).prune(older_than).unwrap()
            }
            Place::Postgres(server) => {
                let url = server.url();
                let connect = move || postgres::Client::connect(&url, postgres::NoTls);
                Inbox::postgres("billing", connect).prune(older_than).unwrap()
            }
        };
        assert_eq!(prune(Duration::from_secs(3600)), 0);
        let mut pruned = 0;
        eventually("all are older than nothing", || {
            pruned += prune(Duration::ZERO);
            (pruned == 20).then_some(())
        });
    });
}

#[test]
fn a_stream_that_is_made_anew_begins_anew() {
    both(|place| {
        let (_server, bus) = bus();
        for (round, ids) in [["1", "2"], ["3", "4"]].into_iter().enumerate() {
            let subscription = place.subscribe(&bus, Seen::ByKey, |_| Verdict::Done);
            ids.iter().for_each(|id| publish(&bus, "a", id));
            let wanted = 2 * (round + 1);
            eventually("both were handled", || (place.count("effects") == wanted).then_some(()));
            subscription.stop(DEADLINE).unwrap();
            let js = bus.jetstream();
            let stream = js.all_stream_names("order.x").next().unwrap().unwrap();
            js.delete_stream(&stream).wait().unwrap();
            bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
        }
        assert_eq!(place.effects(), ["1", "2", "3", "4"]);
    });
}

/// The events of one key that came together share a transaction, and of those only the new ones are handled.
#[test]
fn a_batch_is_one_transaction_of_what_is_new_in_it() {
    for seen in [Seen::ById, Seen::ByKey] {
        both(|place| {
            let (_server, bus) = bus();
            let batches = Arc::<Mutex<Vec<usize>>>::default();
            let ids: Vec<_> = (0..40).map(|id| id.to_string()).collect();
            ids.iter().for_each(|id| publish(&bus, "a", id));
            let _subscription = place.subscribe_batches(&bus, seen, &batches);
            eventually("all were handled", || (place.count("effects") == 40).then_some(()));
            // The last one again, and new ones behind it.
            for id in ["39", "40", "41"] {
                publish(&bus, "a", id);
            }
            eventually("the new ones were handled", || {
                (place.count("effects") == 42).then_some(())
            });
            let effects = place.effects();
            assert!(effects.iter().map(|id| id.parse::<usize>().unwrap()).eq(0..42), "{seen:?}");
            let batches = batches.lock().unwrap();
            assert_eq!(batches.iter().sum::<usize>(), 42, "{batches:?}");
            assert!(batches.iter().any(|size| *size > 1), "{batches:?}");
        });
    }
}

/// On PostgreSQL the commit of a transaction in which a statement has failed is a rollback.
#[test]
fn a_handler_that_does_not_mind_a_failed_statement_has_not_handled_the_event() {
    let (_server, bus) = bus();
    let place = Place::postgres();
    let Place::Postgres(server) = &place else { return };
    let url = server.url();
    let inbox =
        Inbox::postgres("billing", move || postgres::Client::connect(&url, postgres::NoTls));
    let attempts = AtomicUsize::new(0);
    let handler =
        inbox.handler(move |event: &Envelope, transaction: &mut postgres::Transaction<'_>| {
            transaction.execute("INSERT INTO effects VALUES ($1)", &[&event.event_id()]).unwrap();
            if attempts.fetch_add(1, Ordering::Relaxed) == 0 {
                let _ = transaction.execute("INSERT INTO nowhere VALUES (1)", &[]);
            }
        });
    let subscribe = bus.subscribe("billing").retry(PACE, PACE);
    let _subscription = subscribe.on_raw("order.changed.*", handler).start().unwrap();
    publish(&bus, "a", "1");
    publish(&bus, "a", "2");
    eventually("both have effects", || (place.count("effects") == 2).then_some(()));
    assert_eq!(place.effects(), ["1", "2"]);
}
