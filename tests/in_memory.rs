//! The server in memory: what it takes from whom, and how it ends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use jetlane::memory::MemoryServer;
use jetlane::{Envelope, EventBus, Strategy};
use jetlane_client::Client;
use jetlane_tests::{DEADLINE, next_failure, next_loss};

/// All that the server answers to these bytes, without its greeting, after which nothing more is said.
fn answer(address: SocketAddr, said: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may have heard enough before the end.
    let _ = socket.write_all(said);
    let _ = socket.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    if let Err(error) = socket.read_to_end(&mut heard) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", said.escape_ascii());
    }
    let heard = String::from_utf8(heard).unwrap();
    let (greeting, answer) = heard.split_once("\r\n").unwrap_or((&heard, ""));
    assert!(greeting.starts_with("INFO {"), "{greeting}");
    answer.into()
}

#[test]
fn who_talks_nonsense_is_told_so_and_hurts_nobody() {
    let server = MemoryServer::start().unwrap();
    let unknown = "-ERR 'Unknown Protocol Operation'\r\n";
    let long = vec![b'x'; 5000];
    for (said, expected) in [
        (&b"PING\r\n"[..], "PONG\r\n"),
        (b"", ""),
        (b"PI", ""),
        (b"PUB a 5\r\nhi", ""),
        (b"\r\n\r\nPING\r\n", "PONG\r\n"),
        (b"CONNECT {\r\nPING\r\n", "PONG\r\n"),
        (b"CONNECT \xff\r\nPING\r\n", unknown),
        (b"SUB a..b 1\r\nPING\r\n", "-ERR 'Invalid Subject'\r\nPONG\r\n"),
        (b"SUB a\r\n", unknown),
        (b"PUB a 1\r\nxyz\r\nPING\r\n", unknown),
        (b"PUB a 99999999\r\n", "-ERR 'Maximum Payload Violation'\r\n"),
        (b"PUB a -1\r\n", unknown),
        (b"HPUB a 9 1\r\n", unknown),
        (b"HPUB a 1 2\r\nxx\r\nPING\r\n", "PONG\r\n"),
        (b"UNSUB 77\r\nPING\r\n", "PONG\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", unknown),
        (b"\x16\x03\x01\x02\x00\x01\n", unknown),
        (&long, "-ERR 'maximum control line exceeded'\r\n"),
        (b"PING\r\nNO\r\nPING\r\n", "PONG\r\n-ERR 'Unknown Protocol Operation'\r\n"),
    ] {
        assert_eq!(answer(server.address(), said), expected, "{:.60}", said.escape_ascii());
    }
    Client::connect(&server.url()).unwrap().flush().wait().unwrap();
}

/// A connection whose thread panicked would answer no more.
#[test]
fn no_request_breaks_the_server() {
    let server = MemoryServer::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("s.>").stream("S").ensure(Strategy::CreateOnly).unwrap();
    bus.subscribe("C").on("s.x", |_: &Envelope| {}).start().unwrap();
    let deep = "[".repeat(100_000);
    let large = u64::MAX;
    let bodies = [
        "".into(),
        "{".into(),
        "[]".into(),
        "null".into(),
        "-1".into(),
        "18446744073709551616".into(),
        r#"{"name":5}"#.into(),
        deep,
        format!(r#"{{"seq":{large},"batch":{large},"expires":{large},"idle_heartbeat":{large}}}"#),
        format!(r#"{{"seq":{large},"batch":1000000,"next_by_subj":">"}}"#),
        r#"{"batch":9223372036854775807,"expires":9223372036854775807,"idle_heartbeat":4611686018427387903}"#.into(),
        format!(r#"{{"name":"T","first_seq":{large},"max_msgs":-9223372036854775808}}"#),
        r#"{"name":"T","max_age":9223372036854775807,"duplicate_window":9223372036854775807}"#.into(),
        r#"{"name":"T","max_age":-9223372036854775808}"#.into(),
        format!(r#"{{"stream_name":"S","config":{{"name":"T","ack_policy":"all","deliver_policy":"by_start_sequence","opt_start_seq":{large}}}}}"#),
        r#"{"stream_name":"S","config":{"name":"T","ack_wait":-1,"backoff":[-1,0],"max_ack_pending":-9,"pause_until":"-009999-01-01T00:00:00Z"}}"#.into(),
        r#"{"pause_until":"9999-12-31T23:59:59.999999999Z"}"#.into(),
        r#"-NAK {"delay":18446744073709551615}"#.into(),
        "+TERM \u{0}".into(),
    ];
    let client = bus.client();
    for subject in [
        "$JS.API.INFO",
        "$JS.API.STREAM.CREATE.T",
        "$JS.API.STREAM.UPDATE.T",
        "$JS.API.STREAM.INFO.S",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.PURGE.S",
        "$JS.API.STREAM.MSG.GET.S",
        "$JS.API.STREAM.MSG.DELETE.S",
        "$JS.API.STREAM.SNAPSHOT.S",
        "$JS.API.DIRECT.GET.S",
        "$JS.API.DIRECT.GET.S.s.x",
        "$JS.API.CONSUMER.CREATE.S",
        "$JS.API.CONSUMER.CREATE.S.T",
        "$JS.API.CONSUMER.CREATE.S.T.s.x",
        "$JS.API.CONSUMER.PAUSE.S.C",
        "$JS.API.CONSUMER.LIST.S",
        "$JS.API.CONSUMER.MSG.NEXT.S.C",
        "$JS.API.CONSUMER.MSG.NEXT.S.T",
        "$JS.API.X",
        "$JS.ACK.S.C.1.1.1.1.1",
        "$JS.ACK.S.C.1.18446744073709551615.0.1.1",
        "$JS.ACK.S",
        "s.x",
    ] {
        for body in &bodies {
            client.publish_with_reply(subject, "answers", body).unwrap();
            client.publish(subject, body).unwrap();
        }
        let flushed = client.flush().wait_timeout(DEADLINE);
        assert!(matches!(flushed, Some(Ok(()))), "{subject}: {flushed:?}");
    }
    assert_eq!(client.stats().reconnects, 0);
    bus.jetstream().stream_info("S").wait().expect("it is still there");
}

#[test]
fn a_bus_in_memory_lives_as_long_as_its_last_clone() {
    let bus = EventBus::in_memory().unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    let client = bus.client().clone();
    let mut events = client.events();
    let clone = bus.clone();
    drop(bus);
    let event = Envelope::new("order-42", "OrderCreated", "{}");
    assert_eq!(clone.publish("order.created", event).unwrap().wait().unwrap().sequence, 1);
    assert_eq!(client.stats().reconnects, 0);
    drop(clone);
    // A client that is kept longer than the bus finds the server gone.
    next_loss(&mut events);
    next_failure(&mut events);

    let empty = EventBus::in_memory().unwrap();
    assert_eq!(empty.jetstream().all_stream_names("").count(), 0, "each has its own");
}

#[test]
fn a_server_ends_at_once_whatever_its_clients_do() {
    let server = MemoryServer::start().unwrap();
    let mut silent = TcpStream::connect(server.address()).unwrap();
    let mut halfway = TcpStream::connect(server.address()).unwrap();
    halfway.write_all(b"PUB a 1000\r\nnot all").unwrap();
    // This one asks for more than it ever reads.
    let mut deaf = TcpStream::connect(server.address()).unwrap();
    deaf.write_all(b"SUB a 1\r\n").unwrap();
    let message = [&b"PUB a 1000000\r\n"[..], &vec![b'x'; 1_000_000], b"\r\n"].concat();
    (0..30).for_each(|_| deaf.write_all(&message).unwrap());
    // And this one is to be told that it talks nonsense, behind all that.
    let mut confused = TcpStream::connect(server.address()).unwrap();
    confused.write_all(b"SUB a 1\r\n").unwrap();
    (0..30).for_each(|_| confused.write_all(&message).unwrap());
    confused.write_all(b"NONSENSE\r\n").unwrap();
    let client = Client::connect(&server.url()).unwrap();
    client.flush().wait().unwrap();
    let address = server.address();
    let began = Instant::now();
    drop(server);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(TcpStream::connect(address).is_err());
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    silent.read_to_end(&mut Vec::new()).expect("it was closed");
}
