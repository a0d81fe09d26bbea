//! Real servers let in whom they should, and nobody else.
#![cfg(unix)]

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use jetlane_testkit::{JwtUser, Nkey, Operator, Publisher, Server};

const REFUSED: &str = "-ERR 'Authorization Violation'";

fn start(config: &str) -> Server {
    Server::builder().config(config).start().unwrap()
}

/// Connects with what `connect` makes of the nonce.
fn connect(server: &Server, connect: impl FnOnce(&str) -> String) -> Result<Publisher, String> {
    let mut publisher = Publisher::open(server.port()).unwrap();
    let nonce = publisher.info().split_once("\"nonce\":\"").expect("a nonce").1;
    let json = connect(nonce.split('"').next().unwrap());
    match publisher.handshake(&json) {
        Ok(()) => Ok(publisher),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            Err(error.to_string())
        }
    }
}

fn with_jwt(jwt: &str, signature: &str) -> String {
    format!(r#"{{"verbose":false,"jwt":"{jwt}","sig":"{signature}"}}"#)
}

fn enter(server: &Server, user: &JwtUser) -> Result<Publisher, String> {
    connect(server, |nonce| with_jwt(user.jwt(), &user.nkey().sign(nonce).unwrap()))
}

#[test]
fn a_user_needs_the_jwt_and_the_signature_of_the_nonce() {
    let operator = Operator::new().unwrap();
    let server = start(operator.server_config());
    let (user, other) = (operator.user("user").unwrap(), operator.user("other").unwrap());
    let stranger = Operator::new().unwrap().user("user").unwrap();
    let parts =
        |user: &JwtUser| user.jwt().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned()));
    let forged = format!("{}.{}", parts(&user).unwrap().0, parts(&other).unwrap().1);

    let check = |case: &str, jwt: &str, signer: &JwtUser, nonce: Option<&str>, taken: bool| {
        let result = connect(&server, |real| {
            with_jwt(jwt, &signer.nkey().sign(nonce.unwrap_or(real)).unwrap())
        });
        assert_eq!(result.map(drop), if taken { Ok(()) } else { Err(REFUSED.into()) }, "{case}");
    };
    check("as it should be", user.jwt(), &user, None, true);
    check("another user of the account", other.jwt(), &other, None, true);
    check("another's signature", user.jwt(), &other, None, false);
    check("another nonce", user.jwt(), &user, Some("nonce"), false);
    check("another operator", stranger.jwt(), &stranger, None, false);
    check("the signature of another JWT", &forged, &user, None, false);
    check("no JWT", "", &user, None, false);
    assert_eq!(connect(&server, |_| with_jwt(user.jwt(), "")).map(drop), Err(REFUSED.into()));
}

#[test]
fn the_account_has_jetstream() {
    let operator = Operator::new().unwrap();
    let server = start(operator.server_config());
    let mut user = enter(&server, &operator.user("user").unwrap()).unwrap();
    user.send("SUB answer 1\r\nPUB $JS.API.INFO answer 0\r\n\r\n").unwrap();
    user.line_starting("MSG answer").unwrap();
    let answer = user.line().unwrap();
    assert!(answer.contains("account_info_response") && !answer.contains("\"error\""), "{answer}");
}

#[test]
fn users_of_one_account_hear_each_other() {
    let operator = Operator::new().unwrap();
    let server = start(operator.server_config());
    let mut users = ["a", "b"].map(|name| enter(&server, &operator.user(name).unwrap()).unwrap());
    users[0].send("SUB said 1\r\nPING\r\n").unwrap();
    assert_eq!(users[0].line().unwrap(), "PONG");
    users[1].send("PUB said 2\r\nhi\r\n").unwrap();
    assert_eq!(users[0].line().unwrap(), "MSG said 1 2");
}

#[test]
fn a_user_is_let_in_until_its_time_is_up() {
    let operator = Operator::new().unwrap();
    let server = start(operator.server_config());
    let until = |time| operator.user_until("user", time).unwrap();
    let gone = until(SystemTime::now() - Duration::from_secs(10));
    assert_eq!(enter(&server, &gone).map(drop), Err(REFUSED.into()));
    // Whole seconds, so it is one second at least.
    let going = until(SystemTime::now() + Duration::from_secs(2));
    let mut publisher = enter(&server, &going).unwrap();
    assert_eq!(publisher.line().unwrap(), "-ERR 'User Authentication Expired'");
    let staying = until(SystemTime::now() + Duration::from_secs(3600));
    enter(&server, &staying).unwrap();
    assert!(operator.user_until("user", SystemTime::UNIX_EPOCH - Duration::from_secs(1)).is_err());
}

#[test]
fn a_creds_file_holds_the_jwt_and_the_seed() {
    let user = Operator::new().unwrap().user("user").unwrap();
    let creds = user.creds();
    let lines: Vec<&str> = creds.lines().collect();
    let after = |mark: &str| lines[lines.iter().position(|line| *line == mark).unwrap() + 1];
    assert_eq!(after("-----BEGIN NATS USER JWT-----"), user.jwt());
    assert_eq!(after(user.jwt()), "------END NATS USER JWT------");
    assert_eq!(after("-----BEGIN USER NKEY SEED-----"), user.nkey().seed());
    assert_eq!(after(user.nkey().seed()), "------END USER NKEY SEED------");
    assert!(user.nkey().seed().starts_with("SU"), "a seed of a user");
    assert!(user.nkey().public_key().starts_with('U'));
}

#[test]
fn a_user_may_have_a_key_alone() {
    let (one, two, stranger) = (Nkey::new().unwrap(), Nkey::new().unwrap(), Nkey::new().unwrap());
    let server = start(&Nkey::server_config(&[&one, &two]));
    let check = |named: &Nkey, signer: &Nkey, taken: bool| {
        let result = connect(&server, |nonce| {
            let (key, signature) = (named.public_key(), signer.sign(nonce).unwrap());
            format!(r#"{{"verbose":false,"nkey":"{key}","sig":"{signature}"}}"#)
        });
        assert_eq!(result.map(drop), if taken { Ok(()) } else { Err(REFUSED.into()) });
    };
    check(&one, &one, true);
    check(&two, &two, true);
    check(&one, &two, false);
    check(&stranger, &stranger, false);
}
