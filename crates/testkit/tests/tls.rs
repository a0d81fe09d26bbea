//! A real server with each of the certificates, and a real client that looks at them.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane_testkit::{Certificates, Flaw, Identity, Server};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const LIMIT: Duration = Duration::from_secs(20);

fn start(config: &str) -> Server {
    Server::builder().without_jetstream().config(config).start().unwrap()
}

/// What the server answers to CONNECT and PING, over TLS.
fn talk(
    server: &Server,
    ca: &Path,
    identity: Option<&Identity>,
    first: bool,
) -> io::Result<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port()))?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut info = String::new();
    if !first {
        info = line(&mut socket)?;
    }
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(Arc::new(config(ca, identity)), name).unwrap();
    let mut stream = StreamOwned::new(client, socket);
    if first {
        info = line(&mut stream)?;
    }
    assert!(info.contains("\"tls_required\":true"), "{info}");
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
    line(&mut stream)
}

fn config(ca: &Path, identity: Option<&Identity>) -> ClientConfig {
    let certificate = |file| CertificateDer::from_pem_file(file).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(ca)).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate: file, key }) => builder
            .with_client_auth_cert(
                vec![certificate(file)],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
    }
}

/// Byte by byte, as what follows the line may be a handshake.
fn line(from: &mut impl io::Read) -> io::Result<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        from.by_ref().read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[test]
fn a_client_sees_what_is_wrong_with_the_server() {
    let certificates = Certificates::new().unwrap();
    let check = |flaw: Flaw, expected: &str| {
        for first in [false, true] {
            let more = format!("handshake_first: {first}");
            let server = start(&certificates.server_config(flaw, &more));
            let answer = talk(&server, &certificates.ca(), None, first);
            let answer = answer.unwrap_or_else(|error| error.to_string());
            assert!(answer.contains(expected), "{flaw:?} {first}: {answer}");
        }
    };
    check(Flaw::None, "PONG");
    check(Flaw::Expired, "expired");
    check(Flaw::OtherCa, "UnknownIssuer");
    check(Flaw::WrongName, "not valid for name");
}

#[test]
fn whoever_trusts_the_other_authority_trusts_its_certificates() {
    let certificates = Certificates::new().unwrap();
    let server = start(&certificates.server_config(Flaw::OtherCa, ""));
    assert_eq!(talk(&server, &certificates.other_ca(), None, false).unwrap(), "PONG");
}

#[test]
fn a_server_that_verifies_takes_only_good_clients() {
    let certificates = Certificates::new().unwrap();
    let servers = [false, true].map(|first| {
        let more = format!("verify: true, handshake_first: {first}");
        (first, start(&certificates.server_config(Flaw::None, &more)))
    });
    let check = |identity: Option<Flaw>, expected: bool| {
        let identity = identity.map(|flaw| certificates.client(flaw));
        for (first, server) in &servers {
            let answer = talk(server, &certificates.ca(), identity.as_ref(), *first);
            let taken = answer.as_deref().is_ok_and(|answer| answer == "PONG");
            assert_eq!(taken, expected, "{identity:?} {first}: {answer:?}");
        }
    };
    check(Some(Flaw::None), true);
    check(Some(Flaw::Expired), false);
    check(Some(Flaw::OtherCa), false);
    // Names mean nothing until they are mapped.
    check(Some(Flaw::WrongName), true);
    check(None, false);
}

#[test]
fn the_name_of_a_client_is_its_user() {
    let certificates = Certificates::new().unwrap();
    let users =
        format!("authorization {{ users: [ {{ user: {:?} }} ] }}", Certificates::CLIENT_NAME);
    let config = certificates.server_config(Flaw::None, "verify_and_map: true");
    let server = start(&format!("{config}{users}"));
    for (flaw, expected) in
        [(Flaw::None, "PONG"), (Flaw::WrongName, "-ERR 'Authorization Violation'")]
    {
        let identity = certificates.client(flaw);
        let answer = talk(&server, &certificates.ca(), Some(&identity), false);
        assert_eq!(answer.unwrap(), expected, "{flaw:?}");
    }
}

#[test]
fn a_server_has_the_names_that_were_asked_for() {
    let certificates = Certificates::for_names(&["elsewhere.test"]).unwrap();
    let server = start(&certificates.server_config(Flaw::None, ""));
    let error = talk(&server, &certificates.ca(), None, false).unwrap_err().to_string();
    assert!(error.contains("not valid for name \"localhost\""), "{error}");
    Certificates::for_names(&["n\u{e4}me"]).unwrap_err();
}

#[test]
fn a_server_that_wants_the_handshake_first_is_found_ready_at_once() {
    let certificates = Certificates::new().unwrap();
    let config = certificates.server_config(Flaw::None, "handshake_first: true");
    let start_time = Instant::now();
    let mut server = start(&config);
    (0..4).for_each(|_| server.restart().unwrap());
    // Each start would take a second if the readiness check waited for an INFO.
    assert!(start_time.elapsed() < Duration::from_secs(5), "{:?}", start_time.elapsed());
    assert_eq!(talk(&server, &certificates.ca(), None, true).unwrap(), "PONG");
}

#[test]
fn the_files_are_gone_with_the_certificates() {
    let certificates = Certificates::new().unwrap();
    let file = certificates.ca();
    assert!(file.exists());
    drop(certificates);
    assert!(!file.exists());
}
