//! `jetlane outbox`: the tables of an outbox, what waits in it, what holds it up, and what is kept of it.

mod place;
mod status;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use jetlane_outbox::{DatabaseError, Table, TableError, Upkeep, schema};
use jiff::{Span, SpanRelativeTo};
use serde_json::{Value, json};

use place::{Place, Tables};
use status::Status;

/// Look at an outbox in its database, and mend it.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Print the SQL that makes the tables, for whoever owns the database to run.
    Schema(Schema),
    /// Look whether the tables are there, with all columns that are used.
    Check(At),
    /// Print what waits, the relays and what holds them up, and the keys that are stopped.
    Status {
        #[command(flatten)]
        at: At,
        /// Print what waits by partition, too.
        #[arg(long)]
        by_partition: bool,
    },
    /// Let stopped keys go on, beginning with the event that was refused.
    Retry {
        #[command(flatten)]
        at: At,
        /// This key.
        #[arg(long, required_unless_present = "all", conflicts_with = "all")]
        key: Option<String>,
        /// All that are stopped.
        #[arg(long)]
        all: bool,
    },
    /// Delete what is older from the history of an outbox, or from the ids that an inbox remembers.
    Prune {
        #[command(flatten)]
        at: At,
        /// How old: as 7d, 12h or 30m.
        #[arg(long, value_parser = age, value_name = "AGE")]
        older_than: Duration,
        /// Of the inbox of this subscription: an event that comes again after that age is handled again.
        #[arg(long, value_name = "SUBSCRIPTION")]
        inbox: Option<String>,
    },
}

/// Which tables are to be printed.
#[derive(Debug, Args)]
struct Schema {
    /// For which database.
    #[arg(long, value_enum)]
    database: Dialect,
    /// The table of the outbox. Others have names that begin with it.
    #[arg(long, value_parser = table, default_value_t)]
    table: Table,
    /// The tables of an inbox instead, named after this.
    #[arg(
        long, value_name = "TABLE", value_parser = table, num_args = 0..=1,
        default_missing_value = "jetlane_inbox", conflicts_with = "table"
    )]
    inbox: Option<Table>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dialect {
    Postgres,
    Sqlite,
}

/// Where the tables are.
#[derive(Debug, Args)]
struct At {
    /// The database: sqlite:PATH, or a URL as postgres://user@host/name.
    database: Place,
    /// The table of the outbox, or what the tables of the inbox are named after: jetlane_outbox and jetlane_inbox, if it is not said.
    #[arg(long, value_parser = table)]
    table: Option<Table>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn table(name: &str) -> Result<Table, TableError> {
    Table::new(name)
}

fn age(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    // Nobody has said where on the calendar that is.
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let age = age.map_err(|error| error.to_string())?;
    Duration::try_from(age).map_err(|_| "it is to come".into())
}

/// Does what was asked for.
///
/// # Errors
/// If the database can not be asked, has not the tables, or refuses.
pub fn run(options: &Options) -> Result<()> {
    match &options.work {
        Work::Schema(schema) => Ok(write!(io::stdout().lock(), "{}", schema.sql())?),
        Work::Check(at) => check(at),
        Work::Status { at, by_partition } => status(at, *by_partition),
        Work::Retry { at, key, .. } => retry(at, key.as_deref()),
        Work::Prune { at, older_than, inbox } => prune(at, *older_than, inbox.as_deref()),
    }
}

impl Schema {
    fn sql(&self) -> String {
        match (self.database, &self.inbox) {
            (Dialect::Postgres, None) => schema::postgres(&self.table),
            (Dialect::Postgres, Some(inbox)) => schema::inbox_postgres(inbox),
            (Dialect::Sqlite, None) => schema::sqlite(&self.table),
            (Dialect::Sqlite, Some(inbox)) => schema::inbox_sqlite(inbox),
        }
    }
}

fn check(at: &At) -> Result<()> {
    at.upkeep()?;
    let (database, table) = (&at.database, at.outbox());
    let text = format!("{database} has all tables of the outbox {table}");
    at.say(&text, &json!({ "table": table.to_string(), "is_right": true }))
}

fn status(at: &At, by_partition: bool) -> Result<()> {
    let status = Status::of(&mut at.upkeep()?).map_err(|error| at.failed(&error))?;
    at.say(&status.text(by_partition), &status.json())
}

fn retry(at: &At, key: Option<&str>) -> Result<()> {
    let mut upkeep = at.upkeep()?;
    let keys = match key {
        Some(key) => upkeep.retry(key).map(u64::from),
        None => upkeep.retry_all(),
    };
    let keys = keys.map_err(|error| at.failed(&error))?;
    let text = match key {
        Some(key) if keys == 0 => bail!("{key} is not stopped"),
        Some(key) => format!("{key} goes on"),
        None => format!("{keys} keys go on"),
    };
    at.say(&text, &json!({ "keys": keys }))
}

fn prune(at: &At, older_than: Duration, inbox: Option<&str>) -> Result<()> {
    let rows = match inbox {
        None => at.upkeep()?.prune(older_than).map_err(|error| at.failed(&error))?,
        Some(subscription) => {
            let table = at.table.clone().unwrap_or_else(Table::inbox);
            at.database.prune_inbox(subscription, &table, older_than)?
        }
    };
    at.say(&format!("{rows} rows deleted"), &json!({ "rows": rows }))
}

impl At {
    /// The table of the outbox.
    fn outbox(&self) -> Table {
        self.table.clone().unwrap_or_default()
    }

    fn upkeep(&self) -> Result<Upkeep> {
        self.database.upkeep(&self.outbox())
    }

    fn failed(&self, error: &DatabaseError) -> anyhow::Error {
        self.database.failed(Tables::Outbox(&self.outbox()), error)
    }

    /// Also where nobody reads on: then it ends with an error, as it should, and not with a panic.
    fn say(&self, text: &str, json: &Value) -> Result<()> {
        let mut out = io::stdout().lock();
        match self.json {
            true => writeln!(out, "{json}")?,
            false => writeln!(out, "{text}")?,
        }
        Ok(())
    }
}
