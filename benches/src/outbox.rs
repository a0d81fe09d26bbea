//! What an outbox costs: events committed to a database and brought to their stream, beside the plain bus in the same run.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use jetlane::jetstream::Storage;
use jetlane::{Envelope, EventBus, Strategy};
use jetlane_outbox::{Busy, Database, Outbox, Relay, Table, schema};
use jetlane_testkit::{Postgres, Server};

const TOPIC: &str = "outbox.changed";
const KEYS: usize = 1000;
const PAYLOAD: usize = 128;
const PATIENCE: Duration = Duration::from_secs(300);

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Events a run in transactions of 100; a fifth of it in those of 10, and a fiftieth one by one.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Runs of each; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Where events are committed.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Box<Postgres>),
}

impl Place {
    fn database(&self) -> Result<Database> {
        Ok(match self {
            Self::Sqlite(_) => Database::sqlite(self.sqlite()),
            Self::Postgres(server) => Database::postgres_url(&server.url())?,
        })
    }

    fn sqlite(&self) -> impl Fn() -> rusqlite::Result<rusqlite::Connection> + use<> {
        let path = match self {
            Self::Sqlite(folder) => folder.path().join("outbox.db"),
            Self::Postgres(_) => PathBuf::new(),
        };
        move || {
            let connection = rusqlite::Connection::open(&path)?;
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            Ok(connection)
        }
    }

    fn make_tables(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => {
                let connection = self.sqlite()()?;
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.execute_batch(&schema::sqlite(&Table::default()))?;
            }
            Self::Postgres(server) => {
                let mut client = postgres::Client::connect(&server.url(), postgres::NoTls)?;
                client.batch_execute(&schema::postgres(&Table::default()))?;
            }
        }
        Ok(())
    }

    /// Commits so many events, so many at a time.
    fn write(&self, outbox: &Outbox, events: usize, at_once: usize) -> Result<()> {
        let body = Bytes::from(vec![b'x'; PAYLOAD]);
        let event = |n: usize| (TOPIC, Envelope::new(key(n), "OrderChanged", body.clone()));
        match self {
            Self::Sqlite(_) => {
                let mut connection = self.sqlite()()?;
                for first in (0..events).step_by(at_once) {
                    let transaction = connection.transaction()?;
                    outbox.add_all(&transaction, (first..first + at_once).map(event))?;
                    transaction.commit()?;
                    outbox.wake();
                }
            }
            Self::Postgres(server) => {
                let mut client = postgres::Client::connect(&server.url(), postgres::NoTls)?;
                for first in (0..events).step_by(at_once) {
                    let mut transaction = client.transaction()?;
                    outbox.add_all(&mut transaction, (first..first + at_once).map(event))?;
                    transaction.commit()?;
                    outbox.wake();
                }
            }
        }
        Ok(())
    }
}

fn key(n: usize) -> String {
    format!("order-{}", n % KEYS)
}

/// Prints events a second: committed and nothing else, brought to the stream and nothing else, both at once; and the plain bus.
///
/// # Errors
/// If a server can not be started, or something gets lost.
pub fn run(options: &Options) -> Result<()> {
    let server = Server::start().context("no nats-server could be started")?;
    println!(
        "| database | events a commit | committed /s | carried /s | committed and stored /s | of the relay's time |\n|---|---:|---:|---:|---:|---|"
    );
    for name in ["SQLite", "PostgreSQL"] {
        for (at_once, share) in [(1, 50), (10, 5), (100, 1)] {
            let events = options.events / share / at_once * at_once;
            let mut runs = Vec::new();
            for _ in 0..options.runs {
                runs.push(measure(&server, name, events, at_once)?);
            }
            runs.sort_by(|one, next| one.both.total_cmp(&next.both));
            let Run { committed, carried, both, busy } = &runs[runs.len() / 2];
            println!("| {name} | {at_once} | {committed:.0} | {carried:.0} | {both:.0} | {busy} |");
        }
    }
    let per_s = plain(&server, options.events)?;
    println!("\nThe plain bus, no database: {per_s:.0} events a second published and stored.");
    Ok(())
}

struct Run {
    committed: f64,
    carried: f64,
    both: f64,
    busy: String,
}

fn measure(server: &Server, name: &str, events: usize, at_once: usize) -> Result<Run> {
    let place = match name {
        "SQLite" => Place::Sqlite(tempfile::tempdir()?),
        _ => Place::Postgres(Box::new(Postgres::start().context("no PostgreSQL")?)),
    };
    place.make_tables()?;
    let bus = empty(server)?;
    let outbox = Outbox::new();

    let begun = Instant::now();
    place.write(&outbox, events, at_once)?;
    let committed = per_s(events, begun);

    let begun = Instant::now();
    let (relay, busy) = carry(&bus, &outbox, &place, events)?;
    let carried = per_s(events, begun);
    relay.stop(PATIENCE)?;

    let bus = empty(server)?;
    let relay = Relay::of(&bus, &outbox, place.database()?).start()?;
    until(|| relay.status().partitions == 64)?;
    let begun = Instant::now();
    thread::scope(|scope| {
        let writer = scope.spawn(|| place.write(&outbox, events, at_once));
        let carried = until(|| relay.status().published >= events as u64);
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        carried
    })?;
    let both = per_s(events, begun);
    relay.stop(PATIENCE)?;
    check(&bus, events)?;
    Ok(Run { committed, carried, both, busy: shares(&busy) })
}

fn carry(bus: &EventBus, outbox: &Outbox, place: &Place, events: usize) -> Result<(Relay, Busy)> {
    let relay = Relay::of(bus, outbox, place.database()?).start()?;
    until(|| relay.status().published >= events as u64)?;
    let busy = relay.status().busy;
    Ok((relay, busy))
}

fn shares(busy: &Busy) -> String {
    let Busy { leases, recovering, reading, publishing, taking_out, looking_up, .. } = busy;
    let all = [
        ("leases", leases),
        ("recovery", recovering),
        ("reading", reading),
        ("publishing", publishing),
        ("taking out", taking_out),
        ("looking up", looking_up),
    ];
    let parts = all.iter().filter(|(_, time)| time.as_millis() > 0);
    parts
        .map(|(what, time)| format!("{what} {} ms", time.as_millis()))
        .collect::<Vec<_>>()
        .join(", ")
}

fn plain(server: &Server, events: usize) -> Result<f64> {
    let bus = empty(server)?;
    let body = Bytes::from(vec![b'x'; PAYLOAD]);
    let begun = Instant::now();
    let mut tickets = std::collections::VecDeque::new();
    for n in 0..events {
        let topic = format!("{TOPIC}.{}", key(n));
        let event = Envelope::new(key(n), "OrderChanged", body.clone());
        tickets.push_back(bus.publish(&*topic, event)?);
        if tickets.len() > 4096
            && let Some(ticket) = tickets.pop_front()
        {
            ticket.wait()?;
        }
    }
    tickets.into_iter().try_for_each(|ticket| ticket.wait().map(drop))?;
    check(&bus, events)?;
    Ok(per_s(events, begun))
}

fn empty(server: &Server) -> Result<EventBus> {
    let bus = EventBus::connect(&server.url())?;
    let _ = bus.jetstream().delete_stream("OUTBOX").wait();
    let topic = bus.topic("outbox.>").stream("OUTBOX").storage(Storage::File);
    topic.ensure(Strategy::CreateOnly)?;
    Ok(bus)
}

fn check(bus: &EventBus, events: usize) -> Result<()> {
    let stored = bus.jetstream().stream_info("OUTBOX").wait()?.state.messages;
    ensure!(stored == events as u64, "{stored} of {events} events are in the stream");
    Ok(())
}

fn until(is_so: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        ensure!(Instant::now() < deadline, "that takes too long");
        thread::park_timeout(Duration::from_millis(1));
    }
    Ok(())
}

fn per_s(events: usize, begun: Instant) -> f64 {
    events as f64 / begun.elapsed().as_secs_f64()
}
