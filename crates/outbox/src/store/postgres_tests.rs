use super::*;
use crate::Outbox;
use crate::store::shop::{Server, Shop};
use crate::store::suite::{self, Database};

impl Database for Shop {
    fn store_in(&self, table: &Table) -> Box<dyn Store> {
        Box::new(PostgresStore::new(self.connect(), table).unwrap())
    }

    fn add(&self, outbox: &Outbox, events: Vec<suite::Event>) {
        let mut client = self.connect();
        let mut transaction = client.transaction().unwrap();
        outbox.add_all(&mut transaction, events).unwrap();
        transaction.commit().unwrap();
    }
}

#[test]
fn a_store_in_postgres_does_what_stores_do() {
    let server = Server::start();
    suite::run_all(|| server.shop());
}
