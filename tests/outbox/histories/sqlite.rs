use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use jetlane::Envelope;
use jetlane_outbox::{Outbox, Table, schema};
use rusqlite::{Connection, TransactionBehavior};

use super::{CONSUMERS, Effect, KEYS, Shop, Written, key};
use crate::service::PATIENCE;

pub(super) struct SqliteShop {
    folder: tempfile::TempDir,
}

impl SqliteShop {
    pub(super) fn new() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        let connection = shop.connect();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        let run = |sql: &str| connection.execute_batch(sql).unwrap();
        run(&schema::sqlite(&Table::default()));
        run(&schema::inbox_sqlite(&Table::inbox()));
        run("CREATE TABLE orders (key TEXT PRIMARY KEY, version INTEGER)");
        (0..KEYS).for_each(|key| run(&format!("INSERT INTO orders VALUES ('order-{key}', 0)")));
        for consumer in CONSUMERS {
            run(&format!(
                "CREATE TABLE effects_{consumer} \
                 (n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, version INTEGER, event_id TEXT)"
            ));
        }
        shop
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        // Only processes are killed here, no machines.
        connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
        connection
    }

    fn number(&self, sql: &str) -> i64 {
        self.connect().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Shop for SqliteShop {
    fn url(&self) -> String {
        self.path().to_str().unwrap().into()
    }

    fn write(&self, mut random: fastrand::Rng, stop: &AtomicBool) -> Written {
        let (outbox, mut connection) = (Outbox::new(), self.connect());
        let mut written = Written::default();
        while !stop.load(Ordering::Relaxed) {
            let behavior = TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(behavior).unwrap();
            let mut ids = Vec::new();
            for _ in 0..random.usize(1..4) {
                let key = key(&mut random);
                let sql =
                    "UPDATE orders SET version = version + 1 WHERE key = ?1 RETURNING version";
                let version: i64 = transaction.query_row(sql, [&key], |row| row.get(0)).unwrap();
                let event = Envelope::new(key, "OrderChanged", version.to_string());
                outbox.add(&transaction, "order.changed", &event).unwrap();
                ids.push(event.event_id().unwrap().to_owned());
            }
            let is_committed = random.u8(..5) > 0;
            match is_committed {
                true => transaction.commit().unwrap(),
                false => transaction.rollback().unwrap(),
            }
            written.note(is_committed, ids);
        }
        written
    }

    fn waiting(&self) -> i64 {
        self.number("SELECT count(*) FROM jetlane_outbox")
    }

    fn count(&self, consumer: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM effects_{consumer}"))
    }

    fn effects(&self, consumer: &str) -> Vec<Effect> {
        let sql = format!("SELECT key, version, event_id FROM effects_{consumer} ORDER BY n");
        let connection = self.connect();
        let mut statement = connection.prepare(&sql).unwrap();
        let effect = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        statement.query_map([], effect).unwrap().collect::<Result<_, _>>().unwrap()
    }
}
