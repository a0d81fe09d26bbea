//! Who may connect, how we say who we are, and that nobody else learns it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use jetlane_client::proto::Connect;
use jetlane_client::{
    Auth, Backoff, Client, ConnectError, ConnectOptions, CredentialsError, Event, ServerError,
    ServerUrl, State,
};
use jetlane_testkit::{Direction, Nkey, Operator, Proxy, Scripted, Server};
use jetlane_tests::{DEADLINE, event, eventually, next_failure, next_loss, next_return};
use serde_json::{Map, Value, json};

fn start(config: &str) -> Server {
    Server::builder().without_jetstream().config(config).start().unwrap()
}

fn user(user: &str, password: &str) -> String {
    format!("authorization {{ user: {user:?}, password: {password:?} }}")
}

#[track_caller]
fn says(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

/// A file that is gone with the test.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> File {
        let name = format!("jetlane-auth-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let file = File(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    /// In one step, as nobody may find half of it.
    fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &self.0).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Taken by `server`, at `url` or with `options`.
fn is_taken(server: &Server, credentials: &str, options: ConnectOptions) {
    let url = format!("nats://{credentials}127.0.0.1:{}", server.port());
    let client = options.connect(&url).unwrap();
    client.flush().wait().unwrap();
}

/// Refused by `server`, with the error for that.
fn is_refused(server: &Server, credentials: &str, options: ConnectOptions) {
    let url = format!("nats://{credentials}127.0.0.1:{}", server.port());
    let error = options.connect(&url).unwrap_err();
    let source = &ServerError::AuthorizationViolation;
    assert!(
        matches!(&error, ConnectError::Authorization { source: said, .. } if said == source),
        "{error:?}"
    );
}

#[test]
fn the_right_credentials_of_each_kind_are_taken_and_others_refused() {
    let new = ConnectOptions::new;
    let server = start(&user("u@x", "p:s/s,w%"));
    is_taken(&server, "", new().user_password("u@x", "p:s/s,w%"));
    is_taken(&server, "u%40x:p%3As%2Fs%2Cw%25@", new());
    is_taken(&server, "other:wrong@", new().user_password("u@x", "p:s/s,w%"));
    is_refused(&server, "", new());
    is_refused(&server, "", new().user_password("u@x", "wrong"));
    is_refused(&server, "u%40x:wrong@", new());
    is_refused(&server, "", new().token("p:s/s,w%"));

    let server = start("authorization { token: \"t@k,n\" }");
    is_taken(&server, "", new().token("t@k,n"));
    is_taken(&server, "t%40k%2Cn@", new());
    is_refused(&server, "wrong@", new());
    is_refused(&server, "", new().token("wrong"));

    let (nkey, other) = (Nkey::new().unwrap(), Nkey::new().unwrap());
    let server = start(&Nkey::server_config(&[&nkey]));
    is_taken(&server, "", new().nkey(nkey.seed()));
    is_refused(&server, "", new().nkey(other.seed()));
    is_refused(&server, "", new());

    let (operator, stranger) = (Operator::new().unwrap(), Operator::new().unwrap());
    let (creds, wrong) = (operator.user("u").unwrap().creds(), stranger.user("u").unwrap().creds());
    let server = start(operator.server_config());
    let file = File::new(&creds);
    is_taken(&server, "", new().credentials_file(&file.0));
    is_taken(&server, "", new().credentials(&creds));
    is_refused(&server, "", new().credentials(&wrong));
    file.write(&wrong);
    is_refused(&server, "", new().credentials_file(&file.0));
}

#[test]
fn without_credentials_to_show_nothing_is_sent() {
    let server = start("");
    let proxy = Proxy::start(server.port()).unwrap();
    let connect = |options: ConnectOptions| {
        let error = options.connect(&proxy.url()).unwrap_err();
        assert_eq!(proxy.seen(Direction::ToServer), b"");
        match error {
            ConnectError::Credentials(error) => error,
            error => panic!("{error:?}"),
        }
    };
    let new = ConnectOptions::new;
    let seed = Nkey::new().unwrap();
    assert!(matches!(connect(new().credentials("x")), CredentialsError::Incomplete { .. }));
    assert!(matches!(connect(new().credentials_file("no/such")), CredentialsError::Read { .. }));
    assert!(matches!(connect(new().nkey("SUX")), CredentialsError::Seed));
    assert!(matches!(connect(new().nkey(seed.seed())), CredentialsError::NoNonce));
    let failing = new().auth_callback(|_| Err("on purpose".into()));
    assert!(matches!(connect(failing), CredentialsError::Callback(_)));
}

#[test]
fn each_server_in_a_list_gets_its_own_credentials() {
    let (mut first, second) = (start(&user("a", "pa")), start(&user("b", "pb")));
    let urls =
        format!("nats://a:pa@127.0.0.1:{},nats://b:pb@127.0.0.1:{}", first.port(), second.port());
    let client = ConnectOptions::new().keep_server_order().connect(&urls).unwrap();
    let mut events = client.events();
    first.kill();
    assert_eq!(next_return(&mut events), second.url());
    // The first one that takes us is the one, whatever others said.
    let urls = format!("nats://b:wrong@127.0.0.1:{0},nats://b:pb@127.0.0.1:{0}", second.port());
    ConnectOptions::new().keep_server_order().connect(&urls).unwrap();
}

#[test]
fn a_callback_signs_the_nonce_of_each_connection() {
    let nkey = Nkey::new().unwrap();
    let server = start(&Nkey::server_config(&[&nkey]));
    let nonces = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&nonces);
    let client = ConnectOptions::new()
        .auth_callback(move |nonce| {
            let nonce = String::from_utf8(nonce.ok_or("no nonce")?.to_vec())?;
            let signature = BASE64URL_NOPAD.decode(nkey.sign(&nonce)?.as_bytes())?;
            asked.lock().unwrap().push(nonce);
            Ok(Auth::NKey { public: nkey.public_key(), signature })
        })
        .connect(&server.url())
        .unwrap();
    let mut events = client.events();
    client.force_reconnect();
    next_return(&mut events);
    let nonces = nonces.lock().unwrap();
    assert!(nonces.len() == 2 && nonces[0] != nonces[1], "{nonces:?}");
}

#[test]
fn a_callback_that_fails_for_a_while_delays_the_reconnect_only() {
    let server = start("authorization { token: t }");
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let client = ConnectOptions::new()
        .auth_callback(move |_| match failing.load(SeqCst) {
            true => Err("on purpose".into()),
            false => Ok(Auth::Token("t".into())),
        })
        .connect(&server.url())
        .unwrap();
    let mut events = client.events();
    fails.store(true, SeqCst);
    client.force_reconnect();
    for _ in 0..3 {
        says(&next_failure(&mut events), "callback");
    }
    fails.store(false, SeqCst);
    next_return(&mut events);
}

#[test]
fn a_callback_that_panics_is_one_that_fails() {
    let server = start("authorization { token: t }");
    let calls = Arc::new(AtomicUsize::new(0));
    let called = Arc::clone(&calls);
    let client = ConnectOptions::new()
        .auth_callback(move |_| {
            assert_ne!(called.fetch_add(1, SeqCst), 1, "on purpose");
            Ok(Auth::Token("t".into()))
        })
        .connect(&server.url())
        .unwrap();
    let mut events = client.events();
    client.force_reconnect();
    says(&next_failure(&mut events), "callback");
    next_return(&mut events);
    assert_eq!((calls.load(SeqCst), client.stats().callback_panics), (3, 1));
}

#[test]
fn a_renewed_credentials_file_is_used_for_the_next_connection() {
    let operator = Operator::new().unwrap();
    let server = start(operator.server_config());
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = File::new(&operator.user_until("u", long_ago).unwrap().creds());
    let connect = || ConnectOptions::new().credentials_file(&file.0).connect(&server.url());
    let error = connect().unwrap_err();
    assert!(matches!(error, ConnectError::Authorization { .. }), "{error:?}");
    let soon = SystemTime::now() + Duration::from_secs(2);
    file.write(&operator.user_until("u", soon).unwrap().creds());
    let client = connect().unwrap();
    let mut events = client.events();
    let mut subscription = client.subscribe("s").unwrap();
    file.write(&operator.user("u").unwrap().creds());
    says(&next_loss(&mut events), "credentials have expired");
    next_return(&mut events);
    client.publish("s", "x").unwrap();
    assert_eq!(subscription.next_timeout(DEADLINE).unwrap().payload(), b"x");
}

#[test]
fn credentials_that_expired_and_are_not_renewed_close_the_connection() {
    let operator = Operator::new().unwrap();
    let server = start(operator.server_config());
    let soon = SystemTime::now() + Duration::from_secs(2);
    let creds = operator.user_until("u", soon).unwrap().creds();
    let client = ConnectOptions::new().credentials(&creds).connect(&server.url()).unwrap();
    let mut events = client.events();
    says(&next_loss(&mut events), "credentials have expired");
    let mut attempts = 0;
    while let Some(event) = events.next_timeout(DEADLINE) {
        // In the second in which it expires the server takes it and ends it again, as often as the backoff allows.
        let failed = matches!(event, Event::ConnectFailed { .. } | Event::Disconnected { .. });
        attempts += usize::from(failed);
        assert!(attempts < 100, "it goes on for ever");
    }
    assert!((1..=10).contains(&attempts), "{attempts}");
    assert_eq!(client.state(), State::Closed);
    // What expires is told so; what has expired is refused as anything wrong is.
    let error = client.last_error().unwrap();
    assert!(error.contains("have expired") || error.contains("refused the credentials"), "{error}");
}

#[test]
fn a_user_who_is_revoked_learns_of_it_and_another_is_not_disturbed() {
    let operator = Operator::new().unwrap();
    let server = start(operator.server_config());
    let (revoked, other) = (operator.user("r").unwrap(), operator.user("o").unwrap());
    let connect = |creds: &str| ConnectOptions::new().credentials(creds).connect(&server.url());
    let (client, other) = (connect(&revoked.creds()).unwrap(), connect(&other.creds()).unwrap());
    let mut events = client.events();
    server.reload(&operator.server_config_revoking(&revoked).unwrap()).unwrap();
    says(&next_loss(&mut events), "revoked");
    event(&mut events, "it is closed", |event| (*event == Event::Closed).then_some(()));
    assert_eq!(client.state(), State::Closed);
    let error = connect(&revoked.creds()).unwrap_err();
    assert!(matches!(error, ConnectError::Authorization { .. }), "{error:?}");
    other.flush().wait().unwrap();
    assert_eq!(other.stats().reconnects, 0);
}

/// The user `u` is known, and after a reload with this one nobody is.
const NOBODY: &str = "authorization { user: nobody, password: knows }";

#[test]
fn a_user_who_is_removed_is_refused_twice_and_then_the_connection_is_closed() {
    let server = start(&user("u", "p"));
    let options = ConnectOptions::new().user_password("u", "p");
    let client = options.connect(&server.url()).unwrap();
    let mut events = client.events();
    let mut waiting = client.subscribe("s").unwrap();
    server.reload(NOBODY).unwrap();
    // The server ends the connection without a word, and speaks when asked again.
    next_loss(&mut events);
    says(&next_failure(&mut events), "authorization violation");
    let said = event(&mut events, "the second refusal", |event| match event {
        Event::ConnectFailed { said, .. } => Some(said.clone()),
        _ => None,
    });
    assert_eq!(said, Some(ServerError::AuthorizationViolation));
    event(&mut events, "it is closed", |event| (*event == Event::Closed).then_some(()));
    assert!(waiting.next_timeout(DEADLINE).is_none() && waiting.close_reason().is_some());
    assert_eq!(client.state(), State::Closed);
    says(&client.last_error().unwrap(), "authorization violation");
}

#[test]
fn who_keeps_trying_after_refusals_follows_the_backoff_and_comes_back() {
    let server = start(&user("u", "p"));
    let wait = Duration::from_millis(100);
    let client = ConnectOptions::new()
        .user_password("u", "p")
        .keep_trying_after_refusal()
        .reconnect_backoff(Backoff { first: wait, most: wait })
        .connect(&server.url())
        .unwrap();
    let mut events = client.events();
    server.reload(NOBODY).unwrap();
    next_failure(&mut events);
    let since = Instant::now();
    for _ in 0..10 {
        says(&next_failure(&mut events), "authorization violation");
    }
    // With jitter each wait is half as long at least.
    let took = since.elapsed();
    assert!(took >= wait * 5, "10 attempts took only {took:?}");
    server.reload(&user("u", "p")).unwrap();
    next_return(&mut events);
    client.flush().wait().unwrap();
}

#[test]
fn a_refusal_at_one_address_of_a_name_is_not_forgotten_at_the_next() {
    let server = start(&user("u", "p"));
    let nobody = Scripted::start().unwrap().port();
    let addresses = [server.port(), nobody].map(|port| ([127, 0, 0, 1], port).into());
    let connect = |password| {
        ConnectOptions::new()
            .user_password("u", password)
            .address_order(jetlane_client::AddressOrder::Resolver)
            .resolver(move |_, _| Ok(addresses.to_vec()))
            .connect("nats://several.test")
    };
    let error = connect("wrong").unwrap_err();
    assert!(matches!(error, ConnectError::Authorization { .. }), "{error:?}");
    let client = connect("p").unwrap();
    let mut events = client.events();
    server.reload(NOBODY).unwrap();
    next_loss(&mut events);
    event(&mut events, "it is closed", |event| (*event == Event::Closed).then_some(()));
}

#[test]
fn a_callback_that_takes_too_long_meets_the_timeout_of_the_server() {
    let server = start("authorization { token: t, timeout: 0.1 }");
    let proxy = Arc::new(Proxy::start(server.port()).unwrap());
    let url = proxy.url();
    let error = ConnectOptions::new()
        .auth_callback(move |_| {
            let said = || String::from_utf8(proxy.seen(Direction::ToClient)).unwrap();
            eventually("the server says so", || said().contains("-ERR").then_some(()));
            Ok(Auth::Token("t".into()))
        })
        .connect(&url)
        .unwrap_err();
    let timeout = ServerError::AuthenticationTimeout;
    assert!(
        matches!(&error, ConnectError::Server { source, .. } if *source == timeout),
        "{error:?}"
    );
}

#[test]
fn what_servers_say_to_credentials_becomes_an_error_of_its_own() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let texts = [
        "Authorization Violation",
        "User Authentication Expired",
        "User Authentication Revoked",
        "Account Authentication Expired",
    ];
    std::thread::spawn(move || {
        for text in texts {
            let mut socket = peer.accept_silently().unwrap();
            socket.send(format!("INFO {}\r\n", Scripted::INFO)).unwrap();
            socket.line_starting("PING").unwrap();
            socket.send(format!("-ERR '{text}'\r\n")).unwrap();
        }
    });
    let mut seen = Vec::new();
    for text in texts {
        match Client::connect(&url).unwrap_err() {
            ConnectError::Authorization { source, .. } => seen.push(source.to_string()),
            error => panic!("{text}: {error:?}"),
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), texts.len(), "{seen:?}");
}

/// All the ways of showing what has to do with a client, taken together.
fn all_shown(client: &Client, options: &ConnectOptions, events: &Mutex<String>) -> String {
    let info = client.server_info();
    let (state, stats, error) = (client.state(), client.stats(), client.last_error());
    format!(
        "{client:?} {options:?} {info:?} {state:?} {stats:?} {error:?} {}",
        events.lock().unwrap()
    )
}

#[test]
fn no_secret_is_ever_shown() {
    let operator = Operator::new().unwrap();
    let (nkey, jwt) = (Nkey::new().unwrap(), operator.user("u").unwrap());
    let (users, keys) = (start(&user("u", "MARKER")), start(&Nkey::server_config(&[&nkey])));
    let (tokens, jwts) =
        (start("authorization { token: MARKER }"), start(operator.server_config()));
    let file = File::new(&jwt.creds());
    let secrets = ["MARKER", nkey.seed(), jwt.nkey().seed(), jwt.jwt()];
    let at = |credentials: &str, server: &Server| {
        format!("nats://{credentials}127.0.0.1:{}", server.port())
    };
    let new = ConnectOptions::new;
    let callback = |_: Option<&[u8]>| Ok(Auth::Token("MARKER".into()));
    for (server, credentials, options) in [
        (&users, "", new().user_password("u", "MARKER")),
        (&users, "u:MARKER@", new()),
        (&tokens, "", new().token("MARKER")),
        (&tokens, "MARKER@", new()),
        (&tokens, "", new().auth_callback(callback)),
        (&keys, "", new().nkey(nkey.seed())),
        (&jwts, "", new().credentials_file(&file.0)),
        (&jwts, "", new().credentials(&jwt.creds())),
    ] {
        let told = Arc::new(Mutex::new(String::new()));
        let events = Arc::clone(&told);
        let options = options.keep_trying_after_refusal().on_event(move |event| {
            events.lock().unwrap().push_str(&format!("{event:?} "));
        });
        let client = options.clone().connect(&at(credentials, server)).unwrap();
        let mut events = client.events();
        // It fails in several ways, and comes back.
        let refusing = start("authorization { user: x, password: y }");
        client.set_servers(&at(credentials, &refusing)).unwrap();
        client.force_reconnect();
        next_failure(&mut events);
        client.set_servers(&at(credentials, server)).unwrap();
        next_return(&mut events);
        // The callback is called behind those who read events.
        let is_told = || told.lock().unwrap().contains("Reconnected").then_some(());
        eventually("the callback is told", is_told);
        let error = options.clone().connect(&at(credentials, &refusing)).unwrap_err();
        let shown = format!("{} {error} {error:?}", all_shown(&client, &options, &told));
        assert!(shown.contains("ConnectFailed") && shown.contains("Reconnected"), "{shown}");
        for secret in secrets {
            assert!(!shown.contains(secret), "{secret} is shown: {shown}");
        }
    }
}

#[test]
fn what_secrets_are_kept_in_does_not_show_them() {
    let secret = || "MARKER".to_string();
    let kept = [
        Auth::Token(secret()),
        Auth::UserPassword { user: secret(), password: secret() },
        Auth::NKey { public: secret(), signature: secret().into() },
        Auth::Jwt { jwt: secret(), signature: Some(secret().into()) },
    ];
    let new = ConnectOptions::new;
    let options = [
        new().token("MARKER"),
        new().user_password("u", "MARKER"),
        new().nkey("MARKER"),
        new().credentials("MARKER"),
        new().auth_callback(|_| Ok(Auth::Token("MARKER".into()))),
    ];
    let urls = ServerUrl::parse_list("nats://u:MARKER@a,tls://MARKER@b").unwrap();
    let mut shown = format!("{kept:?} {kept:#?} {options:?} {options:#?} {urls:?} {urls:#?}");
    shown.extend(urls.iter().map(ServerUrl::to_string));
    let connects = kept.map(|auth| Connect { auth, ..Connect::default() });
    shown += &format!("{connects:?} {connects:#?}");
    // Bytes are shown as numbers, in one line or in several.
    let as_bytes = ["77, 65, 82", "77,\n"];
    assert!(!shown.contains("MARKER") && !as_bytes.iter().any(|m| shown.contains(m)), "{shown}");
}

#[test]
fn no_url_that_is_wrong_shows_its_password() {
    for url in [
        "nats://u:MARKER@",
        "nats://u:MARKER@h:x",
        "nats://u:MARKER%@h",
        "nats://u:MARKER@a b",
        "nats://MARKER@[::1",
        "http://u:MARKER@h",
        "u:MARKER://x@h:0",
        "nats://u:MARKER,x@h",
        "nats://u:x,MARKER@h:y",
        "a,nats://u:MARKER@h:x",
    ] {
        let error = Client::connect(url).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("MARKER"), "{url}: {shown}");
    }
}

/// Connects with `options`, and returns all that the client sends and the fields of its CONNECT.
fn connect_of(server: &Server, options: ConnectOptions) -> (String, Map<String, Value>) {
    let proxy = Proxy::start(server.port()).unwrap();
    options.connect(&proxy.url()).unwrap();
    let sent = String::from_utf8(proxy.seen(Direction::ToServer)).unwrap();
    let json = sent.lines().next().unwrap().strip_prefix("CONNECT ").unwrap();
    let fields = serde_json::from_str(json).unwrap();
    (sent, fields)
}

#[test]
fn connect_says_what_it_must_and_nothing_else() {
    let usual = json!({
        "echo": true, "headers": true, "lang": "rust-jetlane", "no_responders": true, "pedantic": false, "protocol": 1,
        "tls_required": false, "verbose": false, "version": env!("CARGO_PKG_VERSION"),
    });
    let operator = Operator::new().unwrap();
    let nkey = Nkey::new().unwrap();
    let user_jwt = operator.user("u").unwrap();
    let (open, keys, jwts) =
        (start(""), start(&Nkey::server_config(&[&nkey])), start(operator.server_config()));
    let new = ConnectOptions::new;
    // The signature of a nonce is another one each time: the server has taken it.
    let cases = [
        (&open, new(), json!({}), false),
        (&open, new().name("n"), json!({"name": "n"}), false),
        (&open, new().no_echo(), json!({"echo": false}), false),
        (&open, new().token("t"), json!({"auth_token": "t"}), false),
        (&open, new().user_password("u", "p"), json!({"user": "u", "pass": "p"}), false),
        (&keys, new().nkey(nkey.seed()), json!({"nkey": nkey.public_key()}), true),
        (&jwts, new().credentials(&user_jwt.creds()), json!({"jwt": user_jwt.jwt()}), true),
    ];
    let count = cases.len();
    for (server, options, more, signs) in cases {
        let (sent, mut fields) = connect_of(server, options);
        assert_eq!(fields.remove("sig").is_some(), signs, "{fields:?}");
        let mut expected = usual.as_object().unwrap().clone();
        expected.extend(more.as_object().unwrap().clone());
        assert_eq!(fields, expected);
        for seed in [nkey.seed(), user_jwt.nkey().seed()] {
            assert!(!sent.contains(seed), "a seed is never sent");
        }
    }
    println!("S3: {count} kinds of CONNECT, of these fields and values and no others");
}

#[test]
fn a_server_that_takes_us_and_refuses_us_at_once_is_not_stormed() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    std::thread::spawn(move || {
        while let Ok(socket) = peer.accept() {
            counter.fetch_add(1, SeqCst);
            let _ = socket.send("-ERR 'User Authentication Expired'\r\n");
        }
    });
    let (first, most) = (Duration::from_millis(20), Duration::from_millis(200));
    let client = ConnectOptions::new()
        .keep_trying_after_refusal()
        .retry_on_failed_connect()
        .reconnect_backoff(Backoff { first, most })
        .connect(&url)
        .unwrap();
    let mut events = client.events();
    next_loss(&mut events);
    let since = Instant::now();
    for _ in 0..10 {
        next_loss(&mut events);
    }
    // The waits double, and are not begun anew by a connection that stood for a moment: with jitter half of 20, 40, 80, 160 and five
    // times 200 ms at least.
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(650), "10 connections took only {took:?}");
    assert!(taken.load(SeqCst) >= 10);
    client.close(Duration::ZERO).unwrap();
}
