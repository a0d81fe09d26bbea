use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use jetlane_outbox::{Database, DatabaseError, Inbox, Outbox, Table, Upkeep};
use rusqlite::ffi::SQLITE_ERROR;
use rusqlite::{Connection, OpenFlags};

/// How long somebody else may write first.
const BUSY: Duration = Duration::from_secs(5);

/// Where a database is, as users say it. What it shows has no password in it.
#[derive(Clone)]
pub(super) enum Place {
    Sqlite(PathBuf),
    /// By a URL, which is never shown: it may have a password anywhere.
    Postgres(String),
    /// Neither of them, and so not shown.
    Unknown,
}

impl From<String> for Place {
    fn from(text: String) -> Self {
        match text.split_once(':') {
            // Others write a URL of it.
            Some(("sqlite", path)) => Self::Sqlite(path.strip_prefix("//").unwrap_or(path).into()),
            Some(("postgres" | "postgresql", _)) => Self::Postgres(text),
            _ => Self::Unknown,
        }
    }
}

/// What is asked for there.
#[derive(Clone, Copy)]
pub(super) enum Tables<'a> {
    Outbox(&'a Table),
    Inbox(&'a Table),
}

impl Place {
    /// Connects to an outbox whose tables are as they have to be. Makes nothing that is not there.
    pub(super) fn upkeep(&self, table: &Table) -> Result<Upkeep> {
        let database = match self {
            Self::Sqlite(path) => Database::sqlite(connect(path)?),
            Self::Postgres(url) => Database::postgres_url(url)?,
            Self::Unknown => return Err(unknown()),
        };
        let upkeep = Upkeep::of(&Outbox::in_table(table.clone()), database);
        let checked = upkeep.and_then(|mut upkeep| upkeep.check().map(|()| upkeep));
        checked.map_err(|error| self.failed(Tables::Outbox(table), &error))
    }

    /// Forgets the ids that an inbox has of events which were handled longer ago than that; how many they were.
    pub(super) fn prune_inbox(
        &self,
        subscription: &str,
        table: &Table,
        older_than: Duration,
    ) -> Result<u64> {
        let pruned = match self {
            Self::Sqlite(path) => {
                let inbox = Inbox::sqlite(subscription, connect(path)?);
                inbox.in_table(table.clone()).prune(older_than)
            }
            Self::Postgres(url) => {
                let url = url.clone();
                let connect = move || postgres::Client::connect(&url, postgres::NoTls);
                Inbox::postgres(subscription, connect).in_table(table.clone()).prune(older_than)
            }
            Self::Unknown => return Err(unknown()),
        };
        pruned.map_err(|error| self.failed(Tables::Inbox(table), &error))
    }

    /// Where it is tables that are missing, and neither the database nor who asks it, it is said how to get them.
    pub(super) fn failed(&self, tables: Tables<'_>, error: &DatabaseError) -> anyhow::Error {
        let dialect = match self {
            Self::Sqlite(_) => "sqlite",
            _ => "postgres",
        };
        match is_about_tables(error) {
            true => anyhow!(
                "{self}: {error}\n`jetlane outbox schema --database {dialect} {tables}` prints the SQL \
                 that makes the tables"
            ),
            false => anyhow!("{self}: {error}"),
        }
    }
}

fn unknown() -> anyhow::Error {
    anyhow!("a database is given as sqlite:PATH, or as postgres://user@host/name")
}

/// Connections to a file that is there: SQLite would make it.
fn connect(
    path: &Path,
) -> Result<impl Fn() -> rusqlite::Result<Connection> + Send + Sync + 'static + use<>> {
    if !path.exists() {
        bail!("there is no file {}", path.display());
    }
    let path = path.to_owned();
    Ok(move || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    })
}

/// Whether what failed is a statement of ours, by naming what is not there.
fn is_about_tables(error: &DatabaseError) -> bool {
    use postgres::error::SqlState;
    let is_missing = |error: &postgres::Error| {
        let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN];
        error.code().is_some_and(|code| missing.contains(code))
    };
    anyhow::Chain::new(error).any(|cause| match cause.downcast_ref() {
        _ if cause.downcast_ref().is_some_and(is_missing) => true,
        Some(rusqlite::Error::SqliteFailure(error, _)) => error.extended_code == SQLITE_ERROR,
        Some(rusqlite::Error::SqlInputError { .. }) => true,
        _ => false,
    })
}

/// As options of `jetlane outbox schema`.
impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outbox(table) => write!(f, "--table {table}"),
            Self::Inbox(table) => write!(f, "--inbox {table}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(_) => f.write_str("the database of PostgreSQL"),
            Self::Unknown => f.write_str("the database"),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
