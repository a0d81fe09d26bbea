//! An order service whose events are published if and only if its transactions are committed, and a billing service that handles each of them
//! once in effect, whatever fails between; on PostgreSQL.
//!
//! Run it with `cargo run -p jetlane-outbox --features postgres --example order_service_postgres`, and with the URL of a nats-server behind
//! `--` if it is to use that one. The PostgreSQL is one of its own, in a temporary folder.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use jetlane::{Envelope, EventBus, Strategy};
use jetlane_outbox::{Database, Inbox, Outbox, Relay, Table, Upkeep, schema};
use jetlane_testkit::{Postgres, Server};
use postgres::{Client, NoTls, Transaction};

/// How long ends may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let server;
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => {
            // A server for this example; yours has an address of its own.
            server = Server::start()?;
            server.url()
        }
    };
    let database = Postgres::start()?;
    let shop = Shop { url: database.url(), outbox: Outbox::new() };
    shop.make_tables()?;

    let bus = EventBus::connect(&url)?;
    bus.topic("order.>").retain(Duration::from_secs(7 * 86_400)).ensure(Strategy::CreateOnly)?;
    // Here it is in the process of the service; it can be one of its own as well, and there can be many.
    let relay = Relay::of(&bus, &shop.outbox, Database::postgres_url(&shop.url)?).start()?;

    let connect = shop.clone();
    let inbox = Inbox::postgres("billing", move || connect.connect());
    bus.subscribe("billing").on_raw("order.*.*", inbox.handler(bill)).start()?;

    for (order, pieces) in [("order-1", 7), ("order-2", 100), ("order-3", 9)] {
        match shop.place(order, pieces) {
            Ok(()) => println!("{order} is placed"),
            Err(error) => println!("{order} is not placed: {error}"),
        }
    }
    shop.pay("order-1")?;

    while inbox.counts().handled < 3 {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    relay.stop(PATIENCE)?;
    bus.close(PATIENCE)?;
    shop.report()
}

/// What happens at an event, in the transaction that also records that it was handled.
fn bill(event: &Envelope, transaction: &mut Transaction<'_>) -> Result<(), Box<dyn Error>> {
    static IS_BANK_DOWN: AtomicBool = AtomicBool::new(true);
    let entry = format!("{} {}", event.event_type(), event.aggregate_id());
    transaction.execute("INSERT INTO ledger (entry) VALUES ($1)", &[&entry])?;
    if IS_BANK_DOWN.swap(false, Relaxed) {
        // It is rolled back and tried again, before later events of this order.
        return Err("the bank is down".into());
    }
    println!("billing: {entry}");
    Ok(())
}

/// The order service, and its database.
#[derive(Clone)]
struct Shop {
    url: String,
    outbox: Outbox,
}

impl Shop {
    fn connect(&self) -> Result<Client, postgres::Error> {
        Client::connect(&self.url, NoTls)
    }

    /// Once, as you make all your tables. `jetlane outbox schema` prints the SQL, too.
    fn make_tables(&self) -> Result<(), postgres::Error> {
        let mut client = self.connect()?;
        client.batch_execute(&schema::postgres(&Table::default()))?;
        client.batch_execute(&schema::inbox_postgres(&Table::inbox()))?;
        client.batch_execute(
            "CREATE TABLE orders (id text PRIMARY KEY, pieces bigint, paid boolean);
             CREATE TABLE stock (pieces bigint CHECK (pieces >= 0));
             INSERT INTO stock VALUES (20);
             CREATE TABLE ledger (n bigserial, entry text)",
        )
    }

    /// The order, its event and what it takes from the stock are there all, or none of them.
    fn place(&self, order: &str, pieces: i64) -> Result<(), Box<dyn Error>> {
        let mut client = self.connect()?;
        let mut transaction = client.transaction()?;
        let sql = "INSERT INTO orders (id, pieces, paid) VALUES ($1, $2, false)";
        transaction.execute(sql, &[&order, &pieces])?;
        let event = Envelope::new(order, "OrderPlaced", format!(r#"{{"pieces":{pieces}}}"#));
        self.outbox.add(&mut transaction, "order.placed", event)?;
        transaction.execute("UPDATE stock SET pieces = pieces - $1", &[&pieces])?;
        transaction.commit()?;
        // Without it the relay would look within a second.
        self.outbox.wake();
        Ok(())
    }

    /// Who changes an order does that first, and so keeps others from it: its events are in the order of what happened to it.
    fn pay(&self, order: &str) -> Result<(), Box<dyn Error>> {
        let mut client = self.connect()?;
        let mut transaction = client.transaction()?;
        transaction.execute("UPDATE orders SET paid = true WHERE id = $1", &[&order])?;
        self.outbox.add(&mut transaction, "order.paid", Envelope::new(order, "OrderPaid", "{}"))?;
        transaction.commit()?;
        self.outbox.wake();
        Ok(())
    }

    fn report(&self) -> Result<(), Box<dyn Error>> {
        let waiting = Upkeep::of(&self.outbox, Database::postgres_url(&self.url)?)?.backlog()?;
        println!("{} partitions of the outbox have events that wait", waiting.len());
        let entries = self.connect()?.query("SELECT entry FROM ledger ORDER BY n", &[])?;
        println!("{} entries in the ledger", entries.len());
        Ok(())
    }
}
