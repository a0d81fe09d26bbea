//! A process that dies without unwinding leaves no server behind.
#![cfg(unix)]

mod wire;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jetlane_testkit::Server;

const MODE: &str = "JETLANE_TESTKIT_ORPHAN";
const LIMIT: Duration = Duration::from_secs(20);

/// This test runs itself once more for each way to die: with the variable set it is the process
/// that dies.
#[test]
fn no_server_outlives_the_process_that_started_it() {
    match std::env::var(MODE) {
        Ok(mode) => start_a_server_and_die(&mode),
        Err(_) => ["abort", "exit", "wait to be killed"].into_iter().for_each(check),
    }
}

fn check(mode: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_server_outlives_the_process_that_started_it", "--nocapture"])
        .env(MODE, mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The bystander inherits the child's stdin and so lives until this end of it is closed.
    let bystanders_stdin = child.stdin.take();
    let (pid, port, folder, bystander) = report(&mut child);
    if mode == "wait to be killed" {
        assert!(wire::is_alive(pid));
        child.kill().unwrap();
    }
    child.wait().unwrap();

    gone_within_limit(mode, "the server", || !wire::is_alive(pid));
    gone_within_limit(mode, "its port", || TcpStream::connect(("127.0.0.1", port)).is_err());
    gone_within_limit(mode, "its folder", || !std::path::Path::new(&folder).exists());
    // If it had inherited the guard's pipe, the guard would have waited for it.
    assert!(wire::is_alive(bystander), "{mode}: the bystander was to outlive the server");
    drop(bystanders_stdin);
}

/// Reads the one line that the child writes about its server.
fn report(child: &mut Child) -> (u32, u16, String, u32) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines
        .find_map(|line| line.unwrap().split_once("server: ").map(|(_, rest)| rest.to_owned()))
        .expect("the child reports its server");
    let fields: Vec<&str> = line.split(' ').collect();
    let [pid, port, folder, bystander] = fields[..] else { panic!("{line}") };
    (pid.parse().unwrap(), port.parse().unwrap(), folder.to_owned(), bystander.parse().unwrap())
}

fn gone_within_limit(mode: &str, what: &str, gone: impl Fn() -> bool) {
    let start = Instant::now();
    while !gone() {
        assert!(start.elapsed() < LIMIT, "{mode}: {what} is still there");
        std::thread::yield_now();
    }
}

#[expect(clippy::zombie_processes, reason = "the process dies, and its children are to outlive it")]
fn start_a_server_and_die(mode: &str) {
    let server = Server::start().unwrap();
    let bystander =
        Command::new("cat").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = server.log();
    let config = log.split("Using configuration file: ").nth(1).unwrap();
    let folder = config.split("/server.conf").next().unwrap();
    println!("server: {} {} {folder} {}", server.pid(), server.port(), bystander.id());
    match mode {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        _ => {
            // The parent kills this process; should it fail to, the end of its pipe ends this
            // process.
            let _ = std::io::stdin().read(&mut [0]);
        }
    }
}
