//! The life of one PostgreSQL server, against a real one.
#![cfg(unix)]

mod sql;
mod wire;

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jetlane_testkit::{Fsync, Postgres, PostgresStartError};
use sql::Session;

const LIMIT: Duration = Duration::from_secs(3);

/// A query that never ends, in a process that never looks whether its server is still there, and
/// that has so much memory that even the kernel needs a moment to end it.
const FOR_EVER: &str = "do $$ declare much text := repeat('x', 200000000);
    begin raise notice 'it runs'; loop end loop; end $$";

fn open(postgres: &Postgres) -> Session {
    Session::open(postgres.socket_folder())
}

/// A connection whose server process runs for ever.
fn busy(postgres: &Postgres) -> Session {
    let mut session = open(postgres);
    session.send(FOR_EVER);
    session.notice();
    session
}

/// All processes of the server; each needs a while to show itself.
fn pids(postgres: &Postgres) -> Vec<u32> {
    let pids = open(postgres).query("select pid from pg_stat_activity");
    let pids = pids.iter().map(|pid| pid.parse().unwrap());
    pids.chain([postgres.pid()]).collect()
}

/// A process that has ended is gone when the system has taken note of it, which need not be at once.
fn assert_gone(pids: &[u32]) {
    let start = Instant::now();
    for pid in pids {
        while wire::is_alive(*pid) {
            assert!(start.elapsed() < LIMIT, "process {pid} is still there");
            std::thread::yield_now();
        }
    }
}

#[test]
fn it_serves_on_its_socket_and_nowhere_else() {
    let postgres = Postgres::start().unwrap();
    assert_eq!(open(&postgres).query("select 40 + 2"), ["42"]);
    let folder = postgres.socket_folder().to_str().unwrap();
    let url = format!("postgres://postgres@{}:5432/postgres", folder.replace('/', "%2F"));
    assert_eq!(postgres.url(), url);
    assert_eq!(open(&postgres).query("select inet_server_port() is null"), ["t"]);
    let log = postgres.server_log();
    assert!(log.contains("ready to accept connections"), "{log}");
    assert!(!log.contains("listening on IP"), "{log}");
    assert!(!log.contains("FATAL"), "the wait for it has troubled it: {log}");
}

#[test]
fn settings_are_the_callers_but_cannot_move_it() {
    let postgres = Postgres::builder()
        .fsync(Fsync::Off)
        .setting("max_connections", "9")
        .setting("max_connections", "7")
        .setting("application_name", "a b=c'd\"e")
        .setting("port", "1")
        .setting("listen_addresses", "*")
        .setting("unix_socket_directories", "/elsewhere")
        .setting("logging_collector", "on")
        .start()
        .unwrap();
    let mut session = open(&postgres);
    let mut check = |name: &str, expected: &str| {
        assert_eq!(session.query(&format!("show {name}")), [expected], "{name}");
    };
    check("fsync", "off");
    check("max_connections", "7");
    check("application_name", "a b=c'd\"e");
    check("port", "5432");
    check("listen_addresses", "");
    check("logging_collector", "off");
    check("server_encoding", "UTF8");

    let postgres = Postgres::start().unwrap();
    let mut session = open(&postgres);
    assert_eq!(session.query("show fsync"), ["on"]);
    assert_eq!(session.query("show synchronous_commit"), ["on"]);
}

#[test]
fn a_wrong_setting_is_an_error_that_quotes_the_log() {
    let check = |name: &str, value: &str, expected: &str| match Postgres::builder()
        .setting(name, value)
        .start()
    {
        Err(PostgresStartError::Exited { log, .. }) => {
            assert!(log.contains(expected), "{log}");
        }
        other => panic!("{name}={value}: {other:?}"),
    };
    check("no_such_setting", "1", "no_such_setting");
    check("max_connections", "many", "max_connections");
}

#[test]
fn a_kill_takes_all_processes_and_a_restart_has_what_was_committed() {
    let mut postgres = Postgres::start().unwrap();
    let url = postgres.url();
    open(&postgres).query("create table kept (number int)");
    for round in 1..4 {
        let mut session = open(&postgres);
        session.query(&format!("insert into kept values ({round})"));
        session.query("begin; insert into kept values (-1)");
        let mut busy = busy(&postgres);
        let pids = pids(&postgres);
        let log = File::open(postgres.socket_folder().join("server.log")).unwrap();
        assert!(log.try_lock().is_err(), "the log tells whether a process is left");

        postgres.kill();
        assert!(log.try_lock().is_ok(), "a process is left");
        log.unlock().unwrap();
        assert_gone(&pids);
        assert_ne!(busy.rows().unwrap_err().kind(), ErrorKind::WouldBlock);
        let socket = postgres.socket_folder().join(".s.PGSQL.5432");
        assert!(UnixStream::connect(socket).is_err());
        assert_eq!(postgres.pid(), *pids.last().unwrap());
        postgres.kill();

        let mark = postgres.server_log().len();
        postgres.restart().unwrap();
        assert_ne!(postgres.pid(), *pids.last().unwrap());
        assert!(postgres.server_log()[mark..].contains("not properly shut down"));
        let kept = open(&postgres).query("select number from kept order by number");
        let expected: Vec<String> = (1..=round).map(|number: i32| number.to_string()).collect();
        assert_eq!(kept, expected);
        assert_eq!(postgres.url(), url);
    }
}

#[test]
fn a_running_server_can_be_restarted() {
    let mut postgres = Postgres::start().unwrap();
    open(&postgres).query("create table kept ()");
    let pids = pids(&postgres);
    postgres.restart().unwrap();
    assert_gone(&pids);
    assert_eq!(open(&postgres).query("select count(*) from kept"), ["0"]);
}

#[test]
fn a_stop_is_clean_and_waits_for_nobody() {
    let mut postgres = Postgres::start().unwrap();
    for _ in 0..2 {
        let mut session = open(&postgres);
        session.query("begin");
        let pids = pids(&postgres);
        assert!(postgres.stop().unwrap().success());
        assert_gone(&pids);
        // The server says goodbye.
        assert_eq!(session.rows().unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(postgres.stop().unwrap_err().kind(), ErrorKind::NotConnected);
        let mark = postgres.server_log().len();
        postgres.restart().unwrap();
        assert!(!postgres.server_log()[mark..].contains("not properly shut down"));
    }
    assert_eq!(open(&postgres).query("select 1"), ["1"]);
}

#[test]
fn a_paused_server_answers_only_after_it_resumes() {
    let postgres = Postgres::start().unwrap();
    let mut session = open(&postgres);
    for _ in 0..5 {
        postgres.pause();
        session.send("select 7");
        session.set_answer_limit(Duration::from_millis(100));
        assert_eq!(session.rows().unwrap_err().kind(), ErrorKind::WouldBlock);
        postgres.resume();
        session.set_answer_limit(Duration::from_secs(20));
        assert_eq!(session.rows().unwrap(), ["7"]);
        assert_eq!(open(&postgres).query("select 8"), ["8"]);
    }
}

#[test]
fn a_paused_server_can_be_restarted_and_dropped() {
    let mut postgres = Postgres::start().unwrap();
    let pids_before = pids(&postgres);
    postgres.pause();
    postgres.restart().unwrap();
    assert_gone(&pids_before);
    let pids_after = pids(&postgres);
    postgres.pause();
    let start = Instant::now();
    drop(postgres);
    // Force comes after ten seconds.
    assert!(start.elapsed() < Duration::from_secs(8), "it took force");
    assert_gone(&pids_after);
}

#[test]
fn nothing_is_left_after_a_drop() {
    let check = |what: &str, before_drop: fn(&mut Postgres)| {
        let mut postgres = Postgres::start().unwrap();
        let _busy = busy(&postgres);
        let pids = pids(&postgres);
        let memory = shared_memory(&postgres);
        let folder = postgres.socket_folder().to_owned();
        before_drop(&mut postgres);
        drop(postgres);
        assert!(!folder.exists(), "{what}: {} is still there", folder.display());
        assert_gone(&pids);
        assert!(!memory.exists(), "{what}: its shared memory is still there");
    };
    check("dropped", |_| ());
    check("killed", Postgres::kill);
    check("stopped", |postgres| assert!(postgres.stop().unwrap().success()));
    check("restarted", |postgres| postgres.restart().unwrap());
    check("paused", |postgres| postgres.pause());
}

#[test]
fn nothing_is_left_after_a_panic() {
    let (send, receive) = std::sync::mpsc::channel();
    let test = std::thread::spawn(move || {
        let postgres = Postgres::start().unwrap();
        send.send((pids(&postgres), postgres.socket_folder().to_owned())).unwrap();
        panic!("as a test does that fails");
    });
    let (pids, folder) = receive.recv().unwrap();
    test.join().unwrap_err();
    assert_gone(&pids);
    assert!(!folder.exists());
}

#[test]
fn many_servers_start_at_once() {
    let mut folders: Vec<PathBuf> = std::thread::scope(|scope| {
        let start = || {
            let mut postgres = Postgres::start().unwrap();
            postgres.restart().unwrap();
            assert_eq!(open(&postgres).query("select 1"), ["1"]);
            postgres
        };
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(start)).collect();
        let servers: Vec<Postgres> =
            threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        servers.iter().map(|postgres| postgres.socket_folder().to_owned()).collect()
    });
    folders.sort_unstable();
    folders.dedup();
    assert_eq!(folders.len(), 6);
}

/// The System V shared memory of a running server.
struct SharedMemory(String);

fn shared_memory(postgres: &Postgres) -> SharedMemory {
    let path = postgres.socket_folder().join("data/postmaster.pid");
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().nth(6).expect("the seventh line tells of it");
    let memory = SharedMemory(line.split_whitespace().nth(1).unwrap().to_owned());
    assert!(memory.exists());
    memory
}

impl SharedMemory {
    fn exists(&self) -> bool {
        let output = std::process::Command::new("ipcs").arg("-m").output();
        let output = output.expect("these tests need ipcs").stdout;
        let list = String::from_utf8_lossy(&output).into_owned();
        list.lines().any(|line| line.split_whitespace().nth(1) == Some(self.0.as_str()))
    }
}
