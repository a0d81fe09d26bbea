//! What an inbox takes for new.

use jetlane::Verdict;

use super::driver::{Claim, Driver, Ended, Seen};
use super::{Inbox, Table};
use crate::schema;

/// An event of the key `a`: its sequence, when it was stored, its id; and whether it is new by key, and by id.
type Given = (i64, i64, &'static str, bool, bool);

const EVENTS: [Given; 9] = [
    (5, 100, "one", true, true),
    (5, 100, "one", false, false),
    (6, 110, "one", false, false),
    // The clock of the server stepped back.
    (7, 40, "two", true, true),
    (5, 100, "one", false, false),
    (8, 50, "three", true, true),
    (7, 40, "two", false, false),
    // The stream was made anew.
    (1, 200, "four", true, true),
    (1, 200, "four", false, false),
];

fn sees_what_is_new<D: Driver>(inbox: Inbox<D>) {
    for seen in [Seen::ByKey, Seen::ById] {
        for (at, (sequence, stored_at, id, by_key, by_id)) in EVENTS.into_iter().enumerate() {
            let claim = Claim {
                subscription: "s",
                seen,
                key: "a",
                sequence,
                stored_at,
                event_id: id.into(),
            };
            let ended = inbox.shared.pool.with(|connection, driver| {
                driver.run(connection, &inbox.table, &[claim], &mut |_, _| Verdict::Done)
            });
            let is_new = matches!(ended.unwrap(), Ended::Committed { new: 1 });
            let expected = if seen == Seen::ByKey { by_key } else { by_id };
            assert_eq!(is_new, expected, "{seen:?} {at} {id}");
        }
    }
}

#[test]
#[cfg(feature = "sqlite")]
fn sqlite_sees_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let schema = schema::inbox_sqlite(&Table::inbox());
    rusqlite::Connection::open(&path).unwrap().execute_batch(&schema).unwrap();
    sees_what_is_new(Inbox::sqlite("s", move || rusqlite::Connection::open(&path)));
}

#[test]
#[cfg(feature = "postgres")]
fn postgres_sees_what_is_new() {
    let server = crate::store::shop::Server::start();
    let shop = server.shop();
    shop.run(&schema::inbox_postgres(&Table::inbox()));
    let url = shop.url;
    sees_what_is_new(Inbox::postgres("s", move || {
        postgres::Client::connect(&url, postgres::NoTls)
    }));
}
