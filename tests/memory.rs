//! How much memory peers can make us use: of all threads of this process, counted by its allocator and by the system. A test binary of
//! its own with one test in it, so that nothing else is counted.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jetlane_client::{Client, ConnectOptions, Limits, Overflow, PublishError, State, Subscription};
use jetlane_testkit::{Scripted, Server};
use jetlane_tests::{DEADLINE, eventually};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes that are allocated now.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A size that the system tells of this process, in bytes.
fn of_process(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * KIB
}

/// By how much the memory of this process grew at most while `work` was done.
fn peak(work: impl FnOnce()) -> usize {
    // Has the system forget the highest so far.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = of_process("VmRSS");
    work();
    of_process("VmHWM").saturating_sub(before)
}

fn hasty() -> ConnectOptions {
    ConnectOptions::new().reconnect_delay(|_| Duration::from_micros(200))
}

#[test]
fn no_peer_makes_us_use_more_memory_than_our_limits_say() {
    // Whatever is allocated once.
    let server = Server::builder().without_jetstream().start().unwrap();
    Client::connect(&server.url()).unwrap().flush().wait().unwrap();
    lines_and_headers();
    a_server_that_stands_still();
    no_server();
    for overflow in
        [Overflow::DropNewest, Overflow::DropOldest, Overflow::Conflate, Overflow::Block]
    {
        slow_reader(overflow, 20_000, 100, 1000, 16 * MIB);
        slow_reader(overflow, 20_000, 100, 1 << 20, 200 * KIB);
        slow_reader(overflow, 40, MIB - KIB, 1000, 4 * MIB);
    }
    conflated_subjects_of_very_different_age();
    a_slow_subscription_among_others();
    kept_messages();
}

/// P2, P4, C12.
fn lines_and_headers() {
    let chunk = vec![b'x'; MIB];
    let info = Scripted::INFO.trim_end_matches('}');
    let urls: Vec<_> = (0..40_000).map(|n| format!("\"10.0.{}.{}:1\"", n >> 8, n & 255)).collect();
    let urls = format!("INFO {info},\"connect_urls\":[{}]}} \r\n", urls.join(","));
    let headers = |headers: &str| {
        let block = format!("NATS/1.0\r\n{headers}\r\n");
        format!("HMSG a 1 {0} {0}\r\n{block}\r\n", block.len())
    };
    let table = [
        ("128 MiB without a line end", "MSG a 1 ".to_owned(), 128, 4 * MIB),
        ("128 MiB of an INFO without an end", "INFO {\"x\":\"".to_owned(), 128, 8 * MIB),
        ("3 GB claimed, 128 MiB sent", "MSG a 1 3000000000\r\n".to_owned(), 128, 4 * MIB),
        ("40 000 connect_urls", urls, 0, 16 * MIB),
        ("60 000 headers", headers(&"K: v\r\n".repeat(60_000)), 0, 4 * MIB),
        ("a header of 1 MiB", headers(&format!("K: {}\r\n", "v".repeat(MIB))), 0, 8 * MIB),
    ];
    for (what, says, chunks, most) in table {
        let peer = Scripted::start().unwrap();
        let client = {
            let url = peer.url();
            let connecting = std::thread::spawn(move || hasty().connect(&url).unwrap());
            let mut socket = peer.accept().unwrap();
            let client = connecting.join().unwrap();
            let mut all = client.subscribe("a").unwrap();
            socket.line_starting("SUB").unwrap();
            let grown = peak(|| {
                let sent = socket.send(&says);
                if chunks > 0 {
                    let _ = (0..chunks).take_while(|_| socket.send(&chunk).is_ok()).count();
                } else {
                    sent.unwrap();
                    socket.send("MSG a 1 4\r\nlast\r\n").unwrap();
                    let mut count = 0;
                    while all.next_timeout(DEADLINE).expect(what).payload() != b"last" {
                        count += 1;
                    }
                    assert_eq!(count, usize::from(says.starts_with('H')));
                }
            });
            println!("P4: {what}: peak RSS + {} KiB", grown / KIB);
            assert!(grown <= most, "{what}: {grown}");
            client
        };
        let _ = client.close(Duration::ZERO);
    }
}

/// How long a server stands still: shorter than the figure in docs/RELIABILITY.md, unless JETLANE_STILL_SECONDS says how long.
fn still() -> Duration {
    let seconds = std::env::var("JETLANE_STILL_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(Duration::from_millis(500), Duration::from_secs)
}

/// M1.
fn a_server_that_stands_still() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let still = still();
    // It is not to be given up, which would be another case.
    let client = ConnectOptions::new().ping_interval(still * 2).connect(&server.url()).unwrap();
    let witness = ConnectOptions::new().ping_interval(still * 2).connect(&server.url()).unwrap();
    let arrived = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&arrived);
    let _counting = witness.subscription("a").inline(move |_| _ = count.fetch_add(1, Relaxed));
    client.flush().wait().unwrap();
    witness.flush().wait().unwrap();
    server.pause();
    let payload = [0; 1000];
    let (mut accepted, mut full, before, mut most) = (0usize, 0, live(), 0);
    let started = Instant::now();
    while started.elapsed() < still {
        match client.try_publish("a", payload) {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert_eq!(error, PublishError::Full);
                full += 1;
                std::thread::park_timeout(Duration::from_micros(100));
            }
        }
        most = most.max(live().saturating_sub(before));
    }
    let stood = started.elapsed();
    let written = usize::try_from(client.stats().bytes_out).unwrap();
    let queued = accepted * 1000 - written.min(accepted * 1000);
    server.resume();
    let flushed = client.flush().wait();
    eventually("all that was accepted arrives", || {
        (arrived.load(Relaxed) >= accepted || client.stats().reconnects > 0).then_some(())
    });
    println!(
        "M1: server stopped for {stood:?}: {accepted} of 1000 bytes accepted, {full} refused as full, {} KiB queued here, heap + {} KiB, {} arrived",
        queued / KIB,
        most / KIB,
        arrived.load(Relaxed)
    );
    assert!(full > 0, "it was never full");
    assert!(queued <= 3 * Limits::default().write_queue_bytes, "{queued} bytes are queued");
    assert!(most <= 2 * MIB, "the heap grew by {most} bytes");
    assert_eq!((flushed, client.stats().reconnects), (Ok(()), 0));
    assert_eq!(arrived.load(Relaxed), accepted, "all that was accepted has arrived");
}

/// M1.
fn no_server() {
    let mut server = Server::builder().without_jetstream().start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    client.flush().wait().unwrap();
    server.kill();
    eventually("noticed", || (client.state() == State::Reconnecting).then_some(()));
    let before = live();
    let accepted = std::iter::from_fn(|| client.try_publish("a", [0; 1000]).ok()).count();
    let grown = live().saturating_sub(before);
    println!(
        "M1: no server: {accepted} of 1000 bytes accepted, heap + {} KiB, then full",
        grown / KIB
    );
    let limit = Limits::default().reconnect_bytes;
    assert!(
        (limit - 64 * KIB..=limit)
            .contains(&(accepted * "PUB a 1000\r\n\r\n".len() + accepted * 1000)),
        "{accepted} were accepted, for {limit} bytes"
    );
    assert!(grown <= 2 * limit + MIB, "the heap grew by {grown} bytes");
    let _ = client.close(Duration::ZERO);
}

/// M2: nobody reads while `count` messages of `size` bytes come.
fn slow_reader(overflow: Overflow, count: usize, size: usize, messages: usize, bytes: usize) {
    let server = Server::builder().without_jetstream().start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let publisher = Client::connect(&server.url()).unwrap();
    let slow = client.subscription("s.*").overflow(overflow);
    let mut slow = slow.queue_messages(messages).queue_bytes(bytes).queued().unwrap();
    client.flush().wait().unwrap();
    let payload = vec![b'x'; size];
    let before = live();
    for n in 0..count {
        publisher.publish(format!("s.{}", n % 50), &payload).unwrap();
    }
    publisher.flush().wait().unwrap();
    let blocks = overflow == Overflow::Block;
    if !blocks {
        let flushed = client.flush().wait_timeout(DEADLINE);
        assert_eq!(flushed, Some(Ok(())), "{overflow:?}: the connection is read");
    } else {
        eventually("it is full", || (slow.stats().waiting > 0).then_some(()));
    }
    let grown = live().saturating_sub(before);
    let left = count - usize::try_from(slow.dropped()).unwrap();
    let read = read_out(&mut slow, left);
    assert!(slow.try_next().is_none());
    let dropped = usize::try_from(slow.dropped()).unwrap();
    println!(
        "M2: {overflow:?}, {count} x {size} bytes, at most {messages} and {} KiB: heap + {} KiB, read {read}, dropped {dropped}, missing {}",
        bytes / KIB,
        grown / KIB,
        count - read - dropped
    );
    assert_eq!(read + dropped, count, "{overflow:?}: what was not read was counted");
    assert_eq!(dropped == 0, blocks, "{overflow:?}, {size} bytes: {dropped} dropped");
    assert_eq!((client.stats().dropped, client.stats().reconnects), (dropped as u64, 0));
    // What is read at once, and large messages as they arrive.
    let cap = bytes.min(messages * (size + 40));
    assert!(grown <= cap + cap / 4 + 6 * MIB, "{overflow:?}: the heap grew by {grown} bytes");
    publisher.publish("s.1", "after").unwrap();
    assert_eq!(slow.next_timeout(DEADLINE).expect("it goes on").payload(), b"after");
}

fn read_out(slow: &mut Subscription, count: usize) -> usize {
    (0..count).take_while(|_| slow.next_timeout(DEADLINE).is_some()).count()
}

/// M2, M6.
fn conflated_subjects_of_very_different_age() {
    const SUBJECTS: usize = 500;
    let server = Server::builder().without_jetstream().start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let mut slow = client.subscription("c.*").overflow(Overflow::Conflate).queued().unwrap();
    client.flush().wait().unwrap();
    let before = live();
    for n in 0..SUBJECTS {
        client.publish(format!("c.{n}"), [0; 100]).unwrap();
        (0..70).for_each(|_| client.publish("c.hot", [0; 1000]).unwrap());
    }
    client.flush().wait().unwrap();
    let (waiting, grown) = (slow.stats().waiting_bytes, live().saturating_sub(before));
    println!(
        "M6: {SUBJECTS} conflated subjects between 70 messages of another: {} KiB wait, heap + {} KiB",
        waiting / KIB,
        grown / KIB
    );
    assert!(grown < 2 * MIB, "the heap grew by {grown} bytes");
    assert_eq!(read_out(&mut slow, SUBJECTS + 1), SUBJECTS + 1);
}

/// M3.
fn a_slow_subscription_among_others() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let slow: Vec<_> = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Conflate]
        .into_iter()
        .map(|overflow| client.subscription("m").overflow(overflow).queue_messages(10))
        .map(|slow| slow.queued().unwrap())
        .collect();
    let mut fast = client.subscribe("fast").unwrap();
    let mut times: Vec<_> = (0..500)
        .map(|_| {
            (0..50).for_each(|_| client.publish("m", [0; 100]).unwrap());
            let started = Instant::now();
            client.publish("fast", "").unwrap();
            fast.next_timeout(DEADLINE).expect("nobody who is slow holds it up");
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let dropped: Vec<_> = slow.iter().map(Subscription::dropped).collect();
    println!(
        "M3: beside 3 subscriptions that nobody reads ({dropped:?} dropped): p50 {:?}, p99 {:?}",
        times[250], times[495]
    );
    assert!(times[495] < Duration::from_millis(100), "the others wait for {:?}", times[495]);
    assert!(dropped.iter().all(|&dropped| dropped > 20_000), "{dropped:?}");
}

/// M6.
fn kept_messages() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("k").unwrap();
    let count = 100;
    let before = live();
    let mut kept = Vec::with_capacity(count);
    for _ in 0..count {
        (0..1000).for_each(|_| client.publish("k", [0; 100]).unwrap());
        for n in 0..1000 {
            let message = all.next_timeout(DEADLINE).expect("it comes");
            if n == 500 {
                kept.push(message);
            }
        }
    }
    let grown = live().saturating_sub(before);
    let bytes: usize = kept.iter().map(jetlane_client::Message::wire_len).sum();
    println!(
        "M6: 1 of 1000 messages kept: {bytes} bytes retain {} KiB ({} times)",
        grown / KIB,
        grown / bytes
    );
    assert!(grown <= kept.len() * (64 * KIB + KIB) + 2 * MIB, "{bytes} bytes retain {grown}");
}
