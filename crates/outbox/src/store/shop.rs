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
    pub(crate) table: Table,
}

impl Server {
    pub(crate) fn start() -> Self {
        let postgres = Postgres::builder().fsync(Fsync::Off).start().unwrap();
        Self { postgres, databases: AtomicU32::new(0) }
    }

    pub(crate) fn shop(&self) -> Shop {
        self.shop_with(Table::default())
    }

    /// With a schema `shop`, which nothing is looked for in unless it is named.
    pub(crate) fn shop_with(&self, table: Table) -> Shop {
        let name = format!("shop_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let url = self.postgres.url();
        let mut client = Client::connect(&url, NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let shop = Shop { url: format!("{server}/{name}"), table };
        shop.run("CREATE SCHEMA shop");
        shop.run(&schema::postgres(&shop.table));
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
        PostgresStore::new(self.connect(), &self.table).unwrap()
    }

    pub(crate) fn any_store(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }
}
