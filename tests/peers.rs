//! Servers that stop, lie about their cluster, take us and drop us, or never finish a handshake; and names that do not resolve.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use jetlane_client::{
    AddressOrder, Backoff, ConnectError, ConnectOptions, Event, Events, FlushError, Limits, State,
};
use jetlane_testkit::{RawSocket, Scripted, Server};
use jetlane_tests::{DEADLINE, eventually};

fn server() -> Server {
    Server::builder().without_jetstream().start().unwrap()
}

fn await_event(events: &mut Events, is: impl Fn(&Event) -> bool) {
    while !is(&events.next_timeout(DEADLINE).expect("it comes")) {}
}

/// The thread that calls this, as its CPU time can be read.
fn this_thread() -> PathBuf {
    Path::new("/proc").join(std::fs::read_link("/proc/thread-self").unwrap()).join("schedstat")
}

fn cpu_of(thread: &Path) -> Duration {
    let text = std::fs::read_to_string(thread).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// C4.
#[test]
fn a_half_open_connection_is_noticed_after_the_pings_that_were_asked_for() {
    // What a busy machine may take to wake a thread.
    const MARGIN: Duration = Duration::from_millis(500);
    let server = server();
    for (interval, most) in [(100, 2), (150, 1), (60, 4)] {
        let interval = Duration::from_millis(interval);
        let client = ConnectOptions::new()
            .ping_interval(interval)
            .max_pings_out(most)
            .connect(&server.url())
            .unwrap();
        let mut events = client.events();
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                server.pause();
                let started = Instant::now();
                await_event(&mut events, |event| matches!(event, Event::Disconnected { .. }));
                let took = started.elapsed();
                server.resume();
                await_event(&mut events, |event| matches!(event, Event::Reconnected { .. }));
                took
            })
            .collect();
        times.sort();
        let formula = interval * (most + 1);
        let ratio = |time: Duration| time.as_secs_f64() / formula.as_secs_f64();
        println!(
            "C4: interval {interval:?}, {most} unanswered: detection / formula p50 {:.2}, max {:.2}",
            ratio(times[2]),
            ratio(times[4])
        );
        let case = format!("interval {interval:?}, {most} unanswered: {times:?}");
        // The first PING that is not answered may have been due at once.
        assert!(times[0] >= interval * most, "too soon: {case}");
        assert!(times[2] < formula + interval / 2, "a PING too late: {case}");
        assert!(times[4] < formula + MARGIN, "too late: {case}");
    }
}

/// Takes clients, says `then`, and drops them. Returns its URL, and how many it took.
fn takes_and_drops(then: &'static str) -> (String, Arc<AtomicUsize>) {
    let peer = Scripted::start().unwrap();
    let (url, count) = (peer.url(), Arc::<AtomicUsize>::default());
    let taken = Arc::clone(&count);
    std::thread::spawn(move || {
        while let Ok(socket) = peer.accept() {
            taken.fetch_add(1, Relaxed);
            let _ = socket.send(then);
        }
    });
    (url, count)
}

/// C9.
#[test]
fn a_server_that_takes_us_and_drops_us_is_tried_no_more_often_than_the_backoff_allows() {
    for (case, then) in [("garbage", "garbage\r\n"), ("closes", "")] {
        let (url, count) = takes_and_drops(then);
        let backoff =
            Backoff { first: Duration::from_millis(50), most: Duration::from_millis(200) };
        let (tell, told) = mpsc::channel();
        let client = ConnectOptions::new()
            .reconnect_backoff(backoff)
            .on_event(move |_| drop(tell.send(this_thread())))
            .connect(&url)
            .unwrap();
        let thread = told.recv_timeout(DEADLINE).unwrap();
        let before = cpu_of(&thread);
        let mut events = client.events();
        let until = Instant::now() + Duration::from_millis(1000);
        while Instant::now() < until {
            events.next_timeout(until.saturating_duration_since(Instant::now()));
        }
        let (attempts, cpu) = (count.load(Relaxed), cpu_of(&thread).saturating_sub(before));
        println!("C9: {case}: {attempts} connections in 1 s, CPU {cpu:?}");
        // The first two come at once, the others 25 to 50, 50 to 100, then 100 to 200 ms apart.
        assert!((4..=13).contains(&attempts), "{case}: {attempts} attempts in a second");
        assert!(cpu < Duration::from_millis(150), "{case}: {cpu:?} of CPU in a second");
        client.close(DEADLINE).unwrap();
    }
}

/// C10, C12.
#[test]
fn forty_thousand_servers_and_junk_are_believed_so_far() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let junk = [
        "",
        ":",
        "::",
        "a b:1",
        "http://x",
        "nats://",
        "x:99999",
        "x:0",
        "x:-1",
        "[::1",
        "\\u0000:1",
        "user:secret@evil:1",
        "10.0.0.1:1",
        "10.0.0.1:1",
    ];
    let many = (0..40_000).map(|n| format!("10.{}.{}.{}:4222", n >> 16, n >> 8 & 255, n & 255));
    let urls: Vec<_> = junk
        .into_iter()
        .map(Into::into)
        .chain(many)
        .map(|url: String| format!("\"{url}\""))
        .collect();
    let list =
        format!("{},\"connect_urls\":[{}]}}", Scripted::INFO.trim_end_matches('}'), urls.join(","));
    let (again, told) = (list.clone(), urls.len());
    let serving = std::thread::spawn(move || {
        let mut socket = peer.accept_saying(&list).unwrap();
        for _ in 0..3 {
            socket.send(format!("INFO {again} \r\n")).unwrap();
        }
        socket.line_starting("SUB a").unwrap();
        socket.send("MSG a 1 2\r\nhi\r\n").unwrap();
        socket
    });
    let discovered = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&discovered);
    let started = Instant::now();
    let client = ConnectOptions::new()
        .on_event(move |event| {
            if let Event::ServersDiscovered { servers } = event {
                seen.lock().unwrap().extend_from_slice(servers);
            }
        })
        .connect(&url)
        .unwrap();
    let mut all = client.subscribe("a").unwrap();
    assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), b"hi");
    let took = started.elapsed();
    let found = discovered.lock().unwrap().clone();
    let distinct: HashSet<_> = found.iter().collect();
    println!(
        "C10, C12: {told} servers told 4 times in {took:?}, {} believed, twice {}, connections dropped {}",
        found.len(),
        found.len() - distinct.len(),
        client.stats().reconnects
    );
    assert_eq!(found.len(), distinct.len());
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!((200..=255).contains(&found.len()), "{}", found.len());
    assert!(found.iter().all(|url| !url.contains("secret")), "{found:?}");
    drop(serving.join().unwrap());
}

/// C11.
#[test]
fn a_slow_resolver_keeps_nobody_waiting() {
    let mut server = server();
    let (address, asked) =
        (SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())), AtomicUsize::new(0));
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let client = ConnectOptions::new()
        .connect_timeout(Duration::from_millis(500))
        .reconnect_delay(|_| Duration::from_millis(1))
        .resolver(move |host, _| {
            assert_eq!(host, "slow.example");
            if asked.fetch_add(1, Relaxed) > 0 {
                // For ever, as far as anybody waits for it.
                let _ = held.lock().unwrap().recv_timeout(DEADLINE);
            }
            Ok(vec![address])
        })
        .connect(&format!("slow.example:{}", server.port()))
        .unwrap();
    let mut all = client.subscribe("a").unwrap();
    server.kill();
    eventually("noticed", || (client.state() == State::Reconnecting).then_some(()));
    let started = Instant::now();
    for _ in 0..1000 {
        client.publish("a", "x").unwrap();
    }
    let slowest = started.elapsed();
    let other = client.clone();
    let flush = client.flush();
    let mut events = client.events();
    await_event(
        &mut events,
        |event| matches!(event, Event::ConnectFailed { reason, .. } if reason.contains("no answer in time")),
    );
    let gave_up = started.elapsed();
    server.restart().unwrap();
    // Of the lookups under way one after the other comes back.
    for _ in 0..100 {
        let _ = release.send(());
    }
    flush.wait().unwrap();
    for _ in 0..1000 {
        all.next_timeout(DEADLINE).expect("what was published meanwhile comes");
    }
    server.kill();
    eventually("noticed", || (client.state() == State::Reconnecting).then_some(()));
    // What is left of the above lets some more attempts through; then one is stuck for good.
    let closing = Instant::now();
    let _ = other.close(Duration::ZERO);
    println!(
        "C11: 1000 publishes during a lookup took {slowest:?}, it was given up after {gave_up:?} (500 ms allowed), \
         close during another took {:?}",
        closing.elapsed()
    );
    assert!(slowest < Duration::from_millis(300), "{slowest:?}");
    assert!(gave_up < Duration::from_secs(2), "{gave_up:?}");
    assert!(closing.elapsed() < Duration::from_millis(500));
}

/// C11: a lookup that ends before anybody waits for it.
#[test]
fn a_lookup_that_is_fast_is_not_waited_for() {
    let server = server();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
    let started = Instant::now();
    for _ in 0..200 {
        let fast = ConnectOptions::new().resolver(move |_, _| Ok(vec![address]));
        fast.connect("fast.example").unwrap();
    }
    println!("C11: 200 connects by a name that is known took {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

/// C11.
#[test]
fn names_that_do_not_resolve_that_move_and_that_have_dead_addresses() {
    let server = server();
    let port = server.port();
    let no_such = |_: &str, _| Err(io::Error::new(ErrorKind::NotFound, "NXDOMAIN"));
    let error = ConnectOptions::new().resolver(no_such).connect("nowhere.example").unwrap_err();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error:?}");
    let none = ConnectOptions::new().resolver(|_, _| Ok(Vec::new())).connect("empty.example");
    assert!(matches!(none.unwrap_err(), ConnectError::Resolve { .. }));
    // The loopback over IPv6, where nobody listens, then an address that refuses, then the server.
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let addresses = [
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        dead,
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    ];
    for order in [
        AddressOrder::Resolver,
        AddressOrder::Random,
        AddressOrder::Ipv4First,
        AddressOrder::Ipv6First,
    ] {
        let options = ConnectOptions::new().address_order(order);
        let client = options.resolver(move |_, _| Ok(addresses.into())).connect("mixed.example");
        client.unwrap_or_else(|error| panic!("{order:?}: {error}")).flush().wait().unwrap();
    }
    // The name moves from a server that dies to another one.
    let mut first = self::server();
    let now_at = Arc::new(AtomicUsize::new(first.port().into()));
    let place = Arc::clone(&now_at);
    let client = ConnectOptions::new()
        .reconnect_delay(|_| Duration::from_millis(1))
        .resolver(move |_, _| {
            let port = u16::try_from(place.load(Relaxed)).unwrap();
            Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
        })
        .connect("moving.example")
        .unwrap();
    first.kill();
    now_at.store(port.into(), Relaxed);
    eventually("it has followed", || {
        (client.stats().reconnects == 1 && client.state() == State::Connected).then_some(())
    });
    println!(
        "C11: NXDOMAIN and no address told; 4 orders of dead and live addresses connected; a moved name followed"
    );
}

#[test]
fn a_resolver_or_dialer_that_panics_is_a_failed_attempt_at_once() {
    let started = Instant::now();
    for _ in 0..10 {
        let resolver = ConnectOptions::new().resolver(|_, _| panic!("on purpose"));
        let error = resolver.connect("a.example").unwrap_err();
        assert!(matches!(error, ConnectError::Resolve { .. }));
        let dialer = ConnectOptions::new().dialer(|_| panic!("on purpose"));
        assert!(matches!(dialer.connect("a.example").unwrap_err(), ConnectError::Dial(_)));
    }
    println!("X1: 10 resolvers and 10 dialers that panic are told after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

/// Sends `says`, and `drip` again and again until the client has gone; but not for ever, should it never go.
fn stall(peer: &Scripted, says: &str, drip: &str) {
    let mut socket = peer.accept_silently().unwrap();
    socket.send(says).unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while !drip.is_empty() && Instant::now() < until && socket.send(drip).is_ok() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let _ = socket.rest();
}

/// C13.
#[test]
fn a_handshake_that_stalls_ends_with_the_connect_timeout_wherever_it_stalls() {
    let timeout = Duration::from_millis(150);
    let secure = Scripted::INFO.trim_end_matches('}').to_owned() + ",\"tls_required\":true}";
    let info = format!("INFO {} \r\n", Scripted::INFO);
    let stages = [
        ("no INFO", String::new(), ""),
        ("half an INFO", info[..40].into(), ""),
        ("an INFO that does not end", "INFO {\"x\":\"".into(), "x"),
        ("no PONG", info.clone(), ""),
        ("half a PONG", format!("{info}PO"), ""),
        ("PINGs and no PONG", format!("{info}{}", "PING\r\n".repeat(10)), "PING\r\n"),
        ("INFOs and no PONG", info.repeat(10), &info),
        ("no TLS", format!("INFO {secure} \r\n"), ""),
    ];
    for (stage, says, drip) in stages {
        let peer = Scripted::start().unwrap();
        let url = peer.url();
        let drip = drip.to_owned();
        let serving = std::thread::spawn(move || stall(&peer, &says, &drip));
        let started = Instant::now();
        let error = ConnectOptions::new().connect_timeout(timeout).connect(&url).unwrap_err();
        let took = started.elapsed();
        println!("C13: {stage}: {took:?} of {timeout:?}");
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{stage}: {error:?}");
        assert!((timeout..timeout * 4).contains(&took), "{stage}: {took:?}");
        serving.join().unwrap();
    }
}

/// P8, P11.
#[test]
fn an_info_that_makes_no_sense_or_a_server_without_headers_is_refused_before_anything_is_sent() {
    let nested =
        |n: usize| format!("{{\"headers\":true,\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    type Is = fn(&ConnectError) -> bool;
    let protocol: Is = |error| matches!(error, ConnectError::Protocol { .. });
    let no_headers: Is = |error| matches!(error, ConnectError::NoHeaders { .. });
    let table: Vec<(String, Option<Is>)> = vec![
        ("".into(), Some(protocol)),
        ("{".into(), Some(protocol)),
        ("[]".into(), Some(protocol)),
        ("null".into(), Some(protocol)),
        ("{\"headers\":1}".into(), Some(protocol)),
        ("{\"headers\":true,\"version\":[]}".into(), Some(protocol)),
        ("{\"headers\":true,\"max_payload\":-1}".into(), Some(protocol)),
        ("{\"headers\":true,\"max_payload\":1e99}".into(), Some(protocol)),
        ("{\"headers\":true,\"max_payload\":18446744073709551616}".into(), Some(protocol)),
        ("{\"headers\":true,\"connect_urls\":[1]}".into(), Some(protocol)),
        ("{\"headers\":true,\"nonce\":{}}".into(), Some(protocol)),
        ("{\"headers\":true,\"headers\":true}".into(), Some(protocol)),
        ("{}".into(), Some(no_headers)),
        ("{\"headers\":false}".into(), Some(no_headers)),
        ("{\"headers\":true}".into(), None),
        ("{\"headers\":true,\"max_payload\":0}".into(), None),
        ("{\"headers\":true,\"max_payload\":18446744073709551615}".into(), None),
        (
            "{\"headers\":true,\"version\":\"\\u0000\\ud83d\\ude00\",\"proto\":4294967295}".into(),
            None,
        ),
        (nested(100), None),
        (nested(100_000), None),
    ];
    let (mut refused, mut taken) = (0, 0);
    for (json, expected) in table {
        let peer = Scripted::start().unwrap();
        let url = peer.url();
        let case = json[..json.len().min(60)].to_owned();
        let serving = std::thread::spawn(move || {
            let mut socket: RawSocket = peer.accept_silently().unwrap();
            socket.send(format!("INFO {json}\r\nPONG\r\n")).unwrap();
            // Until the client ends.
            socket.rest().unwrap_or_default()
        });
        match (ConnectOptions::new().connect(&url), expected) {
            (Ok(client), None) => {
                let _ = client.publish("a", "x");
                assert_eq!(client.flush().wait_timeout(Duration::ZERO), None);
                let _ = client.close(Duration::ZERO);
                taken += 1;
                assert!(!serving.join().unwrap().is_empty());
            }
            (Err(error), Some(is)) => {
                assert!(is(&error), "{case}: {error:?}");
                assert_eq!(serving.join().unwrap(), b"", "{case}: nothing was sent");
                refused += 1;
            }
            (result, _) => panic!("{case}: {result:?}"),
        }
    }
    println!("P8, P11: {refused} kinds of INFO refused with nothing sent, {taken} taken");
}

/// The stale connection that is none: a server that has much to say before its PONG.
#[test]
fn a_server_that_talks_is_not_dead_however_late_its_pong() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let (stop, stopped) = mpsc::channel::<()>();
    let serving = std::thread::spawn(move || {
        let mut socket = peer.accept().unwrap();
        socket.line_starting("SUB").unwrap();
        while stopped.recv_timeout(Duration::from_millis(5)) == Err(mpsc::RecvTimeoutError::Timeout)
        {
            let _ = socket.send("MSG a 1 1\r\nx\r\n");
        }
        // Then it is silent.
        let _ = socket.rest();
    });
    let client =
        ConnectOptions::new().ping_interval(Duration::from_millis(30)).connect(&url).unwrap();
    let mut events = client.events();
    let mut all = client.subscribe("a").unwrap();
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        all.next_timeout(DEADLINE).expect("it talks");
    }
    assert_eq!((client.state(), client.stats().reconnects), (State::Connected, 0));
    drop(stop);
    await_event(&mut events, |event| matches!(event, Event::Disconnected { .. }));
    let _ = client.close(Duration::ZERO);
    assert_eq!(client.flush().wait(), Err(FlushError::Closed));
    serving.join().unwrap();
}

/// What a peer leaves unread keeps nobody from seeing that it has gone.
#[test]
fn a_peer_that_resets_is_noticed_at_once_also_when_much_is_owed_to_it() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let (go, told) = mpsc::channel::<()>();
    let serving = std::thread::spawn(move || {
        let mut socket = peer.accept().unwrap();
        socket.line_starting("SUB a").unwrap();
        // Asks, and reads no answer; and asks again, when the kernel takes no more of the first.
        for _ in 0..2 {
            socket.send("MSG a 1 r 1\r\nx\r\n".repeat(2000)).unwrap();
            told.recv().unwrap();
        }
        socket.reset().unwrap();
    });
    let client = ConnectOptions::new().limits(Limits::default()).connect(&url).unwrap();
    let _handle = client.subscription("a").sink(Generous).unwrap();
    let mut events = client.events();
    for _ in 0..2 {
        eventually("much is owed", || {
            let before = client.stats();
            // As long as it writes there is room in the kernel; as long as it reads it does not owe much.
            (events.next_timeout(Duration::from_millis(50)).is_none()
                && before.messages_in > 0
                && client.stats() == before)
                .then_some(())
        });
        go.send(()).unwrap();
    }
    let started = Instant::now();
    await_event(&mut events, |event| matches!(event, Event::Disconnected { .. }));
    println!("C4: a reset with answers owed is noticed after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
    serving.join().unwrap();
    let _ = client.close(Duration::ZERO);
}

struct Generous;
impl jetlane_client::Sink for Generous {
    fn message(
        &mut self,
        message: &jetlane_client::MessageRef<'_>,
        out: &mut jetlane_client::Out<'_>,
    ) {
        out.publish(message.reply().unwrap(), b"", &[b'x'; 20_000]);
    }
}
