//! A process that dies without unwinding leaves no server behind.
#![cfg(unix)]

#[cfg(feature = "postgres")]
mod sql;
mod wire;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jetlane_testkit::Server;

const MODE: &str = "JETLANE_TESTKIT_ORPHAN";
const LIMIT: Duration = Duration::from_secs(20);

/// Each test here runs itself once more for each way to die: with the variable set it is the
/// process that dies.
#[test]
fn no_server_outlives_the_process_that_started_it() {
    let test = "no_server_outlives_the_process_that_started_it";
    match std::env::var(MODE) {
        Ok(mode) => start_a_server_and_die(&mode),
        Err(_) => ["abort", "exit", KILLED].into_iter().for_each(|mode| check(test, mode)),
    }
}

#[cfg(feature = "postgres")]
#[test]
fn no_postgres_outlives_the_process_that_started_it() {
    let test = "no_postgres_outlives_the_process_that_started_it";
    match std::env::var(MODE) {
        Ok(mode) => start_a_postgres_and_die(&mode),
        Err(_) => ["abort", "exit", KILLED, "after a pause", "after a kill", "after a stop"]
            .into_iter()
            .for_each(|mode| check(test, mode)),
    }
}

const KILLED: &str = "wait to be killed";

/// What the process that dies tells of its server.
struct Report {
    pids: Vec<u32>,
    /// Of a TCP port, or the path of a Unix socket.
    address: String,
    folder: String,
    bystander: u32,
}

fn check(test: &str, mode: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MODE, mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The bystander inherits the child's stdin and so lives until this end of it is closed.
    let bystanders_stdin = child.stdin.take();
    let Report { pids, address, folder, bystander } = report(&mut child);
    if mode == KILLED {
        assert!(pids.iter().all(|pid| wire::is_alive(*pid)));
        child.kill().unwrap();
    }
    child.wait().unwrap();

    gone_within_limit(mode, "the server", || !pids.iter().any(|pid| wire::is_alive(*pid)));
    gone_within_limit(mode, "its address", || match address.starts_with('/') {
        true => UnixStream::connect(&address).is_err(),
        false => TcpStream::connect(&address).is_err(),
    });
    gone_within_limit(mode, "its folder", || !Path::new(&folder).exists());
    // If it had inherited the guard's pipe, the guard would have waited for it.
    assert!(wire::is_alive(bystander), "{mode}: the bystander was to outlive the server");
    drop(bystanders_stdin);
}

/// Reads the one line that the child writes about its server.
fn report(child: &mut Child) -> Report {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines
        .find_map(|line| line.unwrap().split_once("server: ").map(|(_, rest)| rest.to_owned()))
        .expect("the child reports its server");
    let fields: Vec<&str> = line.split(' ').collect();
    let [pids, address, folder, bystander] = fields[..] else { panic!("{line}") };
    Report {
        pids: pids.split(',').map(|pid| pid.parse().unwrap()).collect(),
        address: address.to_owned(),
        folder: folder.to_owned(),
        bystander: bystander.parse().unwrap(),
    }
}

fn gone_within_limit(mode: &str, what: &str, gone: impl Fn() -> bool) {
    let start = Instant::now();
    while !gone() {
        assert!(start.elapsed() < LIMIT, "{mode}: {what} is still there");
        std::thread::yield_now();
    }
}

fn start_a_server_and_die(mode: &str) {
    let server = Server::start().unwrap();
    let log = server.log();
    let config = log.split("Using configuration file: ").nth(1).unwrap();
    let folder = config.split("/server.conf").next().unwrap();
    report_and_die(
        mode,
        &server.pid().to_string(),
        &format!("127.0.0.1:{}", server.port()),
        folder,
    );
}

#[cfg(feature = "postgres")]
fn start_a_postgres_and_die(mode: &str) {
    let mut postgres = jetlane_testkit::Postgres::start().unwrap();
    let folder = postgres.socket_folder().to_str().unwrap().to_owned();
    let pids = sql::Session::open(postgres.socket_folder())
        .query("select pid from pg_stat_activity where backend_type <> 'client backend'");
    let pids = format!("{},{}", postgres.pid(), pids.join(","));
    match mode {
        "after a pause" => postgres.pause(),
        "after a kill" => postgres.kill(),
        "after a stop" => assert!(postgres.stop().unwrap().success()),
        _ => {}
    }
    report_and_die(mode, &pids, &format!("{folder}/.s.PGSQL.5432"), &folder);
}

#[expect(clippy::zombie_processes, reason = "the process dies, and its children are to outlive it")]
fn report_and_die(mode: &str, pids: &str, address: &str, folder: &str) {
    let bystander =
        Command::new("cat").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    println!("server: {pids} {address} {folder} {}", bystander.id());
    match mode {
        KILLED => {
            // The parent kills this process; should it fail to, the end of its pipe ends this
            // process.
            let _ = std::io::stdin().read(&mut [0]);
        }
        "exit" => std::process::exit(0),
        _ => std::process::abort(),
    }
}
