//! S4: what stays of a password in memory when the client is gone. A report: nothing is promised.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use jetlane_testkit::{Program, Server, occurrences};

const LIMIT: Duration = Duration::from_secs(20);

/// Where it stands, and how often.
fn search(program: &Program, password: &str) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for place in occurrences(program.pid(), password.as_bytes()).unwrap() {
        *places.entry(place).or_default() += 1;
    }
    places
}

#[test]
fn what_stays_of_a_password_in_memory_is_counted() {
    // The program is told another word, and makes the password of it.
    let seed = "wnuqdsemoqfjyhlcz";
    let password: String = seed.bytes().map(|byte| char::from(byte ^ 1)).collect();
    let config = format!("authorization {{ user: u, password: {password:?} }}");
    for way in ["options", "url"] {
        let server = Server::builder().without_jetstream().config(&config).start().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
        command.args(["secrets", &server.port().to_string(), seed, way]);
        let mut program = Program::start(&mut command, LIMIT).unwrap();
        assert_eq!(program.line().unwrap(), "connected");
        let connected = search(&program, &password);
        assert!(!connected.is_empty(), "a client that may connect again has its password");
        program.say("go on").unwrap();
        assert_eq!(program.line().unwrap(), "dropped");
        let dropped = search(&program, &password);
        program.say("go on").unwrap();
        assert!(program.wait().unwrap().status.success());
        println!(
            "S4: password by {way}: while connected {connected:?}, after the drop {dropped:?}"
        );
    }
}
