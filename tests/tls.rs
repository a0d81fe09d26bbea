//! TLS: who is trusted and under which name, what is never sent in the clear, and that all else is as without.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jetlane_client::{Client, ConnectError, ConnectOptions, Event, Overflow, Tls, TlsError};
use jetlane_testkit::Direction::{ToClient, ToServer};
use jetlane_testkit::{
    Certificates, Cluster, End, Flaw, Identity, Proxy, Publisher, Scripted, Server,
};
use jetlane_tests::{DEADLINE, event, eventually, next_failure, next_loss, next_return};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// For those who know the password only.
const PASSWORD: &str = "\nauthorization { user: u, password: MARKER }";

fn start(config: &str) -> Server {
    Server::builder().without_jetstream().config(config).start().unwrap()
}

/// A server with a good certificate.
fn good_server() -> (Certificates, Server) {
    let certificates = Certificates::new().unwrap();
    let server = start(&certificates.server_config(Flaw::None, ""));
    (certificates, server)
}

fn trusting(certificates: &Certificates) -> Tls {
    Tls::new().root_certificates(certificates.ca())
}

fn with(tls: Tls) -> ConnectOptions {
    ConnectOptions::new().tls(tls)
}

fn tls_url(port: u16) -> String {
    format!("tls://localhost:{port}")
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    assert!(parts.iter().any(|part| text.contains(part)), "none of {parts:?} is in {text:?}");
}

/// The words of a `ConnectError::Tls`.
#[track_caller]
fn tls_error(result: Result<Client, ConnectError>) -> String {
    match result {
        Err(error @ ConnectError::Tls { .. }) => error.to_string(),
        Err(error) => panic!("another error: {error:?}"),
        Ok(_) => panic!("it has connected"),
    }
}

/// A message goes out and comes back.
#[track_caller]
fn works(client: &Client) {
    let mut echo = client.subscribe("works").unwrap();
    client.publish("works", "x").unwrap();
    assert_eq!(echo.next_timeout(DEADLINE).unwrap().payload(), b"x");
}

#[test]
fn a_certificate_of_an_authority_that_we_trust_is_taken_however_tls_is_asked_for() {
    let (certificates, server) = good_server();
    for url in [tls_url(server.port()), server.url(), server.url().replace("nats:", "tls:")] {
        works(&with(trusting(&certificates)).connect(&url).unwrap());
    }
    // Both authorities are trusted.
    let both = Tls::new().root_certificates(certificates.other_ca());
    works(&with(both.root_certificates(certificates.ca())).connect(&server.url()).unwrap());
}

#[test]
fn tls_that_only_the_server_asks_for_trusts_nobody_but_whom_the_system_trusts() {
    let (_certificates, server) = good_server();
    for url in [server.url(), tls_url(server.port())] {
        let error = tls_error(Client::connect(&url));
        says(&error, &["UnknownIssuer", "no certificates to trust"]);
    }
}

#[test]
fn a_server_that_can_not_prove_who_it_is_is_refused_and_told_why() {
    let certificates = Certificates::new().unwrap();
    for (flaw, why) in [
        (Flaw::Expired, "expired"),
        (Flaw::OtherCa, "UnknownIssuer"),
        (Flaw::WrongName, "not valid for name"),
    ] {
        for first in [false, true] {
            let more = format!("handshake_first: {first}");
            let server = start(&certificates.server_config(flaw, &more));
            let tls = trusting(&certificates);
            let tls = if first { tls.handshake_first() } else { tls };
            says(&tls_error(with(tls).connect(&tls_url(server.port()))), &[why]);
        }
    }
}

#[test]
fn a_server_name_of_ones_own_is_the_one_that_must_be_right() {
    let certificates = Certificates::new().unwrap();
    let server = start(&certificates.server_config(Flaw::WrongName, ""));
    let named = |name| with(trusting(&certificates).server_name(name)).connect(&server.url());
    works(&named("stranger.test").unwrap());
    says(&tls_error(named("localhost")), &["not valid for name"]);
    says(&tls_error(named("no name")), &["no name that a certificate can be for"]);
}

#[test]
fn a_server_that_demands_a_client_certificate_takes_a_good_one_only() {
    let certificates = Certificates::new().unwrap();
    let server = start(&certificates.server_config(Flaw::None, "verify: true"));
    let connect = |identity: Option<Identity>| {
        let tls = trusting(&certificates);
        let tls = match identity {
            None => tls,
            Some(Identity { certificate, key }) => tls.client_certificate(certificate, key),
        };
        with(tls).connect(&server.url())
    };
    works(&connect(Some(certificates.client(Flaw::None))).unwrap());
    says(&tls_error(connect(None)), &["CertificateRequired", "BadCertificate"]);
    for flaw in [Flaw::OtherCa, Flaw::Expired] {
        let alerts = ["BadCertificate", "UnknownCA", "CertificateExpired"];
        says(&tls_error(connect(Some(certificates.client(flaw)))), &alerts);
    }
    let Identity { certificate, .. } = certificates.client(Flaw::None);
    let Identity { key, .. } = certificates.client(Flaw::OtherCa);
    let error = tls_error(connect(Some(Identity { certificate, key })));
    says(&error, &["the client certificate can not be used"]);
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let (certificates, server) = good_server();
    let Identity { certificate, key } = certificates.client(Flaw::None);
    let missing = Path::new("no/such.pem");
    for (tls, file) in [
        (Tls::new().root_certificates(missing), "no/such.pem"),
        (Tls::new().root_certificates(&key), "client-none.key"),
        (trusting(&certificates).client_certificate(missing, &key), "no/such.pem"),
        (trusting(&certificates).client_certificate(&certificate, missing), "no/such.pem"),
        (trusting(&certificates).client_certificate(&certificate, &certificate), "client-none.pem"),
    ] {
        says(&tls_error(with(tls).connect(&server.url())), &[file]);
    }
}

#[test]
fn the_handshake_may_come_first_and_who_does_not_expect_it_says_so_in_time() {
    let certificates = Certificates::new().unwrap();
    let first = start(&certificates.server_config(Flaw::None, "handshake_first: true"));
    let later = start(&certificates.server_config(Flaw::None, ""));
    let plain = start("");
    let tls = trusting(&certificates);
    works(&with(tls.clone().handshake_first()).connect(&first.url()).unwrap());
    let timeout = Duration::from_millis(500);
    // A server that speaks first is not understood; one that waits for the handshake says nothing.
    type Is = fn(&ConnectError) -> bool;
    let no_tls: Is = |error| matches!(error, ConnectError::Tls { .. });
    let silent: Is = |error| matches!(error, ConnectError::TimedOut { .. });
    for (server, tls, is) in [
        (&later, tls.clone().handshake_first(), no_tls),
        (&plain, tls.clone().handshake_first(), no_tls),
        (&first, tls, silent),
    ] {
        let started = Instant::now();
        let error = with(tls).connect_timeout(timeout).connect(&server.url()).unwrap_err();
        assert!(is(&error), "{error:?}");
        let took = started.elapsed();
        assert!(took < timeout + Duration::from_secs(2), "it took {took:?} of {timeout:?}");
    }
}

#[test]
fn a_server_without_tls_gets_nothing_from_a_client_that_demands_it() {
    let credentials = || ConnectOptions::new().user_password("u", "MARKER");
    let server = start("");
    let peer = Scripted::start().unwrap();
    for port in [server.port(), peer.port()] {
        for (options, url) in [
            (credentials(), tls_url(port)),
            (credentials().tls(Tls::new()), format!("nats://localhost:{port}")),
        ] {
            let connecting = thread::spawn(move || options.connect(&url));
            if port == peer.port() {
                let mut socket = peer.accept_silently().unwrap();
                socket.send(format!("INFO {}\r\n", Scripted::INFO)).unwrap();
                assert_eq!(socket.rest().unwrap(), b"");
            }
            let error = connecting.join().unwrap().unwrap_err();
            assert!(matches!(error, ConnectError::NotSecure { .. }), "{error:?}");
        }
    }
}

/// Has a client of the server with TLS at `port` meet servers that ask for none, and go back. Returns how many bytes those were sent.
fn sent_without_tls(options: ConnectOptions, port: u16) -> usize {
    let proxy = Proxy::start(port).unwrap();
    let url = format!("nats://u:MARKER@localhost:{}", proxy.port());
    let options = options
        .reconnect_delay(|_| Duration::from_millis(1))
        .connect_timeout(Duration::from_secs(1));
    let client = options.connect(&url).unwrap();
    works(&client);
    let mut events = client.events();
    // The same server, as somebody between shows it.
    forge(&proxy, "\"tls_required\":true", "\"tls_required\":false");
    client.force_reconnect();
    let reasons: Vec<_> = (0..3).map(|_| next_failure(&mut events)).collect();
    // And another one, of which the user tells. It takes one connection and no other.
    let peer = Scripted::start().unwrap();
    client.set_servers(&format!("nats://u:MARKER@127.0.0.1:{}", peer.port())).unwrap();
    let mut socket = peer.accept_silently().unwrap();
    drop(peer);
    socket.send(format!("INFO {}\r\n", Scripted::INFO)).unwrap();
    let to_other = socket.rest().unwrap().len();
    proxy.rewrite(ToClient, |_| ());
    let forged = 1..proxy.connections();
    client.set_servers(&url).unwrap();
    next_return(&mut events);
    works(&client);
    let sent = forged.map(|n| proxy.seen_on(n, ToServer).len()).sum::<usize>() + to_other;
    let refused = |reason: &String| reason.contains("does not offer TLS");
    assert!(reasons.iter().all(refused), "{sent} bytes sent without TLS: {reasons:?}");
    sent
}

/// T2: the user's own authorities demand TLS also where the URL does not.
#[test]
fn a_client_with_authorities_of_its_own_sends_nothing_to_a_server_that_asks_for_no_tls_later() {
    let certificates = Certificates::new().unwrap();
    let server = start(&(certificates.server_config(Flaw::None, "") + PASSWORD));
    let sent = sent_without_tls(with(trusting(&certificates)), server.port());
    println!("T2: after TLS by authorities of our own: {sent} bytes sent without it");
    assert_eq!(sent, 0);
}

/// Tells a run of this program that it is the one whose system trusts the test's authority.
const TRUSTING: &str = "JETLANE_TEST_TLS_PORT";

/// T2: that a server asked for TLS once is remembered. Only whom the system trusts can ask for it, and what the system trusts is the same
/// for a whole process: so this is tried in another one.
#[test]
fn a_client_of_whom_tls_was_asked_once_sends_nothing_to_a_server_that_asks_for_none_later() {
    if let Ok(port) = std::env::var(TRUSTING) {
        let sent = sent_without_tls(ConnectOptions::new(), port.parse().unwrap());
        println!("T2: after TLS that only the server asked for: {sent} bytes sent without it");
        return assert_eq!(sent, 0);
    }
    let certificates = Certificates::new().unwrap();
    let server = start(&(certificates.server_config(Flaw::None, "") + PASSWORD));
    let name = "tls::a_client_of_whom_tls_was_asked_once_sends_nothing_to_a_server_that_asks_for_none_later";
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(TRUSTING, server.port().to_string())
        .env("SSL_CERT_FILE", certificates.ca())
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // Each of its waits has a deadline.
    assert!(run.wait().unwrap().success(), "see above");
}

#[test]
fn certificates_that_are_replaced_on_disk_are_used_for_the_next_connection() {
    let certificates = Certificates::new().unwrap();
    let server = start(&certificates.server_config(Flaw::None, "verify: true"));
    let own = |name: &str| certificates.ca().with_file_name(name);
    let (ca, pem, key) = (own("own-ca.pem"), own("own.pem"), own("own.key"));
    let copy = |from: &Path, to: &PathBuf| fs::copy(from, to).map(drop).unwrap();
    let show = |flaw| {
        let identity = certificates.client(flaw);
        copy(&identity.certificate, &pem);
        copy(&identity.key, &key);
    };
    copy(&certificates.ca(), &ca);
    show(Flaw::None);
    let tls = Tls::new().root_certificates(&ca).client_certificate(&pem, &key);
    let client = with(tls).connect(&server.url()).unwrap();
    let mut events = client.events();
    show(Flaw::OtherCa);
    client.force_reconnect();
    says(&next_failure(&mut events), &["BadCertificate", "UnknownCA"]);
    show(Flaw::None);
    next_return(&mut events);
    copy(&certificates.other_ca(), &ca);
    client.force_reconnect();
    says(&next_failure(&mut events), &["UnknownIssuer"]);
    copy(&certificates.ca(), &ca);
    next_return(&mut events);
    works(&client);
}

#[test]
fn a_rustls_configuration_of_ones_own_is_used_as_it_is() {
    let (certificates, server) = good_server();
    let config = |ca: PathBuf| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Tls::new().rustls(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    };
    works(&with(config(certificates.ca())).connect(&server.url()).unwrap());
    let error = tls_error(with(config(certificates.other_ca())).connect(&server.url()));
    says(&error, &["UnknownIssuer"]);
}

#[test]
fn large_and_very_many_messages_come_through_tls_both_ways_whole_and_in_order() {
    let (certificates, server) = good_server();
    let client = with(trusting(&certificates)).connect(&server.url()).unwrap();
    let payload = |n: usize, size: usize| -> Vec<u8> {
        (0..size).map(|at| u8::try_from((n + at) % 251).unwrap()).collect()
    };
    for (count, size) in [(20, 1 << 20), (20_000, 100)] {
        let mut all =
            client.subscription("m").overflow(Overflow::Block).queue_messages(4).queued().unwrap();
        let publisher = client.clone();
        let publishing = thread::spawn(move || {
            for n in 0..count {
                publisher.publish("m", payload(n, size)).unwrap();
            }
        });
        for n in 0..count {
            let message = all.next_timeout(DEADLINE);
            let message = message.unwrap_or_else(|| panic!("message {n} of {size} bytes is lost"));
            assert!(message.payload() == payload(n, size), "message {n} of {size} bytes");
        }
        publishing.join().unwrap();
    }
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn who_reads_slowly_loses_nothing_while_others_publish() {
    let (certificates, server) = good_server();
    let proxy = Proxy::start(server.port()).unwrap();
    let client = with(trusting(&certificates)).connect(&proxy.url()).unwrap();
    let mut all =
        client.subscription("m").overflow(Overflow::Block).queue_messages(1).queued().unwrap();
    proxy.throttle(ToClient, Some(4 << 20));
    let publisher = client.clone();
    let publishing = thread::spawn(move || {
        for n in 0..2000u32 {
            publisher.publish("m", [&n.to_be_bytes()[..], &[0; 2000]].concat()).unwrap();
        }
        publisher.flush()
    });
    for n in 0..2000u32 {
        let message = all.next_timeout(DEADLINE).unwrap_or_else(|| panic!("message {n} is lost"));
        assert_eq!(message.payload()[..4], n.to_be_bytes(), "message {n} comes next");
    }
    publishing.join().unwrap().wait().unwrap();
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn close_brings_everything_to_the_server_through_tls_wherever_it_has_stopped() {
    let (certificates, server) = good_server();
    let witness = with(trusting(&certificates)).connect(&server.url()).unwrap();
    let mut seen =
        witness.subscription("m").overflow(Overflow::Block).queue_messages(10).queued().unwrap();
    witness.flush().wait().unwrap();
    let connect = |proxy: &Proxy| {
        let options = with(trusting(&certificates)).socket_buffers(Some(64 << 10), None);
        let client = options.connect(&proxy.url()).unwrap();
        proxy.stall(ToServer);
        client
    };
    // Publishes and says whether TLS has taken it; the socket may have taken less.
    let publish = |client: &Client| {
        let before = client.stats().bytes_out;
        client.publish("m", [7; 50_000]).unwrap();
        let until = Instant::now() + Duration::from_millis(300);
        while client.stats().bytes_out < before + 50_000 && Instant::now() < until {
            thread::park_timeout(Duration::from_millis(1));
        }
        client.stats().bytes_out >= before + 50_000
    };
    let proxy = Proxy::start(server.port()).unwrap();
    let client = connect(&proxy);
    let fit = (0..1000).take_while(|_| publish(&client)).count();
    proxy.go_on(ToServer);
    client.close(DEADLINE).unwrap();
    (0..=fit).for_each(|_| drop(seen.next_timeout(DEADLINE).unwrap()));
    for count in fit.saturating_sub(3)..=fit + 1 {
        let proxy = Proxy::start(server.port()).unwrap();
        let client = connect(&proxy);
        (0..count).for_each(|_| _ = publish(&client));
        let closing = thread::spawn(move || client.close(DEADLINE));
        // Long enough for it to have closed too early.
        thread::park_timeout(Duration::from_millis(50));
        proxy.go_on(ToServer);
        assert_eq!(closing.join().unwrap(), Ok(()));
        for n in 0..count {
            assert!(seen.next_timeout(DEADLINE).is_some(), "{n} of {count} is lost");
        }
    }
}

#[test]
fn a_connection_with_tls_comes_back_after_the_server_was_killed() {
    let (certificates, mut server) = good_server();
    let client = with(trusting(&certificates)).connect(&server.url()).unwrap();
    let mut events = client.events();
    let mut kept = client.subscribe("kept").unwrap();
    for round in 0..3u8 {
        server.kill();
        next_loss(&mut events);
        client.publish("kept", [round]).unwrap();
        server.restart().unwrap();
        next_return(&mut events);
        assert_eq!(kept.next_timeout(DEADLINE).unwrap().payload(), [round]);
    }
}

/// Replaces a text in the INFO by another.
fn forge(proxy: &Proxy, old: &str, new: &str) {
    let (old, new) = (old.to_owned(), new.to_owned());
    proxy.rewrite(ToClient, move |bytes| {
        if bytes.starts_with(b"INFO ") {
            let info = String::from_utf8(std::mem::take(bytes)).unwrap();
            assert!(info.contains(&old), "{info}");
            *bytes = info.replace(&old, &new).into_bytes();
        }
    });
}

#[test]
fn a_man_in_the_middle_neither_chooses_the_name_nor_gets_credentials() {
    let certificates = Certificates::new().unwrap();
    // The man in the middle has a good certificate of his own.
    let config = certificates.server_config(Flaw::WrongName, "") + PASSWORD;
    let server = start(&config);
    let proxy = Proxy::start(server.port()).unwrap();
    let url = format!("tls://u:MARKER@localhost:{}", proxy.port());
    let connect = || with(trusting(&certificates)).connect(&url);
    for (old, new) in [
        ("\"host\":\"127.0.0.1\"", "\"host\":\"stranger.test\""),
        ("\"headers\":true", "\"headers\":true,\"connect_urls\":[\"stranger.test:1\"]"),
    ] {
        forge(&proxy, old, new);
        says(&tls_error(connect()), &["not valid for name"]);
    }
    forge(&proxy, "\"tls_required\":true", "\"tls_required\":false");
    let error = connect().unwrap_err();
    assert!(matches!(error, ConnectError::NotSecure { .. }), "{error:?}");
    assert_eq!(proxy.seen(ToServer), b"", "nothing was said");
    for connection in 0..proxy.connections() {
        let sent = proxy.seen_on(connection, ToServer);
        assert!(!sent.windows(6).any(|bytes| bytes == b"MARKER"));
    }
}

#[test]
fn a_server_that_another_tells_of_by_a_name_must_prove_the_name_that_the_user_gave() {
    let certificates = Certificates::new().unwrap();
    // It has a good certificate, but for a name that the user never gave.
    let stranger = start(&certificates.server_config(Flaw::WrongName, ""));
    let port = stranger.port();
    let advertise = format!("client_advertise: \"stranger.test:{port}\"");
    let config = certificates.server_config(Flaw::None, "") + &advertise;
    let mut cluster = Cluster::builder(2).config(&config).start().unwrap();
    let client = with(trusting(&certificates))
        .resolver(|_, port| Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]))
        .connect(&tls_url(cluster.nodes()[0].port()))
        .unwrap();
    let mut events = client.events();
    cluster.node_mut(0).kill();
    let at_stranger = |event: &Event| match event {
        Event::ConnectFailed { server, reason, .. } if server.contains("stranger") => {
            Some(reason.clone())
        }
        Event::Reconnected { server } => panic!("connected to {server}"),
        _ => None,
    };
    says(&event(&mut events, "the stranger is tried", at_stranger), &["not valid for name"]);
}

#[test]
fn what_stands_behind_info_before_the_handshake_is_never_read() {
    let (certificates, server) = good_server();
    for injected in ["PONG\r\n", "-ERR 'x'\r\n", "M", "INFO {}\r\n"] {
        let proxy = Proxy::start(server.port()).unwrap();
        forge(&proxy, "\r\n", &format!("\r\n{injected}"));
        let error = with(trusting(&certificates)).connect(&proxy.url()).unwrap_err();
        let ConnectError::Protocol { reason, .. } = error else { panic!("{error:?}") };
        says(&reason, &["between its INFO and TLS"]);
        assert_eq!(proxy.seen(ToServer), b"");
    }
}

#[test]
fn servers_that_a_cluster_tells_of_are_verified_by_the_name_that_the_user_gave() {
    let certificates = Certificates::for_names(&["localhost"]).unwrap();
    let config = certificates.server_config(Flaw::None, "");
    let mut cluster = Cluster::builder(3).config(&config).start().unwrap();
    let url = tls_url(cluster.nodes()[0].port());
    let client = with(trusting(&certificates)).connect(&url).unwrap();
    let mut events = client.events();
    let mut kept = client.subscribe("kept").unwrap();
    cluster.node_mut(0).kill();
    let server = next_return(&mut events);
    let others: Vec<_> =
        cluster.urls()[1..].iter().map(|url| url.replace("nats:", "tls:")).collect();
    assert!(others.contains(&server), "{server} of {others:?}");
    client.publish("kept", "x").unwrap();
    assert_eq!(kept.next_timeout(DEADLINE).unwrap().payload(), b"x");
    // By its address, which the certificate does not name, the same server is refused.
    let error = tls_error(with(trusting(&certificates)).connect(&server));
    says(&error, &["not valid for name"]);
}

#[test]
fn a_handshake_in_pieces_ends_well_and_one_that_stands_still_ends_in_time() {
    let (certificates, server) = good_server();
    let proxy = Proxy::start(server.port()).unwrap();
    let options = with(trusting(&certificates));
    for direction in [ToClient, ToServer] {
        proxy.slice(direction, Some(1));
        proxy.delay(direction, Duration::from_millis(20));
    }
    let started = Instant::now();
    works(&options.clone().connect(&proxy.url()).unwrap());
    let in_pieces = started.elapsed();
    for direction in [ToClient, ToServer] {
        proxy.slice(direction, None);
        proxy.delay(direction, Duration::ZERO);
    }
    proxy.stall(ToServer);
    let timeout = Duration::from_millis(300);
    let started = Instant::now();
    let error = options.clone().connect_timeout(timeout).connect(&proxy.url()).unwrap_err();
    let stood_still = started.elapsed();
    println!(
        "T5: a handshake byte by byte and a message in {in_pieces:?}; one that stands still ended after {stood_still:?} of {timeout:?}"
    );
    assert!(in_pieces < Duration::from_secs(5), "the handshake in pieces took {in_pieces:?}");
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    assert!((timeout..timeout * 4).contains(&stood_still), "{stood_still:?} of {timeout:?}");
    proxy.go_on(ToServer);
    works(&options.connect(&proxy.url()).unwrap());
}

#[test]
fn a_handshake_that_is_cut_anywhere_ends_with_an_error_and_the_next_one_ends_well() {
    let (certificates, server) = good_server();
    let info = "INFO \r\n".len() + Publisher::open(server.port()).unwrap().info().len();
    let info = u64::try_from(info).unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let connect = || with(trusting(&certificates)).connect(&proxy.url());
    for (direction, start) in [(ToClient, info + 2), (ToServer, 0)] {
        for more in [1, 5, 6, 100, 200] {
            for end in [End::Fin, End::Rst] {
                proxy.cut_after(direction, start + more, end);
                let error = connect().unwrap_err();
                assert!(
                    matches!(error, ConnectError::Io { .. } | ConnectError::Tls { .. }),
                    "{direction:?} {more} {end:?}: {error:?}"
                );
            }
        }
    }
    works(&connect().unwrap());
}

#[test]
fn a_certificate_that_has_expired_meanwhile_is_told_in_the_events() {
    let (certificates, server) = good_server();
    let client = with(trusting(&certificates)).connect(&server.url()).unwrap();
    let mut events = client.events();
    server.reload(&certificates.server_config(Flaw::Expired, "")).unwrap();
    works(&client);
    client.force_reconnect();
    says(&next_failure(&mut events), &["expired"]);
    says(&client.last_error().unwrap(), &["expired"]);
    server.reload(&certificates.server_config(Flaw::None, "")).unwrap();
    next_return(&mut events);
    works(&client);
}

/// How long this thread has run on a processor.
#[cfg(target_os = "linux")]
fn time_on_cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

#[cfg(target_os = "linux")]
#[test]
fn a_handshake_that_stands_still_takes_no_processor() {
    let (certificates, server) = good_server();
    let proxy = Proxy::start(server.port()).unwrap();
    for direction in [ToServer, ToClient] {
        proxy.stall(direction);
        let options = with(trusting(&certificates)).connect_timeout(Duration::from_secs(1));
        let before = time_on_cpu();
        let error = options.connect_local(&proxy.url()).unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
        if let Some((before, after)) = before.zip(time_on_cpu()) {
            let used = after - before;
            println!(
                "T5: {direction:?} standing still for a second of a handshake: {used:?} of CPU"
            );
            assert!(used < Duration::from_millis(250), "{direction:?}: {used:?} of CPU");
        }
        proxy.go_on(direction);
    }
}

#[test]
fn a_connection_with_tls_that_stands_still_takes_few_turns() {
    let (certificates, server) = good_server();
    let proxy = Proxy::start(server.port()).unwrap();
    let mut local = with(trusting(&certificates)).connect_local(&proxy.url()).unwrap();
    proxy.stall(ToServer);
    let client = local.client().clone();
    // Until nothing more can be written.
    let mut written = u64::MAX;
    eventually("the socket takes no more", || {
        while client.try_publish("m", [0; 10_000]).is_ok() {}
        (0..5).for_each(|_| _ = local.turn(Duration::from_millis(20)));
        let before = std::mem::replace(&mut written, client.stats().bytes_out);
        (before == written).then_some(())
    });
    let (mut turns, until) = (0, Instant::now() + Duration::from_millis(500));
    while Instant::now() < until {
        local.turn(Duration::from_millis(50));
        turns += 1;
    }
    println!("T5: {turns} turns in half a second of a connection that stands still");
    assert!(turns < 50, "{turns} turns in half a second");
    proxy.go_on(ToServer);
    local.flush().unwrap();
}

#[test]
fn what_is_wrong_with_tls_is_an_error_of_its_own() {
    let (certificates, server) = good_server();
    let source = |tls| match with(tls).connect(&server.url()) {
        Err(ConnectError::Tls { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let strange = trusting(&certificates).server_name("");
    assert!(matches!(source(strange), TlsError::Name { .. }));
    let missing = Tls::new().root_certificates("no/such.pem");
    assert!(matches!(source(missing), TlsError::File { .. }));
    let stranger = Tls::new().root_certificates(certificates.other_ca());
    assert!(matches!(source(stranger), TlsError::Handshake(_)));
}
