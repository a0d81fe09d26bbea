//! Dies of the first `SIGPIPE`, as programs do that are not written in Rust.

use std::io::{Write as _, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use jetlane_client::{ConnectOptions, Event, Limits};
use serde_json::json;
use signal_hook::consts::SIGPIPE;

/// Rust's runtime ignores the signal. This undoes it, without `unsafe`: the handler does what the system would do.
fn die_of_sigpipe() {
    signal_hook::flag::register_conditional_default(SIGPIPE, Arc::new(AtomicBool::new(true)))
        .unwrap();
}

/// Writes to a server that cuts the connection, until it was cut so many times.
pub fn run(url: &str, count: u64) {
    die_of_sigpipe();
    let cuts = Arc::<AtomicU64>::default();
    let counter = Arc::clone(&cuts);
    // The less waits for the next connection, the more of them there are.
    let limits =
        Limits { write_queue_bytes: 64 << 10, reconnect_bytes: 64 << 10, ..Limits::default() };
    let client = ConnectOptions::new()
        .limits(limits)
        .reconnect_delay(|_| Duration::ZERO)
        .socket_buffers(Some(4096), None)
        .on_event(move |event| {
            if matches!(event, Event::Disconnected { .. }) {
                counter.fetch_add(1, Relaxed);
            }
        })
        .connect(url)
        .unwrap();
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let (client, cuts) = (client.clone(), Arc::clone(&cuts));
            thread::spawn(move || {
                let mut published = 0u64;
                while cuts.load(Relaxed) < count {
                    published += u64::from(client.publish("x", [0; 1000]).is_ok());
                }
                published
            })
        })
        .collect();
    let published: u64 = publishers.into_iter().map(|thread| thread.join().unwrap()).sum();
    let _ = client.close(Duration::ZERO);
    println!("{}", json!({"cuts": cuts.load(Relaxed), "published": published}));
}

/// Shows that the signal is deadly here.
pub fn break_a_pipe() {
    die_of_sigpipe();
    let (reader, mut writer) = pipe().unwrap();
    drop(reader);
    let result = writer.write_all(b"x");
    println!("{result:?}");
}
