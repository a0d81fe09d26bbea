//! Everything at once: writers that commit and roll back, relays and consumers that are killed or paused, servers that are killed. At
//! the end every committed event has one effect, in order, and nothing else has.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jetlane::Envelope;
use jetlane_outbox::{Outbox, Table, schema};
use jetlane_testkit::{pause, resume};
use jetlane_tests::eventually;
use rusqlite::Connection;

use crate::service::{PATIENCE, Service};

const KEYS: i64 = 200;
const WRITERS: u64 = 2;
const RELAYS: usize = 3;
const CONSUMERS: [&str; 2] = ["billing", "shipping"];
/// The stream forgets ids after this; relays are paused for longer.
const WINDOW: Duration = Duration::from_millis(500);
const KILLS_OF_RELAYS: usize = 30;
/// Every so many kills of a relay also a server is killed: 10 times. And twice as often a consumer: 20 times.
const SERVER_EVERY: usize = 3;

/// A process, killed when it is dropped.
struct Victim {
    arguments: Vec<String>,
    child: Child,
}

impl Victim {
    fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = spawn(&arguments);
        Self { arguments, child }
    }

    /// `SIGKILL`, and another one.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.arguments);
    }
}

fn spawn(arguments: &[String]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_victim"))
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a writer has done.
#[derive(Default)]
struct Written {
    committed: Vec<String>,
    rolled_back: Vec<String>,
}

fn write(path: &Path, seed: u64, stop: &AtomicBool) -> Written {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut written = Written::default();
    let (outbox, mut connection) = (Outbox::new(), connect(path));
    while !stop.load(Ordering::Relaxed) {
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior).unwrap();
        let mut ids = Vec::new();
        for _ in 0..random.usize(1..4) {
            let key = format!("order-{}", random.i64(0..KEYS));
            let sql = "UPDATE orders SET version = version + 1 WHERE key = ?1 RETURNING version";
            let version: i64 = transaction.query_row(sql, [&key], |row| row.get(0)).unwrap();
            let event = Envelope::new(key, "OrderChanged", version.to_string());
            outbox.add(&transaction, "order.changed", &event).unwrap();
            ids.push(event.event_id().unwrap().to_owned());
        }
        match random.u8(..5) {
            0 => {
                transaction.rollback().unwrap();
                written.rolled_back.append(&mut ids);
            }
            _ => {
                transaction.commit().unwrap();
                written.committed.append(&mut ids);
            }
        }
        // Not faster than it is carried away.
        std::thread::park_timeout(Duration::from_millis(1));
    }
    written
}

/// Does all that can be done to them, a step at a time.
fn torment(service: &mut Service, relays: &mut [Victim], consumers: &mut [Victim]) -> Counts {
    let mut random = fastrand::Rng::with_seed(7);
    let mut counts = Counts::default();
    for step in 0..KILLS_OF_RELAYS {
        let before = count(&service.connect(), "effects_billing");
        eventually("it goes on", || {
            let now = count(&service.connect(), "effects_billing");
            (now > before + random.usize(..100)).then_some(())
        });
        relays[step % RELAYS].kill();
        counts.relays += 1;
        if step % SERVER_EVERY == 0 {
            service.server.kill();
            service.server.restart().unwrap();
            counts.servers += 1;
        } else {
            consumers[step % 2].kill();
            counts.consumers += 1;
        }
        if step % 10 == 5 {
            let relay = &relays[random.usize(..RELAYS)].child;
            pause(relay);
            std::thread::park_timeout(3 * WINDOW);
            resume(relay);
            counts.pauses += 1;
        }
    }
    counts
}

#[derive(Debug, Default)]
struct Counts {
    relays: usize,
    servers: usize,
    consumers: usize,
    pauses: usize,
}

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection
}

fn make_tables(path: &Path) {
    let connection = connect(path);
    connection.execute_batch(&schema::inbox_sqlite(&Table::inbox())).unwrap();
    connection
        .execute_batch("CREATE TABLE orders (key TEXT PRIMARY KEY, version INTEGER)")
        .unwrap();
    for key in 0..KEYS {
        let sql = "INSERT INTO orders VALUES (?1, 0)";
        connection.execute(sql, [format!("order-{key}")]).unwrap();
    }
    for consumer in CONSUMERS {
        let sql = format!(
            "CREATE TABLE effects_{consumer} \
             (n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, version INTEGER, event_id TEXT)"
        );
        connection.execute_batch(&sql).unwrap();
    }
}

fn count(connection: &Connection, table: &str) -> usize {
    let sql = format!("SELECT count(*) FROM {table}");
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

/// What a consumer did, in the order in which it did it.
fn effects(connection: &Connection, consumer: &str) -> Vec<(String, i64, String)> {
    let sql = format!("SELECT key, version, event_id FROM effects_{consumer} ORDER BY n");
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn check(consumer: &str, committed: &HashSet<String>, effects: &[(String, i64, String)]) {
    let ids: HashSet<_> = effects.iter().map(|(_, _, id)| id.clone()).collect();
    let lost = committed.difference(&ids).count();
    let never_committed = ids.difference(committed).count();
    let twice = effects.len() - ids.len();
    let mut last = HashMap::new();
    let mut inversions = 0;
    for (key, version, _) in effects {
        let before = last.insert(key, *version).unwrap_or(0);
        inversions += usize::from(*version != before + 1);
    }
    println!(
        "{consumer}: {} effects, {lost} lost, {twice} twice, {never_committed} of what was never committed, \
         {inversions} inversions",
        effects.len()
    );
    assert_eq!((lost, twice, never_committed, inversions), (0, 0, 0, 0), "{consumer}");
}

#[test]
fn every_committed_event_has_one_effect_in_order_whoever_is_killed() {
    let mut service = Service::with_stream(|topic| topic.duplicate_window(WINDOW));
    let (url, path) = (service.server.url(), service.path());
    make_tables(&path);
    let database = path.to_str().unwrap();
    let mut relays: Vec<_> =
        (0..RELAYS).map(|_| Victim::start(&["relay", &url, database])).collect();
    let consumers = CONSUMERS.map(|name| Victim::start(&["consumer", &url, database, name]));
    let mut consumers = Vec::from(consumers);

    let stop = AtomicBool::new(false);
    let (written, counts) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (path, stop) = (&path, &stop);
                scope.spawn(move || write(path, seed, stop))
            })
            .collect();
        let counts = torment(&mut service, &mut relays, &mut consumers);
        stop.store(true, Ordering::Relaxed);
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        (written, counts)
    });
    let committed: HashSet<_> = written.iter().flat_map(|of| &of.committed).cloned().collect();
    let rolled_back: usize = written.iter().map(|of| of.rolled_back.len()).sum();
    let connection = service.connect();
    eventually("all is carried away", || (service.waiting() == 0).then_some(()));
    for consumer in CONSUMERS {
        let table = format!("effects_{consumer}");
        eventually("all is handled", || {
            (count(&connection, &table) >= committed.len()).then_some(())
        });
    }
    let stored = service.stored();
    let ids: HashSet<_> = stored.iter().map(|(_, id)| id).collect();
    println!(
        "{counts:?}; {} committed, {rolled_back} rolled back, {} in the stream, {} of them twice",
        committed.len(),
        stored.len(),
        stored.len() - ids.len()
    );
    for consumer in CONSUMERS {
        check(consumer, &committed, &effects(&connection, consumer));
    }
    assert_eq!(stored.len(), ids.len(), "not even the stream has one twice");
    drop((relays, consumers));
}
