//! What a program says of its publishes, held against what the stream has.
//!
//! All of it panics when something fails, as tests do.

use std::collections::{BTreeMap, HashMap, HashSet};

use jetlane_jetstream::{AckPolicy, ConsumerConfig, JetStream};
use serde_json::Value;

use crate::DEADLINE;

/// What publishers know of what they published, by subject and number.
#[derive(Debug, Default)]
pub struct Accounts {
    known: HashMap<(String, u64), Value>,
    /// How many had which outcome.
    pub outcomes: BTreeMap<String, u64>,
}

impl Accounts {
    /// Adds what was published to `subject`: an array of number, outcome and, of what was stored, its sequence. There must be
    /// `expected` of them.
    pub fn add(&mut self, subject: &str, account: &Value, expected: usize) {
        let account = account.as_array().unwrap();
        assert_eq!(account.len(), expected, "{subject}: {account:?}");
        for one in account {
            let number = one[0].as_u64().unwrap();
            *self.outcomes.entry(text(&one[1])).or_default() += 1;
            let before = self.known.insert((subject.to_owned(), number), one.clone());
            assert_eq!(before, None, "told twice");
        }
    }

    /// Reads all of the stream `S`: what is said to be stored stands where it is said to stand, what is said not to be does not, and
    /// nothing stands there twice. Returns how many there are of which it was not known.
    pub fn check(&self, js: &JetStream) -> u64 {
        let last = js.stream_info("S").wait().unwrap().state.last_seq;
        let config = ConsumerConfig::durable("accounts").ack(AckPolicy::None);
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        let (mut seen, mut found, mut unknown) = (HashSet::new(), 0, 0);
        for sequence in 1..=last {
            let message = messages.next_timeout(DEADLINE).expect("all of the stream comes");
            assert_eq!(message.delivery().stream_sequence, sequence);
            let number = std::str::from_utf8(message.payload()).unwrap().trim().parse().unwrap();
            let name = (message.subject().into_owned(), number);
            let known = &self.known[&name];
            match known[1].as_str().unwrap() {
                "stored" => {
                    assert_eq!(known[2].as_u64(), Some(sequence), "{name:?}");
                    found += 1;
                }
                "unknown" => unknown += 1,
                _ => panic!("it is stored: {name:?} {known}"),
            }
            assert!(seen.insert(name.clone()), "it is stored twice: {name:?} {known}");
        }
        let stored = self.outcomes.get("stored").copied().unwrap_or_default();
        assert_eq!(found, stored, "all that is said to be stored is there");
        unknown
    }
}

/// What a JSON string says.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
