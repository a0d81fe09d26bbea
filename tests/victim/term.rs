//! A service that ends as it should when it is told to: flushes, closes, and says what became of everything.

use std::thread;
use std::time::Duration;

use jetlane_client::Client;
use jetlane_jetstream::JetStream;
use serde_json::json;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use crate::numbers;

const WAIT: Duration = Duration::from_secs(10);

pub fn run(url: &str, run: &str) {
    let mut signals = Signals::new([SIGTERM]).unwrap();
    let client = Client::connect(url).unwrap();
    let js = JetStream::new(client.clone()).unwrap();
    println!("connected");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    // The server stands still now.
    let subject = format!("s.{run}");
    let tickets: Vec<_> =
        (0..100).map(|n| (n, numbers::publish_one(&js, &subject, n, 100).unwrap())).collect();
    let flush = client.flush();
    let flushing = thread::spawn(move || flush.wait());
    println!("flushing");
    let signal = signals.forever().next().and_then(signal_hook::low_level::signal_name);
    println!("told");
    let flushed = flushing.join().unwrap().map_err(|error| error.to_string());
    let account: Vec<_> =
        tickets.into_iter().map(|(n, ticket)| numbers::outcome(n, ticket)).collect();
    let closed = client.close(WAIT).map_err(|error| error.to_string());
    println!(
        "{}",
        json!({"signal": signal, "flush": flushed.err(), "close": closed.err(), "account": account})
    );
}
