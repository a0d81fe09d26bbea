//! What a proxy does to the bytes between two sockets.
#![cfg(unix)]

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use Direction::{ToClient, ToServer};
use jetlane_testkit::{Direction, End, Proxy, Server};

const LIMIT: Duration = Duration::from_secs(20);

/// Both ends of what goes through a proxy.
struct Setup {
    listener: TcpListener,
    proxy: Proxy,
}

impl Setup {
    fn new() -> Setup {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port()).unwrap();
        Setup { listener, proxy }
    }

    /// A new connection: its client and its server.
    fn open(&self) -> (TcpStream, TcpStream) {
        let client = self.client();
        (client, bounded(self.listener.accept().unwrap().0))
    }

    fn client(&self) -> TcpStream {
        bounded(TcpStream::connect(("127.0.0.1", self.proxy.port())).unwrap())
    }

    /// A new connection: who sends in the direction, and who receives.
    fn open_towards(&self, direction: Direction) -> (TcpStream, TcpStream) {
        let (client, server) = self.open();
        match direction {
            ToServer => (client, server),
            ToClient => (server, client),
        }
    }
}

fn bounded(socket: TcpStream) -> TcpStream {
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn send(mut socket: &TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).unwrap();
}

fn receive(mut socket: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// All that comes, and how it ends.
fn receive_all(mut socket: &TcpStream) -> (Vec<u8>, Result<(), io::ErrorKind>) {
    let mut bytes = Vec::new();
    let end = socket.read_to_end(&mut bytes);
    (bytes, end.map(drop).map_err(|error| error.kind()))
}

/// Bytes of which no two windows look alike.
fn numbered(count: usize) -> Vec<u8> {
    (0u32..).flat_map(u32::to_be_bytes).take(count).collect()
}

fn ended(end: End) -> Result<(), io::ErrorKind> {
    match end {
        End::Fin => Ok(()),
        End::Rst => Err(io::ErrorKind::ConnectionReset),
    }
}

fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < LIMIT, "this never happened: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_is_served_through_it() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    assert_eq!(proxy.url(), format!("nats://127.0.0.1:{}", proxy.port()));
    let client = bounded(TcpStream::connect(("127.0.0.1", proxy.port())).unwrap());
    send(&client, b"CONNECT {\"verbose\":false}\r\nPING\r\n");
    eventually("a PONG comes", || proxy.seen(ToClient).ends_with(b"PONG\r\n"));
    assert!(proxy.seen(ToClient).starts_with(b"INFO {"));
    assert_eq!(proxy.seen(ToServer), b"CONNECT {\"verbose\":false}\r\nPING\r\n");
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn much_goes_through_unchanged_in_both_directions_at_once() {
    let setup = Setup::new();
    let (client, server) = setup.open();
    let bytes = numbered(20_000_000);
    std::thread::scope(|scope| {
        for (from, to) in [(&client, &server), (&server, &client)] {
            let bytes = &bytes;
            scope.spawn(move || {
                send(from, bytes);
                from.shutdown(std::net::Shutdown::Write).unwrap();
            });
            scope.spawn(move || assert!(receive_all(to) == (bytes.clone(), Ok(()))));
        }
    });
    for direction in [ToServer, ToClient] {
        assert_eq!(setup.proxy.forwarded(direction), 20_000_000);
        assert!(setup.proxy.seen(direction) == bytes[..1024 * 1024]);
    }
}

#[test]
fn ends_are_passed_on() {
    let setup = Setup::new();
    for direction in [ToServer, ToClient] {
        // One half at a time.
        let (from, to) = setup.open_towards(direction);
        send(&from, b"last");
        from.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(receive_all(&to), (b"last".to_vec(), Ok(())));
        send(&to, b"answer");
        drop(to);
        assert_eq!(receive_all(&from), (b"answer".to_vec(), Ok(())));
        // A socket that is closed with something unread resets its peer.
        let (from, to) = setup.open_towards(direction);
        send(&to, b"unread");
        assert_eq!(from.peek(&mut [0; 1]).unwrap(), 1);
        drop(from);
        assert_eq!(receive_all(&to), (vec![], Err(io::ErrorKind::ConnectionReset)));
    }
}

#[test]
fn a_client_is_reset_when_nobody_listens() {
    let Setup { listener, proxy } = Setup::new();
    drop(listener);
    let client = bounded(TcpStream::connect(("127.0.0.1", proxy.port())).unwrap());
    assert_eq!(receive_all(&client).1, Err(io::ErrorKind::ConnectionReset));
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_cut_comes_after_exactly_so_many_bytes() {
    let setup = Setup::new();
    let bytes = numbered(100_000);
    for direction in [ToServer, ToClient] {
        for end in [End::Fin, End::Rst] {
            for count in [0, 1, 2, 63, 64, 4095, 4096, 4097, 65_536, 65_537, 99_999, 100_000] {
                setup.proxy.cut_after(direction, count as u64, end);
                let (from, to) = setup.open_towards(direction);
                // It may be cut before all is sent.
                let _ = (&from).write_all(&bytes);
                let case = format!("{direction:?} {end:?} {count}");
                let (received, how) = receive_all(&to);
                assert_eq!(received.len(), count, "{case}");
                assert!(received == bytes[..count], "{case}");
                assert_eq!(how, ended(end), "{case}");
                assert_eq!(setup.proxy.forwarded(direction), count as u64, "{case}");
            }
        }
    }
}

#[test]
fn a_cut_hits_the_first_connection_that_stands_there_and_only_that() {
    let setup = Setup::new();
    let beyond = setup.open();
    send(&beyond.0, b"beyond it");
    receive(&beyond.1, 9);
    setup.proxy.cut_after(ToServer, 5, End::Fin);
    setup.proxy.cut_after(ToServer, 5, End::Rst);
    for expected in [ended(End::Fin), ended(End::Rst)] {
        let (client, server) = setup.open();
        send(&client, b"exactly");
        assert_eq!(receive_all(&server), (b"exact".to_vec(), expected));
    }
    // One that stands there already is cut at once.
    let (client, server) = setup.open();
    send(&client, b"exact");
    receive(&server, 5);
    setup.proxy.cut_after(ToServer, setup.proxy.forwarded(ToServer), End::Fin);
    assert_eq!(receive_all(&server), (vec![], Ok(())));
    assert_eq!(receive_all(&client), (vec![], Ok(())));
    // The one that was beyond it never noticed.
    send(&beyond.0, b"!");
    assert_eq!(receive(&beyond.1, 1), b"!");
}

#[test]
fn a_cut_at_once_ends_all_there_are_and_none_to_come() {
    for end in [End::Fin, End::Rst] {
        let setup = Setup::new();
        let pairs: Vec<_> = (0..3).map(|_| setup.open()).collect();
        setup.proxy.cut(end);
        for (client, server) in &pairs {
            assert_eq!(receive_all(client), (vec![], ended(end)));
            assert_eq!(receive_all(server), (vec![], ended(end)));
        }
        let (client, server) = setup.open();
        send(&client, b"next");
        assert_eq!(receive(&server, 4), b"next");
        assert_eq!(setup.proxy.connections(), 4);
    }
}

#[test]
fn a_peer_that_talks_on_after_an_orderly_cut_is_not_reset() {
    let setup = Setup::new();
    let (client, server) = setup.open();
    setup.proxy.cut(End::Fin);
    for socket in [&client, &server] {
        (0..100).for_each(|_| send(socket, &[0; 10_000]));
        assert_eq!(receive_all(socket), (vec![], Ok(())));
    }
}

#[test]
fn a_stalled_sender_runs_against_full_buffers_and_nothing_is_lost() {
    let setup = Setup::new();
    for direction in [ToServer, ToClient] {
        let (from, to) = setup.open_towards(direction);
        send(&from, b"before");
        assert_eq!(receive(&to, 6), b"before");
        setup.proxy.stall(direction);
        from.set_nonblocking(true).unwrap();
        let bytes = numbered(50_000_000);
        let mut sent = 0;
        while let Ok(count) = (&from).write(&bytes[sent..]) {
            sent += count;
            assert!(sent < bytes.len(), "all of it went somewhere");
        }
        assert_eq!(setup.proxy.forwarded(direction), 6);
        // The other direction goes on meanwhile.
        from.set_nonblocking(false).unwrap();
        send(&to, b"back");
        assert_eq!(receive(&from, 4), b"back");
        setup.proxy.go_on(direction);
        assert!(receive(&to, sent) == bytes[..sent]);
    }
}

#[test]
fn a_deaf_proxy_loses_what_comes_and_counts_it() {
    let setup = Setup::new();
    for direction in [ToServer, ToClient] {
        let (from, to) = setup.open_towards(direction);
        setup.proxy.deafen(direction);
        // A line may come in two parts.
        for part in ["MSG a 1 1\r\nx\r\nMS", "G a 1 1\r\nMSG\r\nMSG b 1 1\r\n"] {
            let before = setup.proxy.lost(direction);
            send(&from, part.as_bytes());
            eventually("it is lost", || setup.proxy.lost(direction) == before + part.len());
        }
        for (prefix, expected) in [("MSG a ", 2), ("MSG b ", 1), ("MSG", 4), ("PING", 0)] {
            assert_eq!(setup.proxy.lost_lines(direction, prefix), expected, "{prefix}");
        }
        setup.proxy.hear(direction);
        send(&from, b"heard");
        drop(from);
        assert_eq!(receive_all(&to), (b"heard".to_vec(), Ok(())));
    }
}

#[test]
fn slices_come_one_by_one() {
    let setup = Setup::new();
    for direction in [ToServer, ToClient] {
        let bytes = numbered(1000);
        for size in [1, 7, 1000, 5000] {
            setup.proxy.slice(direction, Some(size));
            let (from, to) = setup.open_towards(direction);
            send(&from, &bytes);
            assert_eq!(receive(&to, 1000), bytes);
        }
        setup.proxy.slice(direction, None);
    }
    // How many are found together depends on the scheduler, but not all of a stream this slow.
    setup.proxy.slice(ToServer, Some(1));
    setup.proxy.throttle(ToServer, Some(100));
    let (client, mut server) = setup.open();
    send(&client, &[0; 20]);
    let mut reads = 0;
    let mut received = 0;
    while received < 20 {
        received += server.read(&mut [0; 20]).unwrap();
        reads += 1;
    }
    assert!(reads > 1, "all of it came at once");
}

#[test]
fn a_throttled_stream_takes_its_time() {
    let setup = Setup::new();
    for direction in [ToServer, ToClient] {
        setup.proxy.throttle(direction, Some(100_000));
        let (from, to) = setup.open_towards(direction);
        let start = Instant::now();
        send(&from, &numbered(30_000));
        assert_eq!(receive(&to, 30_000), numbered(30_000));
        let first = start.elapsed();
        assert!(first > Duration::from_millis(280), "{direction:?} {first:?}");
        // Without it, a thousand times as much would take five minutes.
        setup.proxy.throttle(direction, None);
        std::thread::scope(|scope| {
            scope.spawn(|| send(&from, &[0; 30_000_000]));
            receive(&to, 30_000_000);
        });
    }
}

#[test]
fn a_delay_is_the_same_for_everything() {
    const DELAY: Duration = Duration::from_millis(300);
    let setup = Setup::new();
    for direction in [ToServer, ToClient] {
        setup.proxy.delay(direction, DELAY);
        let (from, to) = setup.open_towards(direction);
        let start = Instant::now();
        for n in 0..10 {
            send(&from, &[n]);
            // So that each is read by itself.
            std::thread::park_timeout(Duration::from_millis(10));
        }
        drop(from);
        assert_eq!(receive(&to, 1), [0]);
        assert!(start.elapsed() >= DELAY, "{direction:?} {:?}", start.elapsed());
        assert_eq!(receive_all(&to), ((1..10).collect(), Ok(())));
        // They waited side by side, not one behind the other.
        assert!(start.elapsed() < DELAY * 8, "{direction:?} {:?}", start.elapsed());
        setup.proxy.delay(direction, Duration::ZERO);
    }
}

#[test]
fn a_rewrite_changes_what_goes_through_and_what_is_seen() {
    let setup = Setup::new();
    for direction in [ToServer, ToClient] {
        setup.proxy.rewrite(direction, |bytes| {
            bytes.retain(|byte| *byte != b'-');
            bytes.make_ascii_uppercase();
        });
        let (from, to) = setup.open_towards(direction);
        for part in ["---", "in-fo"] {
            send(&from, part.as_bytes());
        }
        assert_eq!(receive(&to, 4), b"INFO");
        assert_eq!(setup.proxy.seen(direction), b"INFO");
        setup.proxy.rewrite(direction, |_| {});
        send(&from, b"-x-");
        assert_eq!(receive(&to, 3), b"-x-");
    }
}

#[test]
fn each_connection_has_its_own_record() {
    let setup = Setup::new();
    assert_eq!((setup.proxy.seen(ToServer), setup.proxy.forwarded(ToServer)), (vec![], 0));
    let pairs: Vec<_> = (0..3).map(|_| setup.open()).collect();
    for (index, (client, server)) in pairs.iter().enumerate() {
        let (up, down) = (format!("up {index}"), format!("down {index}"));
        send(client, up.as_bytes());
        assert_eq!(receive(server, up.len()), up.as_bytes());
        send(server, down.as_bytes());
        assert_eq!(receive(client, down.len()), down.as_bytes());
    }
    // Records stay when connections end.
    setup.proxy.cut(End::Rst);
    for index in 0..3 {
        assert_eq!(setup.proxy.seen_on(index, ToServer), format!("up {index}").as_bytes());
        assert_eq!(setup.proxy.seen_on(index, ToClient), format!("down {index}").as_bytes());
    }
    assert_eq!(setup.proxy.seen(ToServer), b"up 2");
    assert_eq!(setup.proxy.seen_on(3, ToServer), b"");
}

#[test]
fn nothing_is_left_of_a_dropped_proxy() {
    let setup = Setup::new();
    let (client, server) = setup.open();
    setup.proxy.stall(ToServer);
    setup.proxy.stall(ToClient);
    let port = setup.proxy.port();
    drop(setup.proxy);
    assert_eq!(receive_all(&client), (vec![], Ok(())));
    assert_eq!(receive_all(&server), (vec![], Ok(())));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_peer_that_went_during_a_stall_is_missed_after_it() {
    let setup = Setup::new();
    let (client, server) = setup.open();
    setup.proxy.stall(ToServer);
    setup.proxy.stall(ToClient);
    send(&server, b"unread");
    drop(client);
    setup.proxy.go_on(ToServer);
    setup.proxy.go_on(ToClient);
    let (bytes, _) = receive_all(&server);
    assert_eq!(bytes, b"");
}
