//! The life of one server, against a real nats-server.

mod wire;

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use jetlane_testkit::{Publisher, ReloadError, Server, StartError};
use wire::Connection;

#[test]
fn it_serves_jetstream_unless_told_not_to() {
    let check = |server: Server, expected: bool| {
        let info = Connection::open(server.port()).info;
        assert_eq!(info.contains("\"jetstream\":true"), expected, "{info}");
        assert_eq!(server.url(), format!("nats://127.0.0.1:{}", server.port()));
        assert!(server.log().contains("Server is ready"), "{}", server.log());
    };
    check(Server::start().unwrap(), true);
    check(Server::builder().without_jetstream().start().unwrap(), false);
}

#[test]
fn the_config_is_the_servers_own_but_cannot_move_it() {
    let other = "listen: \"0.0.0.0:1\"\nlog_file: \"elsewhere.log\"\nmax_payload: 2000";
    let server = Server::builder().config("max_control_line: 5000").config(other).start().unwrap();
    let info = Connection::open(server.port()).info;
    assert!(info.contains("\"max_payload\":2000"), "{info}");
    assert!(server.log().contains("Server is ready"));
}

#[test]
fn a_wrong_config_is_an_error_that_quotes_the_log() {
    let check = |config: &str, expected: &str| match Server::builder().config(config).start() {
        Err(StartError::Exited { log, .. }) => assert!(log.contains(expected), "{log}"),
        other => panic!("{config}: {other:?}"),
    };
    check("authorization {{", "Parse error on line ");
    check("no_such_option: 1", "no_such_option");
    check("jetstream { store_dir: \"/elsewhere\" }", "store_dir");
}

#[test]
fn a_restart_keeps_the_port_and_the_store() {
    let mut server = Server::start().unwrap();
    let (port, first_pid) = (server.port(), server.pid());
    let mut connection = Connection::open(port);
    let create = r#"{"name":"KEPT","subjects":["kept"],"storage":"file"}"#;
    let created = connection.request("$JS.API.STREAM.CREATE.KEPT", create);
    assert!(created.contains("\"did_create\":true"), "{created}");
    let stored = connection.request("kept", "one");
    assert!(stored.contains("\"seq\":1"), "{stored}");

    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(server.pid(), first_pid);
    server.kill();
    for round in 0..5 {
        server.restart().unwrap();
        let stream = Connection::open(port).request("$JS.API.STREAM.INFO.KEPT", "");
        assert!(stream.contains("\"messages\":1"), "round {round}: {stream}");
        assert_eq!(server.port(), port);
    }
    assert_ne!(server.pid(), first_pid);
}

#[test]
fn a_paused_server_answers_only_after_it_resumes() {
    let server = Server::start().unwrap();
    let mut connection = Connection::open(server.port());
    for _ in 0..5 {
        server.pause();
        connection.send("PING\r\n");
        assert_eq!(connection.line_within(Duration::from_millis(100)), None);
        server.resume();
        assert_eq!(connection.line(), "PONG");
    }
}

#[test]
fn a_paused_server_can_be_restarted_and_dropped() {
    let mut server = Server::start().unwrap();
    server.pause();
    server.restart().unwrap();
    server.pause();
}

#[test]
fn a_server_that_is_asked_to_quit_ends_its_connections_and_can_be_restarted() {
    let mut server = Server::start().unwrap();
    for _ in 0..2 {
        let mut connection = Connection::open(server.port());
        server.quit().unwrap();
        assert_eq!(connection.line(), "");
        assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
        assert_eq!(server.quit().unwrap_err().kind(), ErrorKind::NotConnected);
        server.restart().unwrap();
    }
    assert!(Connection::open(server.port()).info.contains("\"jetstream\":true"));
}

#[test]
fn a_lame_duck_tells_its_clients_and_ends() {
    let config = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"100ms\"";
    let mut server = Server::builder().without_jetstream().config(config).start().unwrap();
    let mut client = Publisher::open(server.port()).unwrap();
    // Only whoever knows this protocol is told.
    client.handshake(r#"{"verbose":false,"protocol":1}"#).unwrap();
    server.lame_duck().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    // There may be other news before.
    while !client.line_starting("INFO ").unwrap().contains("\"ldm\":true") {}
    assert_eq!(client.rest().unwrap(), b"");
    server.wait_until_ended().unwrap();
    assert_eq!(server.lame_duck().unwrap_err().kind(), ErrorKind::NotConnected);
    server.restart().unwrap();
    Connection::open(server.port());
}

#[test]
fn a_reload_takes_effect_or_says_why_not() {
    let mut server = Server::builder().config("max_payload: 2000").start().unwrap();
    let max_payload = |server: &Server, expected: u32| {
        let info = Connection::open(server.port()).info;
        assert!(info.contains(&format!("\"max_payload\":{expected},")), "{info}");
    };
    server.reload("max_payload: 3000").unwrap();
    max_payload(&server, 3000);
    let refused = server.reload("max_payload: {{").unwrap_err();
    assert!(matches!(&refused, ReloadError::Refused { reason } if reason.contains("Parse error")));
    max_payload(&server, 3000);
    server.reload("max_payload: 4000").unwrap();
    server.restart().unwrap();
    max_payload(&server, 4000);
    server.reload("max_payload: 5000").unwrap();
    max_payload(&server, 5000);
    server.kill();
    assert!(matches!(server.reload(""), Err(ReloadError::NotRunning)));
}

#[test]
fn nothing_is_left_after_a_drop() {
    let check = |before_drop: fn(&mut Server)| {
        let mut server = Server::start().unwrap();
        let (pid, log) = (server.pid(), server.log());
        let store = log.split("Store Directory: \"").nth(1).unwrap().split('"').next().unwrap();
        let folder = Path::new(store).parent().unwrap().parent().unwrap().to_owned();
        assert!(folder.join("server.conf").exists());
        before_drop(&mut server);
        drop(server);
        assert!(!folder.exists(), "{} is still there", folder.display());
        assert!(!wire::is_alive(pid), "process {pid} is still there");
    };
    check(|_| ());
    check(Server::kill);
    check(|server| server.restart().unwrap());
}

#[test]
fn many_servers_start_at_once() {
    let mut ports: Vec<u16> = std::thread::scope(|scope| {
        let start = || {
            let mut server = Server::start().unwrap();
            server.restart().unwrap();
            server
        };
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(start)).collect();
        let servers: Vec<Server> =
            threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        servers.iter().map(Server::port).collect()
    });
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 12);
}
