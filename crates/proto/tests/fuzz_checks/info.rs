//! What must hold of INFO, whatever a server says of itself.
//!
//! An input is the JSON of one INFO per line, in the order in which a server sends them.

use std::time::Instant;

use jetlane_proto::{Greeting, InfoError, Pong, ServerInfo, Session, SessionConfig, SessionError};

use super::info_slow::{self as slow, Verdict};

/// Checks that every INFO is read as the slow reader reads it, and what they come to in a session.
pub(crate) fn check(data: &[u8]) {
    let now = Instant::now();
    let mut session = Session::new(SessionConfig::default(), now);
    let mut greeted = false;
    for json in data.split(|&byte| byte == b'\n') {
        let read = check_read(json);
        greeted |= check_session(&mut session, greeted, json, read);
        assert!(!session.is_ready(), "no INFO makes it ready");
    }
    assert_eq!(session.on_pong(now), if greeted { Pong::Ready } else { Pong::Alive });

    // And one more that comes later.
    let json = data.split(|&byte| byte == b'\n').next().unwrap_or_default();
    check_session(&mut session, greeted, json, ServerInfo::read(json));
}

/// Reads an INFO, which the slow reader must read, too.
fn check_read(json: &[u8]) -> Result<ServerInfo, InfoError> {
    let read = ServerInfo::read(json);
    match (&read, slow::read(json)) {
        (_, Verdict::CanNotTell) | (Err(_), Verdict::Refused) => {}
        (Ok(info), Verdict::Info(expected)) => assert_eq!(*info, *expected),
        (Err(error), Verdict::Info(info)) => panic!("{error}, but it is {info:?}"),
        (Ok(info), Verdict::Refused) => panic!("{info:?}, but it should be refused"),
    }
    match &read {
        Ok(info) => check_nesting(json, info),
        Err(error) => assert!(!error.reason.is_empty()),
    }
    read
}

/// A field that nobody knows changes nothing, however deep it is.
fn check_nesting(json: &[u8], info: &ServerInfo) {
    const DEPTH: usize = 200;
    let members = json.trim_ascii_start().strip_prefix(b"{").expect("an object");
    let comma = if members.trim_ascii_start().starts_with(b"}") { "" } else { "," };
    let deep = format!("{{\"deep\":{}{}{comma}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let json = [deep.as_bytes(), members].concat();
    assert_eq!(ServerInfo::read(&json).as_ref(), Ok(info), "with {deep}");
}

/// Gives a session an INFO that was `read`, and tells whether it was taken.
fn check_session(
    session: &mut Session<()>,
    greeted: bool,
    json: &[u8],
    read: Result<ServerInfo, InfoError>,
) -> bool {
    assert_eq!(session.expect_greeted().is_ok(), greeted);
    let before = session.info().clone();
    let result = session.on_info(json);
    let taken = read.is_ok();
    match read {
        Ok(mut expected) => {
            let greeting = if greeted { Greeting::Update } else { Greeting::Connect };
            assert_eq!(result, Ok(greeting));
            if expected.max_payload == 0 {
                expected.max_payload = before.max_payload;
            }
            assert_eq!(*session.info(), expected);
        }
        Err(error) => {
            assert_eq!(result, Err(SessionError::Info(error)));
            assert_eq!(*session.info(), before, "what can not be read changes nothing");
        }
    }
    assert!(before.max_payload == 0 || session.info().max_payload != 0, "the limit is lost");
    assert_eq!(session.expect_greeted().is_ok(), greeted || taken);
    taken
}
