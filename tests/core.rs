//! Core NATS: publish, subscribe, request, flush, close, reconnect.

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use jetlane_client::{
    Client, ConnectError, ConnectOptions, FlushError, Headers, Limits, PublishError, RequestError,
    State, SubscribeError,
};
use jetlane_testkit::Server;
use jetlane_tests::place::Place;
use jetlane_tests::{DEADLINE, eventually};

fn server() -> Server {
    Server::builder().without_jetstream().start().unwrap()
}

pub(crate) fn queued_messages_arrive_in_order_with_all_their_parts(place: Place) {
    let server = place.start();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("a.>").unwrap();
    let headers = Headers::new().with("K", "v").unwrap();
    client.publish_with("a.b", Some("r.s"), &headers, b"first").unwrap();
    for n in 0..10_000 {
        client.publish("a.c", format!("{n}")).unwrap();
    }
    let first = all.next_timeout(DEADLINE).unwrap();
    assert_eq!(first.subject(), "a.b");
    assert_eq!(first.reply(), Some(&b"r.s"[..]));
    assert_eq!(first.headers().unwrap().get("K"), Some(&b"v"[..]));
    assert_eq!(first.payload(), b"first");
    for n in 0..10_000 {
        let message = all.next_timeout(DEADLINE).unwrap();
        assert_eq!(message.payload(), format!("{n}").as_bytes());
        assert!(message.headers().is_none() && message.reply().is_none());
    }
    assert!(all.try_next().is_none());
}

pub(crate) fn inline_callbacks_see_every_message_and_survive_their_own_panics(place: Place) {
    let server = place.start();
    let client = Client::connect(&server.url()).unwrap();
    let (seen, inbox) = mpsc::channel();
    let handle = client
        .subscription("n")
        .inline(move |message| {
            let text = String::from_utf8(message.payload().to_vec()).unwrap();
            assert_ne!(text, "boom");
            seen.send(text).unwrap();
        })
        .unwrap();
    for text in ["1", "boom", "2"] {
        client.publish("n", text).unwrap();
    }
    let received: Vec<_> = (0..2).map(|_| inbox.recv_timeout(DEADLINE).unwrap()).collect();
    assert_eq!(received, ["1", "2"]);
    assert_eq!(client.stats().callback_panics, 1);
    drop(handle);
    client.publish("n", "3").unwrap();
    client.flush().wait().unwrap();
    assert!(inbox.try_recv().is_err(), "unsubscribed");
}

pub(crate) fn requests_end_with_a_reply_or_say_why_not(place: Place) {
    let server = place.start();
    let client = Client::connect(&server.url()).unwrap();
    let mut service = client.subscribe("add").unwrap();
    let responder = client.clone();
    let serving = std::thread::spawn(move || {
        for _ in 0..100 {
            let request = service.next_timeout(DEADLINE).unwrap();
            let reply = std::str::from_utf8(request.reply().unwrap()).unwrap();
            let number: u32 = std::str::from_utf8(request.payload()).unwrap().parse().unwrap();
            responder.publish(reply, format!("{}", number + 1)).unwrap();
        }
        service
    });
    let requests: Vec<_> = (0..100u32)
        .map(|n| (n, client.request("add", format!("{n}"), DEADLINE).unwrap()))
        .collect();
    for (n, request) in requests {
        assert_eq!(request.wait().unwrap().payload(), format!("{}", n + 1).as_bytes());
    }
    let _silent = serving.join().unwrap();
    let nobody = client.request("nobody", "", DEADLINE).unwrap().wait();
    assert_eq!(nobody.unwrap_err(), RequestError::NoResponders);
    let silent = client.request("add", "1", Duration::from_millis(30)).unwrap().wait();
    assert_eq!(silent.unwrap_err(), RequestError::TimedOut);
}

pub(crate) fn queue_groups_share(place: Place) {
    let server = place.start();
    let client = Client::connect(&server.url()).unwrap();
    // Any word names a group.
    let mut one = client.subscription("q").queue_group("v1.*/g").queued().unwrap();
    let mut two = client.subscription("q").queue_group("v1.*/g").queued().unwrap();
    for _ in 0..1000 {
        client.publish("q", "x").unwrap();
    }
    client.flush().wait().unwrap();
    let count = |subscription: &mut jetlane_client::Subscription| {
        std::iter::from_fn(|| subscription.try_next()).count()
    };
    let (one, two) = (count(&mut one), count(&mut two));
    assert_eq!(one + two, 1000);
    assert!(one > 100 && two > 100, "{one} and {two}");
}

#[test]
fn a_full_subscription_drops_the_newest_and_counts() {
    let server = server();
    let limits = Limits { subscription_messages: 10, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let mut slow = client.subscribe("s").unwrap();
    for n in 0..100 {
        client.publish("s", format!("{n}")).unwrap();
    }
    client.flush().wait().unwrap();
    let kept: Vec<_> = std::iter::from_fn(|| slow.try_next()).collect();
    assert_eq!(kept.len(), 10);
    assert_eq!(kept[9].payload(), b"9");
    assert_eq!((slow.dropped(), client.stats().dropped), (90, 90));
    client.publish("s", "after").unwrap();
    assert_eq!(slow.next_timeout(DEADLINE).unwrap().payload(), b"after");
}

pub(crate) fn messages_of_all_sizes_pass_a_queue_in_order_and_can_be_kept(place: Place) {
    let server = place.start();
    let client = Client::connect(&server.url()).unwrap();
    let mut queued = client.subscribe("n").unwrap();
    // Of blocks and pieces of memory, smaller ones, larger ones, and just so.
    let sizes = [0, 1, 100, 16_000, 16_384, 20_000, 65_000, 65_536, 70_000, 500_000, 3];
    let payload = |n: usize| vec![b'a' + u8::try_from(n % 26).unwrap(); sizes[n % sizes.len()]];
    let mut kept = Vec::new();
    for round in 0..20 {
        for n in 0..100 {
            client.publish("n", payload(round * 100 + n)).unwrap();
        }
        for _ in 0..100 {
            kept.push(queued.next_timeout(DEADLINE).expect("it comes"));
        }
        // Some memory is given back in between, some pieces in part.
        let keep = |n: usize| n % 7 == 3;
        for (n, message) in (round * 100..).zip(kept.split_off(kept.len() - 100)) {
            assert!(message.payload() == payload(n), "{n}");
            if keep(n) {
                kept.push(message);
            }
        }
    }
    let numbers = (0..2000).filter(|n| n % 7 == 3);
    assert!(numbers.zip(&kept).all(|(n, message)| message.payload() == payload(n)));
    assert_eq!(queued.dropped(), 0);
}

#[test]
fn a_queue_that_was_full_takes_as_much_as_was_read() {
    let server = server();
    let limits = Limits { subscription_bytes: 10_000, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let mut queued = client.subscribe("n").unwrap();
    for round in 1..=3 {
        for _ in 0..100 {
            client.publish("n", [b'x'; 985]).unwrap();
        }
        client.flush().wait().unwrap();
        // Each takes 1000 bytes on the wire.
        for _ in 0..10 {
            assert_eq!(queued.try_next().expect("there was room").wire_len(), 1000);
        }
        assert!(queued.try_next().is_none());
        assert_eq!(queued.dropped(), 90 * round);
    }
}

#[test]
fn what_was_queued_is_written_by_close_and_nothing_is_accepted_after() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let other = Client::connect(&server.url()).unwrap();
    let mut all = other.subscribe("c").unwrap();
    other.flush().wait().unwrap();
    let mut own = client.subscribe("never").unwrap();
    for _ in 0..10_000 {
        client.publish("c", [0; 100]).unwrap();
    }
    client.close(DEADLINE).unwrap();
    for _ in 0..10_000 {
        all.next_timeout(DEADLINE).unwrap();
    }
    assert_eq!(client.state(), State::Closed);
    assert!(own.next().is_none(), "a closed connection ends its subscriptions");
    assert_eq!(client.publish("c", ""), Err(PublishError::Closed));
    assert_eq!(client.flush().wait(), Err(FlushError::Closed));
    assert!(matches!(client.subscribe("c"), Err(SubscribeError::Closed)));
    let request = client.request("c", "", DEADLINE).unwrap_err();
    assert_eq!(request, RequestError::Publish(PublishError::Closed));
    client.close(DEADLINE).unwrap();
}

#[test]
fn dropping_the_last_handle_writes_what_is_queued() {
    let server = server();
    let other = Client::connect(&server.url()).unwrap();
    let mut all = other.subscribe("d").unwrap();
    other.flush().wait().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    client.publish("d", "last words").unwrap();
    drop(client);
    assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), b"last words");
}

#[test]
fn a_lost_connection_is_made_again_with_its_subscriptions() {
    let mut server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("r").unwrap();
    for round in 0..3 {
        client.publish("r", format!("before {round}")).unwrap();
        assert_eq!(
            all.next_timeout(DEADLINE).unwrap().payload(),
            format!("before {round}").as_bytes()
        );
        // Confirmed, so that the flush below has no loss to tell of.
        client.flush().wait().unwrap();
        server.kill();
        eventually("the loss is noticed", || (client.state() == State::Reconnecting).then_some(()));
        // Queued while there is no connection: sent on the next one, in order, behind the restored subscription.
        let mut late = client.subscribe("late").unwrap();
        for n in 0..100 {
            client.publish("r", format!("while down {n}")).unwrap();
        }
        client.publish("late", "too").unwrap();
        let flush = client.flush();
        server.restart().unwrap();
        flush.wait().unwrap();
        for n in 0..100 {
            let message = all.next_timeout(DEADLINE).unwrap();
            assert_eq!(message.payload(), format!("while down {n}").as_bytes());
        }
        assert_eq!(late.next_timeout(DEADLINE).unwrap().payload(), b"too");
        assert_eq!(client.stats().reconnects, round + 1);
    }
}

#[test]
fn what_waits_for_an_answer_learns_of_the_loss() {
    let mut server = server();
    let client = Client::connect(&server.url()).unwrap();
    let _silent = client.subscribe("silent").unwrap();
    let request = client.request("silent", "", DEADLINE).unwrap();
    client.flush().wait().unwrap();
    server.pause();
    let flush = client.flush();
    server.kill();
    assert_eq!(request.wait().unwrap_err(), RequestError::Disconnected);
    assert_eq!(flush.wait(), Err(FlushError::Disconnected));
}

#[test]
fn a_stopped_server_is_noticed_by_its_missing_pongs() {
    let server = server();
    let client = ConnectOptions::new()
        .ping_interval(Duration::from_millis(50))
        .connect(&server.url())
        .unwrap();
    server.pause();
    eventually("the silence is noticed", || (client.state() == State::Reconnecting).then_some(()));
    assert!(client.last_error().unwrap().contains("PING"), "{:?}", client.last_error());
    server.resume();
    eventually("the connection is back", || (client.state() == State::Connected).then_some(()));
}

#[test]
fn a_full_write_queue_pushes_back() {
    let mut server = server();
    let limits = Limits {
        reconnect_bytes: 4096,
        publish_wait: Duration::from_millis(20),
        ..Limits::default()
    };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    server.kill();
    eventually("the loss is noticed", || (client.state() == State::Reconnecting).then_some(()));
    let accepted = (0..100).take_while(|_| client.try_publish("f", [0; 100]).is_ok()).count();
    assert!((20..=40).contains(&accepted), "{accepted}");
    assert_eq!(client.publish("f", [0; 100]), Err(PublishError::Full));
    server.restart().unwrap();
    eventually("there is room again", || client.try_publish("f", "x").ok());
}

pub(crate) fn large_messages_pass_whole(place: Place) {
    let server = place.start();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("big").unwrap();
    let big: Vec<u8> = (0..1u32 << 20).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    for _ in 0..5 {
        client.publish("big", &big).unwrap();
    }
    for _ in 0..5 {
        assert!(all.next_timeout(DEADLINE).unwrap().payload() == big);
    }
}

#[test]
fn each_way_not_to_connect_has_its_own_error() {
    let server = Server::builder()
        .without_jetstream()
        .config("authorization { user: good, password: secret }")
        .start()
        .unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let garbage = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbage_address = garbage.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::Write;
        while let Ok((mut socket, _)) = garbage.accept() {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let connect = |url: String| {
        let timeout = Duration::from_millis(200);
        ConnectOptions::new().connect_timeout(timeout).connect(&url).unwrap_err()
    };
    let at = |credentials: &str| format!("nats://{credentials}127.0.0.1:{}", server.port());

    type Is = fn(&ConnectError) -> bool;
    let table: Vec<(String, Is, &str)> = vec![
        ("http://x".into(), |e| matches!(e, ConnectError::Url { .. }), "use nats:// or tls://"),
        (",".into(), |e| matches!(e, ConnectError::NoServer), "use nats://host:port"),
        (
            at("good:secret@").replace("nats:", "tls:"),
            |e| matches!(e, ConnectError::NotSecure { .. }),
            "TLS",
        ),
        ("nats://u:p%4@x".into(), |e| matches!(e, ConnectError::Url { .. }), "escape"),
        (
            "nats://no-such-host.invalid".into(),
            |e| matches!(e, ConnectError::Resolve { .. }),
            "check the name",
        ),
        (
            format!("nats://{closed}"),
            |e| matches!(e, ConnectError::Refused { .. }),
            "check that nats-server runs",
        ),
        (
            at(""),
            |e| matches!(e, ConnectError::Authorization { .. }),
            "check user, password or token",
        ),
        (at("good:wrong@"), |e| matches!(e, ConnectError::Authorization { .. }), "check user"),
        (at("token@"), |e| matches!(e, ConnectError::Authorization { .. }), "check user"),
        (
            format!("nats://{garbage_address}"),
            |e| matches!(e, ConnectError::Protocol { .. }),
            "NATS",
        ),
    ];
    for (url, is, says) in table {
        let error = connect(url.clone());
        assert!(is(&error), "{url}: {error:?}");
        assert!(error.to_string().contains(says), "{url}: {error}");
        for secret in ["secret", "wrong", "p%4"] {
            assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
        }
    }
    Client::connect(&at("good:secret@")).unwrap();
}

#[test]
fn a_silent_peer_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let error =
        ConnectOptions::new().connect_timeout(Duration::from_millis(50)).connect(&url).unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
}

#[test]
fn what_can_not_be_sent_is_refused_before_it_is_queued() {
    let server = Server::builder().without_jetstream().config("max_payload: 1000").start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    assert_eq!(client.max_payload(), 1000);
    let too_large = Err(PublishError::TooLarge { size: 1001, max: 1000 });
    assert_eq!(client.publish("a", [0; 1001]), too_large);
    let headers = Headers::new().with("A", "b").unwrap();
    let with_headers = client.publish_with("a", None, &headers, [0; 990]);
    assert_eq!(with_headers, Err(PublishError::TooLarge { size: 1008, max: 1000 }));
    for subject in ["", "a b", "a.*", "a..b", "a\r\nPUB b 0"] {
        assert!(
            matches!(client.publish(subject, ""), Err(PublishError::Subject(_))),
            "{subject:?}"
        );
    }
    for filter in ["", "a b", "a.>.b"] {
        assert!(matches!(client.subscribe(filter), Err(SubscribeError::Subject(_))), "{filter:?}");
    }
    let (long, other) = ("s".repeat(2500), "r".repeat(2500));
    let line = client.publish_with(&long, Some(&other), &headers, "");
    assert!(matches!(line, Err(PublishError::Subject(_))), "too long for a control line together");
    let group = client.subscription("a").queue_group("g g").queued();
    assert!(matches!(group, Err(SubscribeError::Queue { .. })));
    client.publish("a", [0; 1000]).unwrap();
    client.flush().wait().unwrap();
    assert_eq!(client.state(), State::Connected);
}
