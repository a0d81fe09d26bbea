//! Numbered publishes, each of which is accounted for.

use std::ops::Range;

use jetlane_jetstream::{JetStream, NotStored, Ticket};
use serde_json::{Value, json};

/// What became of one: its number, and in words what is known of it.
pub type Account = Vec<Value>;

/// Publishes the numbers to `subject`, as many bytes each, so many of them before the first is waited for.
pub fn publish(
    js: &JetStream,
    subject: &str,
    numbers: Range<u64>,
    size: usize,
    burst: usize,
) -> Account {
    let mut account = Account::new();
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(burst) {
        let tickets: Vec<_> = some.iter().map(|n| publish_one(js, subject, *n, size)).collect();
        let outcomes = some.iter().zip(tickets).map(|(n, ticket)| match ticket {
            Ok(ticket) => outcome(*n, ticket),
            Err(error) => json!([n, "refused", error]),
        });
        account.extend(outcomes);
    }
    account
}

pub fn publish_one(js: &JetStream, subject: &str, n: u64, size: usize) -> Result<Ticket, String> {
    js.publish(subject, format!("{n:<size$}")).map_err(|error| error.to_string())
}

/// Waits for what became of it.
pub fn outcome(n: u64, ticket: Ticket) -> Value {
    match ticket.wait() {
        Ok(stored) => json!([n, "stored", stored.sequence]),
        Err(NotStored::Rejected(why)) => json!([n, "rejected", why.to_string()]),
        Err(NotStored::Unknown(why)) => json!([n, "unknown", why.to_string()]),
    }
}
