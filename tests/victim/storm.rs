//! Works while signals rain on all its threads.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetlane_client::{Client, ConnectOptions, Event};
use jetlane_jetstream::JetStream;
use serde_json::json;
use signal_hook::consts::SIGALRM;

use crate::numbers;

const WAIT: Duration = Duration::from_secs(20);

/// How many connections do the work, one after the other.
const CONNECTIONS: u64 = 10;

/// Publishes `count` messages with acks, and makes a request for each ten of them.
pub fn run(url: &str, run: &str, count: u64) {
    let alarmed = Arc::<AtomicBool>::default();
    signal_hook::flag::register(SIGALRM, Arc::clone(&alarmed)).unwrap();
    println!("ready");
    let (mut account, mut errors) = (Vec::new(), Vec::new());
    let events = Arc::<Mutex<Vec<String>>>::default();
    let subject = format!("s.{run}");
    let share = count / CONNECTIONS;
    for part in 0..CONNECTIONS {
        let client = match connect(url, &events) {
            Ok(client) => client,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let js = JetStream::new(client.clone()).unwrap();
        let from = part * share;
        account.extend(numbers::publish(&js, &subject, from..from + share, 500, 20));
        for _ in 0..share / 10 {
            let asked = client.request("echo", "x", WAIT).unwrap().wait();
            errors.extend(asked.err().map(|error| error.to_string()));
        }
        errors.extend(client.flush().wait().err().map(|error| error.to_string()));
        errors.extend(client.close(WAIT).err().map(|error| error.to_string()));
    }
    let events = events.lock().unwrap();
    let alarmed = alarmed.load(Relaxed);
    println!(
        "{}",
        json!({"account": account, "errors": errors, "events": *events, "alarmed": alarmed})
    );
}

fn connect(url: &str, events: &Arc<Mutex<Vec<String>>>) -> Result<Client, String> {
    let events = Arc::clone(events);
    let options = ConnectOptions::new().on_event(move |event| {
        if !matches!(event, Event::Connected { .. } | Event::Closed) {
            events.lock().unwrap().push(format!("{event:?}"));
        }
    });
    options.connect(url).map_err(|error| error.to_string())
}
