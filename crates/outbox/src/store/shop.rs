//! Databases of PostgreSQL for tests.

use std::sync::atomic::{AtomicU32, Ordering};

use jetlane_testkit::{Fsync, Postgres};
use postgres::{Client, NoTls};

use super::{PostgresStore, Store};
use crate::{Table, schema};

/// A server for the databases of a test.
pub(crate) struct Server {
    postgres: Postgres,
    databases: AtomicU32,
}

/// A database of its own, with the tables of an outbox.
pub(crate) struct Shop {
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let postgres = Postgres::builder().fsync(Fsync::Off).start().unwrap();
        Self { postgres, databases: AtomicU32::new(0) }
    }

    pub(crate) fn shop(&self) -> Shop {
        let name = format!("shop_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let url = self.postgres.url();
        let mut client = Client::connect(&url, NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let shop = Shop { url: format!("{server}/{name}") };
        shop.run(&schema::postgres(&Table::default()));
        shop
    }
}

impl Shop {
    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    pub(crate) fn run(&self, sql: &str) {
        self.connect().batch_execute(sql).unwrap();
    }

    pub(crate) fn store(&self) -> PostgresStore {
        PostgresStore::new(self.connect(), &Table::default()).unwrap()
    }

    pub(crate) fn any_store(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }
}
