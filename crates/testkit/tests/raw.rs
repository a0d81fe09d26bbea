//! Peers that say just what they are told to, at either end.
#![cfg(unix)]

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use jetlane_testkit::{Publisher, Scripted, Server};

/// A client that knows as little as the server it talks to.
fn connect(peer: &Scripted) -> TcpStream {
    TcpStream::connect(("127.0.0.1", peer.port())).unwrap()
}

#[test]
fn the_handshake_of_a_scripted_server_is_the_one_that_was_asked_for() {
    let peer = Scripted::start().unwrap();
    assert_eq!(peer.url(), format!("nats://127.0.0.1:{}", peer.port()));
    let check = |info: Option<&str>, expected: &str| {
        thread::scope(|scope| {
            let publisher = scope.spawn(|| Publisher::connect(peer.port()));
            let mut socket = match info {
                Some(info) => peer.accept_saying(info).unwrap(),
                None => peer.accept().unwrap(),
            };
            let mut publisher = publisher.join().unwrap().unwrap();
            assert_eq!(publisher.info(), expected);
            publisher.send("PUB a 1\r\nx\r\n").unwrap();
            assert_eq!(socket.line().unwrap(), "PUB a 1");
            assert_eq!(socket.bytes(3).unwrap(), b"x\r\n");
            socket.send([0, 255]).unwrap();
            assert_eq!(publisher.bytes(2).unwrap(), [0, 255]);
        });
    };
    check(None, Scripted::INFO);
    check(Some(r#"{"max_payload":7}"#), r#"{"max_payload":7}"#);
}

#[test]
fn a_client_is_left_alone_when_nothing_is_to_be_said() {
    let peer = Scripted::start().unwrap();
    let client = connect(&peer);
    let mut socket = peer.accept_silently().unwrap();
    (&client).write_all(b"one\r\ntwo\nthree").unwrap();
    assert_eq!(socket.line().unwrap(), "one");
    assert_eq!(socket.line_starting("tw").unwrap(), "two");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let end = socket.line().unwrap_err();
    assert_eq!(
        (end.kind(), end.to_string()),
        (ErrorKind::UnexpectedEof, "no line but 'three'".into())
    );
}

#[test]
fn connections_end_as_they_are_told_to() {
    let peer = Scripted::start().unwrap();
    let open = || {
        thread::scope(|scope| {
            let client = scope.spawn(|| Publisher::open(peer.port()).unwrap());
            let socket = peer.accept_silently().unwrap();
            socket.send("INFO {}\r\n").unwrap();
            (client.join().unwrap(), socket)
        })
    };
    let (mut client, mut socket) = open();
    socket.send("last").unwrap();
    socket.finish().unwrap();
    assert_eq!(client.rest().unwrap(), b"last");
    client.send("heard").unwrap();
    drop(client);
    assert_eq!(socket.rest().unwrap(), b"heard");

    let (mut client, socket) = open();
    socket.send("last").unwrap();
    socket.reset().unwrap();
    assert_eq!(client.bytes(4).unwrap(), b"last");
    assert_eq!(client.rest().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn reads_and_writes_are_bounded() {
    let peer = Scripted::start().unwrap();
    let _client = connect(&peer);
    let mut socket = peer.accept_silently().unwrap();
    socket.set_limit(Duration::from_millis(20)).unwrap();
    let timed_out = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(timed_out(socket.line().unwrap_err().kind()));
    let full = std::iter::repeat_with(|| socket.send(vec![0; 1_000_000])).find_map(Result::err);
    assert!(timed_out(full.unwrap().kind()));
}

#[test]
fn one_clone_writes_while_another_reads() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let mut publisher = Publisher::connect(server.port()).unwrap();
    let writer = publisher.try_clone().unwrap();
    let writing = thread::spawn(move || {
        (0..1000).for_each(|_| writer.send("PING\r\n".repeat(100)).unwrap());
    });
    for _ in 0..100_000 {
        assert_eq!(publisher.line().unwrap(), "PONG");
    }
    writing.join().unwrap();
}

#[test]
fn a_publisher_says_to_a_real_server_what_no_client_would() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let check = |said: &[u8], expected: &str| {
        let mut publisher = Publisher::connect(server.port()).unwrap();
        publisher.send("SUB a 1\r\n").unwrap();
        publisher.send(said).unwrap();
        let heard = String::from_utf8_lossy(&publisher.bytes(expected.len()).unwrap()).into_owned();
        assert_eq!(heard, expected, "{}", said.escape_ascii());
    };
    check(b"PUB a 2\r\n\0\n\r\n", "MSG a 1 2\r\n\0\n\r\n");
    // The server passes on header blocks that are none.
    check(b"HPUB a 4 5\r\n\r\n\r\nx\r\n", "HMSG a 1 4 5\r\n\r\n\r\nx\r\n");
    check(b"PUB a 9999999\r\n", "-ERR 'Maximum Payload");
    check(b"XYZ\r\n", "-ERR 'Unknown Protocol");
}

#[test]
fn a_refused_handshake_says_why() {
    let config = "authorization { token: secret }";
    let server = Server::builder().without_jetstream().config(config).start().unwrap();
    let check = |connect: &str, expected: Result<(), &str>| {
        let mut publisher = Publisher::open(server.port()).unwrap();
        assert!(publisher.info().contains("\"auth_required\":true"), "{}", publisher.info());
        let result = publisher.handshake(connect).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            error.to_string()
        });
        assert_eq!(result, expected.map_err(String::from), "{connect}");
    };
    check(r#"{"auth_token":"secret"}"#, Err("+OK"));
    check(r#"{"verbose":false,"auth_token":"secret"}"#, Ok(()));
    check(r#"{"verbose":false}"#, Err("-ERR 'Authorization Violation'"));
}
