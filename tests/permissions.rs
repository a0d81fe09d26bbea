//! What a server forbids or limits: it is told to whom it concerns, and nobody else is hurt.

use std::thread;
use std::time::{Duration, Instant};

use jetlane_client::{
    Client, CloseReason, ConnectError, ConnectOptions, Event, FlushError, PublishError,
    RequestError, ServerError, State,
};
use jetlane_jetstream::{ConsumerConfig, JetStream, NotStored, StreamConfig, Unknown};
use jetlane_testkit::{Scripted, Server};
use jetlane_tests::{DEADLINE, event, eventually, next_loss, next_return};

/// One user, `u` with the password `p`, and what it may do.
fn config(permissions: &str) -> String {
    format!(
        "authorization {{ users: [\n{{ user: u, password: p, permissions: {{ {permissions} }} }}\n] }}"
    )
}

fn start(config: &str) -> Server {
    Server::builder().without_jetstream().config(config).start().unwrap()
}

fn options() -> ConnectOptions {
    ConnectOptions::new().user_password("u", "p")
}

fn with_permissions(permissions: &str) -> (Server, Client) {
    let server = start(&config(permissions));
    let client = options().connect(&server.url()).unwrap();
    (server, client)
}

fn complaint(event: &Event) -> Option<ServerError> {
    match event {
        Event::ServerError(error) => Some(error.clone()),
        _ => None,
    }
}

/// Names that are no trouble, and names that a server writes in another way than they are.
fn names(prefix: &str) -> Vec<String> {
    let long = "x".repeat(1500);
    ["plain", "with\"quotes\"", "back\\slash", "apostrophe's", "grüße", &long]
        .iter()
        .map(|name| format!("{prefix}.{name}"))
        .collect()
}

#[test]
fn a_publish_that_is_not_permitted_is_reported_and_all_else_flows() {
    let (_server, client) = with_permissions("publish: { deny: [\"no.>\"] }");
    let mut events = client.events();
    let mut all = client.subscribe(">").unwrap();
    for subject in names("no") {
        client.publish("yes", "1").unwrap();
        client.publish(&*subject, "x").unwrap();
        client.publish("yes", "2").unwrap();
        let error = event(&mut events, "the complaint", complaint);
        assert_eq!(error, ServerError::PublishPermission { subject });
        for payload in [b"1", b"2"] {
            assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), payload);
        }
    }
    client.flush().wait().unwrap();
    assert!(all.try_next().is_none());
    assert_eq!(client.stats().reconnects, 0);
    assert!(client.last_error().unwrap().contains("is not permitted"));
}

#[test]
fn a_subscription_that_is_not_permitted_ends_and_no_other() {
    let (_server, client) =
        with_permissions("subscribe: { deny: [\"no.>\", \"shared g\"] }, publish: \">\"");
    let mut others = [
        client.subscribe("shared").unwrap(),
        client.subscription("shared").queue_group("h").queued().unwrap(),
    ];
    let denied = names("no").into_iter().flat_map(|name| [(name.clone(), ""), (name, "g")]);
    for (subject, group) in denied.chain([("shared".into(), "g"), ("no.*".into(), "")]) {
        let mut events = client.events();
        let mut subscription = client.subscription(&subject).queue_group(group).queued().unwrap();
        assert!(subscription.next_timeout(DEADLINE).is_none());
        assert_eq!(subscription.close_reason(), Some(CloseReason::Denied), "{subject} {group}");
        let error = event(&mut events, "the complaint", complaint);
        let queue = (!group.is_empty()).then(|| group.into());
        assert_eq!(error, ServerError::SubscribePermission { subject, queue });
    }
    client.publish("shared", "x").unwrap();
    for other in &mut others {
        assert_eq!(other.next_timeout(DEADLINE).unwrap().payload(), b"x");
        assert_eq!(other.close_reason(), None);
    }
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn a_live_subscription_that_a_reload_forbids_ends_and_no_other() {
    let (server, client) = with_permissions("subscribe: \">\"");
    let mut victims: Vec<_> = names("no")
        .iter()
        .flat_map(|name| {
            let plain = client.subscribe(name).unwrap();
            [plain, client.subscription(name).queue_group("g").queued().unwrap()]
        })
        .collect();
    let mut other = client.subscribe("yes").unwrap();
    client.flush().wait().unwrap();
    assert!(victims.iter().all(|victim| victim.close_reason().is_none()));
    server.reload(&config("subscribe: { deny: \"no.>\" }")).unwrap();
    for victim in &mut victims {
        assert!(victim.next_timeout(DEADLINE).is_none());
        assert_eq!(victim.close_reason(), Some(CloseReason::Denied));
    }
    client.publish("yes", "x").unwrap();
    assert_eq!(other.next_timeout(DEADLINE).unwrap().payload(), b"x");
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn a_request_that_is_not_permitted_ends_at_once_and_no_other() {
    let (_server, client) = with_permissions("publish: { deny: \"no.>\" }");
    let mut silent = client.subscribe("silent").unwrap();
    let waiting = client.request("silent", "", DEADLINE).unwrap();
    for subject in names("no") {
        let started = Instant::now();
        let error = client.request(&*subject, "", DEADLINE).unwrap().wait().unwrap_err();
        assert_eq!(error, RequestError::Denied { subject });
        assert!(started.elapsed() < DEADLINE / 2, "{:?}", started.elapsed());
    }
    client.respond(&silent.next_timeout(DEADLINE).unwrap(), "at last").unwrap();
    assert_eq!(waiting.wait().unwrap().payload(), b"at last");
}

#[test]
fn a_request_whose_reply_could_not_come_ends_at_once_and_an_inbox_prefix_helps() {
    let (server, client) = with_permissions("subscribe: [\"mine.>\", \"echo\"]");
    let denied = |result: Result<_, RequestError>| {
        matches!(result, Err(RequestError::Denied { .. })).then_some(())
    };
    let started = Instant::now();
    for _ in 0..3 {
        let request = client.request("echo", "", DEADLINE);
        denied(request.and_then(jetlane_client::Request::wait)).unwrap();
    }
    assert!(started.elapsed() < DEADLINE / 2, "{:?}", started.elapsed());
    let client = options().inbox_prefix("mine").connect(&server.url()).unwrap();
    let replies = client.clone();
    let _echo = client
        .subscription("echo")
        .inline(move |request| replies.respond(request, request.payload()).unwrap())
        .unwrap();
    let reply = client.request("echo", "hello", DEADLINE).unwrap().wait().unwrap();
    assert_eq!(reply.payload(), b"hello");
}

#[test]
fn a_publish_whose_ack_could_not_come_ends_at_once() {
    let may = "publish: [\"s.>\", \"$JS.>\"], subscribe: [\"mine.>\"]";
    let server = Server::builder().config(&config(may)).start().unwrap();
    let client = options().connect(&server.url()).unwrap();
    let js = JetStream::new(client).unwrap();
    eventually("it is said before anything is sent", || match js.publish("s.1", "hello") {
        // Those that were sent before the server had said so.
        Ok(ticket) => {
            assert_eq!(ticket.wait(), Err(NotStored::Unknown(Unknown::Denied)));
            None
        }
        Err(error) => {
            assert!(
                matches!(&error, jetlane_jetstream::PublishError::Denied { inbox } if inbox.starts_with("_INBOX."))
            );
            Some(())
        }
    });
}

#[test]
fn jetstream_is_answered_below_the_inbox_prefix() {
    let may = "publish: [\"s.>\", \"$JS.>\"], subscribe: [\"mine.>\"]";
    let server = Server::builder().config(&config(may)).start().unwrap();
    let client = options().inbox_prefix("mine").connect(&server.url()).unwrap();
    let js = JetStream::new(client).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s.*")).wait().unwrap();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    assert_eq!(js.publish("s.1", "hello").unwrap().wait().unwrap().sequence, 1);
    let mut messages = js.consume(&consumer).queued().unwrap();
    let message = messages.next_timeout(DEADLINE).expect("the stored message");
    assert_eq!(message.payload(), b"hello");
    message.ack();
}

#[test]
fn a_request_ends_at_once_when_its_reply_subject_is_not_permitted() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let serving = thread::spawn(move || {
        let mut socket = peer.accept().unwrap();
        let line = socket.line_starting("PUB ").unwrap();
        let reply = line.split(' ').nth(2).unwrap().to_owned();
        let text = format!("Permissions Violation for Publish with Reply of \"{reply}\"");
        socket.send(format!("-ERR '{text}'\r\n")).unwrap();
        (socket, reply)
    });
    let client = Client::connect(&url).unwrap();
    let error = client.request("echo", "", DEADLINE).unwrap().wait().unwrap_err();
    let (_socket, subject) = serving.join().unwrap();
    assert_eq!(error, RequestError::Denied { subject });
    client.close(Duration::ZERO).unwrap();
}

#[test]
fn what_a_server_complains_of_in_its_last_words_is_told() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let serving = thread::spawn(move || {
        let mut socket = peer.accept().unwrap();
        socket.line_starting("PUB ").unwrap();
        let denied = "-ERR 'Permissions Violation for Publish to \"echo\"'\r\n";
        socket.send(format!("{denied}-ERR 'Stale Connection'\r\n")).unwrap();
    });
    let client = Client::connect(&url).unwrap();
    let mut events = client.events();
    let error = client.request("echo", "", DEADLINE).unwrap().wait().unwrap_err();
    let subject = String::from("echo");
    assert_eq!(error, RequestError::Denied { subject: subject.clone() });
    let complaint = event(&mut events, "the complaint", complaint);
    assert_eq!(complaint, ServerError::PublishPermission { subject });
    assert!(next_loss(&mut events).contains("stale"));
    serving.join().unwrap();
    client.close(Duration::ZERO).unwrap();
}

#[test]
fn a_server_that_is_full_says_so_and_takes_us_when_there_is_room() {
    let server = start("max_connections: 1");
    // Whoever looked whether it has started may not have left yet.
    let first = eventually("there is room", || Client::connect(&server.url()).ok());
    let error = Client::connect(&server.url()).unwrap_err();
    assert!(
        matches!(error, ConnectError::Server { source: ServerError::MaxConnections, .. }),
        "{error:?}"
    );
    let second = ConnectOptions::new().retry_on_failed_connect().connect(&server.url()).unwrap();
    assert_ne!(second.state(), State::Connected);
    first.close(DEADLINE).unwrap();
    eventually("it is taken", || (second.state() == State::Connected).then_some(()));
    second.flush().wait().unwrap();
}

#[test]
fn a_subscription_too_many_is_reported_and_those_before_it_live() {
    let server = start("max_subscriptions: 2");
    let client = Client::connect(&server.url()).unwrap();
    let mut events = client.events();
    let mut first = client.subscribe("a").unwrap();
    let _second = client.subscribe("b").unwrap();
    let _third = client.subscribe("c").unwrap();
    assert_eq!(event(&mut events, "the complaint", complaint), ServerError::MaxSubscriptions);
    client.publish("a", "x").unwrap();
    assert_eq!(first.next_timeout(DEADLINE).unwrap().payload(), b"x");
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn after_a_reload_lowered_max_payload_the_message_too_large_is_reported_and_others_flow() {
    let server = start("max_payload: 100000");
    let witness = Client::connect(&server.url()).unwrap();
    let mut seen = witness.subscribe("m").unwrap();
    witness.flush().wait().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let mut events = client.events();
    server.reload("max_payload: 1000").unwrap();
    // The server tells nobody of its new limit.
    client.publish("m", "before").unwrap();
    client.flush().wait().unwrap();
    server.pause();
    client.publish("m", [0; 5000]).unwrap();
    let flush = client.flush();
    server.resume();
    let reason = next_loss(&mut events);
    assert!(
        reason.contains("larger than the server takes") || reason.contains("reset"),
        "{reason}"
    );
    assert_eq!(flush.wait(), Err(FlushError::Disconnected), "what was lost is not confirmed");
    next_return(&mut events);
    eventually("the new limit is known", || (client.max_payload() == 1000).then_some(()));
    let too_large = PublishError::TooLarge { size: 5000, max: 1000 };
    assert_eq!(client.publish("m", [0; 5000]), Err(too_large));
    client.publish("m", "after").unwrap();
    client.flush().wait().unwrap();
    for expected in ["before", "after"] {
        assert_eq!(seen.next_timeout(DEADLINE).unwrap().payload(), expected.as_bytes());
    }
    assert_eq!(client.stats().reconnects, 1);
    assert!(seen.next_timeout(Duration::ZERO).is_none());
}
