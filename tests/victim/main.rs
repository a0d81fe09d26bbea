//! A program that uses the client while a test makes it suffer. Says in one line of JSON what it has seen.

#[cfg(unix)]
mod cuts;
mod handle;
mod numbers;
mod outbox;
mod secrets;
mod session;
#[cfg(unix)]
mod storm;
#[cfg(unix)]
mod term;

use std::io;

fn main() {
    // Not before the test is ready.
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["session", url, run, beats] => session::run(url, run, beats == "beats", None),
        ["session", url, run, beats, ca] => session::run(url, run, beats == "beats", Some(ca)),
        ["handle", url, settlement] => handle::run(url, settlement),
        ["relay", url, database] => outbox::relay(url, database),
        ["consumer", url, database, name] => outbox::consumer(url, database, name),
        ["secrets", port, seed, way] => secrets::run(port, seed, way),
        #[cfg(unix)]
        ["storm", url, run, count] => storm::run(url, run, count.parse().unwrap()),
        #[cfg(unix)]
        ["cuts", url, count] => cuts::run(url, count.parse().unwrap()),
        #[cfg(unix)]
        ["broken-pipe"] => cuts::break_a_pipe(),
        #[cfg(unix)]
        ["term", url, run] => term::run(url, run),
        _ => panic!("no such part: {arguments:?}"),
    }
}
