use std::sync::atomic::{AtomicBool, Ordering};

use jetlane::Envelope;
use jetlane_outbox::{Outbox, Table, schema};
use jetlane_testkit::{Fsync, Postgres};
use postgres::{Client, NoTls};

use super::{CONSUMERS, Effect, KEYS, Shop, Written, key};

pub(super) struct PostgresShop {
    server: Postgres,
}

impl PostgresShop {
    pub(super) fn new() -> Self {
        // Only servers are killed here, no machines.
        let server = Postgres::builder().fsync(Fsync::Off).start().unwrap();
        let shop = Self { server };
        let mut client = shop.connect();
        let mut run = |sql: &str| client.batch_execute(sql).unwrap();
        run(&schema::postgres(&Table::default()));
        run(&schema::inbox_postgres(&Table::inbox()));
        run("CREATE TABLE orders (key text PRIMARY KEY, version bigint)");
        (0..KEYS).for_each(|key| run(&format!("INSERT INTO orders VALUES ('order-{key}', 0)")));
        for consumer in CONSUMERS {
            run(&format!(
                "CREATE TABLE effects_{consumer} \
                 (n bigserial PRIMARY KEY, key text, version bigint, event_id text)"
            ));
        }
        shop
    }

    fn connect(&self) -> Client {
        Client::connect(&self.server.url(), NoTls).unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        self.connect().query_one(sql, &[]).unwrap().get(0)
    }
}

impl Shop for PostgresShop {
    fn url(&self) -> String {
        self.server.url()
    }

    fn write(&self, mut random: fastrand::Rng, stop: &AtomicBool) -> Written {
        let (outbox, mut client) = (Outbox::new(), self.connect());
        let mut written = Written::default();
        while !stop.load(Ordering::Relaxed) {
            let mut transaction = client.transaction().unwrap();
            let mut ids = Vec::new();
            let mut keys: Vec<_> = (0..random.usize(1..4)).map(|_| key(&mut random)).collect();
            // Whoever locks several rows locks them in one order.
            keys.sort_unstable();
            for key in keys {
                let sql =
                    "UPDATE orders SET version = version + 1 WHERE key = $1 RETURNING version";
                let version: i64 = transaction.query_one(sql, &[&key]).unwrap().get(0);
                let event = Envelope::new(key, "OrderChanged", version.to_string());
                outbox.add(&mut transaction, "order.changed", &event).unwrap();
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
        let rows = self.connect().query(&sql, &[]).unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }
}
