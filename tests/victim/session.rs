//! A short life of a client, with all that clients do: connects, subscribes, publishes with acks from two threads, asks, flushes,
//! closes.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jetlane_client::{Client, ConnectOptions, Event, MessageRef, Out, Sink, Tls};
use jetlane_jetstream::{JetStream, JetStreamOptions};
use serde_json::json;

use crate::numbers;

/// No single thing waits longer.
const WAIT: Duration = Duration::from_secs(3);

/// More than a socket takes at once, and TLS in one record: a failure finds some of it sent.
const LARGE: usize = 30_000;

/// In company, all that comes back has to find room in the socket, or no beat would: a socket that is full is said to be empty only
/// by a fault, and nothing would tell that it is not.
const NOT_SO_LARGE: usize = 6000;

/// To close takes that long when the end of the connection is not seen.
const CLOSE: Duration = Duration::from_secs(1);

/// Answers everything on the reactor's thread, so that sinks write, too.
struct Answering(String);

impl Sink for Answering {
    fn message(&mut self, _: &MessageRef<'_>, out: &mut Out<'_>) {
        out.publish(self.0.as_bytes(), b"", b"heard");
    }
}

/// Where somebody publishes all the time.
const BEATS: &str = "beats";

pub fn run(url: &str, run: &str, beats: bool, ca: Option<&str>) {
    let events = Arc::<Mutex<Vec<String>>>::default();
    let mut connect_errors = Vec::new();
    let client = loop {
        match options(&events, ca).connect(url) {
            Ok(client) => break client,
            Err(error) => connect_errors.push(error.to_string()),
        }
        assert!(connect_errors.len() < 5, "{connect_errors:?}");
    };
    let times = JetStreamOptions { publish_timeout: WAIT, ..JetStreamOptions::default() };
    let js = JetStream::with_options(client.clone(), times).unwrap();
    let subject = format!("s.{run}");
    let mut all = client.subscribe(&subject).unwrap();
    let beats = beats.then(|| client.subscription(BEATS).inline(|_| {}).unwrap());
    let answers = client.subscription(&subject).sink(Answering(format!("t.{run}"))).unwrap();
    let large = if beats.is_some() { NOT_SO_LARGE } else { LARGE };
    let other = {
        let (js, subject) = (js.clone(), subject.clone());
        thread::spawn(move || numbers::publish(&js, &subject, 101..105, large, 4))
    };
    let mut account = numbers::publish(&js, &subject, 1..4, 1, 1);
    account.extend(numbers::publish(&js, &subject, 4..7, 1, 3));
    account.extend(other.join().unwrap());
    let request = ask(&client);
    let flush = client.flush().wait().map_err(|error| error.to_string());
    let alive = lives(&client);
    let received: Vec<String> = std::iter::from_fn(|| all.try_next())
        .map(|message| String::from_utf8_lossy(message.payload()).trim().to_owned())
        .collect();
    drop((answers, beats));
    let close = client.close(CLOSE).map_err(|error| error.to_string());
    let seen = json!({
        "connect_errors": connect_errors,
        "account": account,
        "request": said(request),
        "flush": said(flush),
        "alive": alive,
        "received": received,
        "close": said(close),
        "events": *events.lock().unwrap(),
        "reconnects": client.stats().reconnects,
    });
    println!("{seen}");
}

fn options(events: &Arc<Mutex<Vec<String>>>, ca: Option<&str>) -> ConnectOptions {
    let events = Arc::clone(events);
    let options = ConnectOptions::new()
        .connect_timeout(Duration::from_millis(500))
        // Nothing that was missed is to come to light by a PING.
        .ping_interval(Duration::from_secs(3600))
        .reconnect_delay(|_| Duration::from_millis(1))
        // So small that it is often full.
        .socket_buffers(Some(4096), None)
        .on_event(move |event| match event {
            Event::Disconnected { reason, .. } | Event::ConnectFailed { reason, .. } => {
                events.lock().unwrap().push(reason.clone());
            }
            Event::ServerError(error) => events.lock().unwrap().push(error.to_string()),
            _ => {}
        });
    match ca {
        Some(ca) => options.tls(Tls::new().root_certificates(ca)),
        None => options,
    }
}

fn ask(client: &Client) -> Result<(), String> {
    let request = client.request("echo", "x", WAIT).map_err(|error| error.to_string())?;
    request.wait().map(drop).map_err(|error| error.to_string())
}

/// Whether the client works in the end, whatever happened to it.
fn lives(client: &Client) -> bool {
    let started = Instant::now();
    while started.elapsed() < 2 * WAIT {
        if ask(client).is_ok() && client.flush().wait().is_ok() {
            return true;
        }
    }
    false
}

fn said(result: Result<(), String>) -> String {
    result.err().unwrap_or_else(|| "ok".into())
}
