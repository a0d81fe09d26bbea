//! Peers that break the protocol, servers that lie, publishers that send what they like, and users whose callbacks panic.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jetlane_client::{
    Auth, Client, CloseReason, ConnectOptions, Event, Inbox, Limits, MalformedHeaders,
    PublishError, RequestError, Subscription,
};
use jetlane_jetstream::{ConsumerConfig, JetStream, StreamConfig};
use jetlane_testkit::{Publisher, Scripted, Server};
use jetlane_tests::{DEADLINE, eventually};

fn server() -> Server {
    Server::builder().without_jetstream().start().unwrap()
}

/// Reconnects at once.
fn hasty() -> ConnectOptions {
    ConnectOptions::new().reconnect_delay(|_| Duration::from_micros(200))
}

/// Waits until the connection is back after what `case` tells.
fn await_return(events: &mut jetlane_client::Events, case: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.next_timeout(left) {
            Some(Event::Reconnected { .. }) => return,
            Some(_) => {}
            None => panic!("the connection did not end, or did not come back, after {case}"),
        }
    }
}

/// P1, P2, P4, P6, P7, and the table of section 2: what a server says behind `SUB a 1` and `SUB b 2`, and whether that is the end of the
/// connection.
fn said_by_servers() -> Vec<(Vec<u8>, bool)> {
    const GOES_ON: bool = false;
    const ENDS: bool = true;
    let mut table: Vec<(Vec<u8>, bool)> = [
        ("-ERR\r\n", GOES_ON),
        ("-ERR \r\n", GOES_ON),
        ("-ERR ''\r\n", GOES_ON),
        ("-ERR '\r\n", GOES_ON),
        ("-err 'Something New'\r\n", GOES_ON),
        ("-ERR 'Permissions Violation for Publish to \"'\r\n", GOES_ON),
        ("-ERR 'Stale Connection'\r\n", ENDS),
        ("-ERR 'Unknown Protocol Operation'\r\n", ENDS),
        ("+OK\r\n", GOES_ON),
        ("PONG\r\n", GOES_ON),
        ("PONG\r\nPONG\r\nPONG\r\n", GOES_ON),
        ("PING\n", GOES_ON),
        ("ping \t\r\n", GOES_ON),
        ("msg\ta\t1\t1\r\nx\r\n", GOES_ON),
        ("MSG nobody 77 1\r\nx\r\n", GOES_ON),
        ("MSG a 4294967297 1\r\nx\r\n", GOES_ON),
        ("MSG a 18446744073709551615 1\r\nx\r\n", GOES_ON),
        ("INFO {}\r\n", GOES_ON),
        ("INFO {\"max_payload\":18446744073709551615,\"headers\":false}\r\n", GOES_ON),
        ("PINGx\r\n", ENDS),
        ("\r\n", ENDS),
        ("\0\0\0\0\r\n", ENDS),
        ("HTTP/1.1 400 Bad Request\r\n", ENDS),
        ("MSG\r\n", ENDS),
        ("MSG a 1\r\n", ENDS),
        ("MSG a 1 r r 1\r\nx\r\n", ENDS),
        ("MSG a x 1\r\nx\r\n", ENDS),
        ("MSG a -1 1\r\nx\r\n", ENDS),
        ("MSG a 1 -1\r\nx\r\n", ENDS),
        ("MSG a 1 +1\r\nx\r\n", ENDS),
        ("MSG a 1 0x1\r\nx\r\n", ENDS),
        ("MSG a 18446744073709551616 1\r\nx\r\n", ENDS),
        ("MSG a 1 3000000000\r\n", ENDS),
        ("MSG a 1 9223372036854775807\r\n", ENDS),
        ("MSG a 1 18446744073709551600\r\n", ENDS),
        ("MSG a 1 18446744073709551615\r\n", ENDS),
        ("MSG a 1 99999999999999999999999\r\n", ENDS),
        ("MSG a 1 1\r\nxx\r\n", ENDS),
        ("MSG a 1 1\r\nx\n\n", ENDS),
        ("HMSG a 1 1\r\nx\r\n", ENDS),
        ("HMSG a 1 3 2\r\nxx\r\n", ENDS),
        ("HMSG a 1 18446744073709551615 1\r\nx\r\n", ENDS),
        ("HMSG a 1 18446744073709551615 18446744073709551614\r\n", ENDS),
        ("HMSG a 1 -1 1\r\nx\r\n", ENDS),
        ("INFO\r\n", ENDS),
        ("INFO []\r\n", ENDS),
        ("INFO {\"max_payload\":-1}\r\n", ENDS),
        ("INFO {\"connect_urls\":{}}\r\n", ENDS),
    ]
    .map(|(text, ends)| (text.as_bytes().to_vec(), ends))
    .into();
    let nested = "[".repeat(200_000);
    table.push((format!("INFO {{\"connect_urls\":{nested}\r\n").into_bytes(), ENDS));
    table.push((vec![b'x'; 9 << 10], ENDS));
    table.push((vec![b'I'; 2 << 20], ENDS));
    table.push((b"MSG a 1 r\xff\xfe 1\r\nx\r\n".into(), GOES_ON));
    table.push((b"-ERR '\xff\xff\0'\r\n".into(), GOES_ON));
    table
}

#[test]
fn whatever_a_server_says_nothing_panics_and_only_broken_protocol_ends_the_connection_once() {
    let table = said_by_servers();
    let (peer, lines) = (Scripted::start().unwrap(), table.clone());
    let url = peer.url();
    let serving = std::thread::spawn(move || {
        let mut socket = peer.accept().unwrap();
        for (said, ends) in lines {
            let _ = socket.line_starting("SUB b 2").unwrap();
            // The peer may hang up in the midst of it.
            let sent = socket.send(&said);
            if ends {
                let _ = socket.rest();
            } else {
                sent.unwrap();
                socket.send("MSG a 1 4\r\ngood\r\n").unwrap();
                // A line of the client's, to know that it has come so far; then the same again on another connection.
                socket.line_starting("PUB next").unwrap();
                drop(socket);
            }
            socket = peer.accept().unwrap();
        }
        socket
    });
    let client = hasty().connect(&url).unwrap();
    let mut events = client.events();
    let mut good = client.subscribe("a").unwrap();
    let _other = client.subscribe("b").unwrap();
    assert_eq!(good.sid(), 1);
    let (mut closes, mut survived) = (0, 0);
    for (n, (said, ends)) in table.iter().enumerate() {
        let case = format!("{:?}", String::from_utf8_lossy(&said[..said.len().min(60)]));
        if *ends {
            closes += 1;
        } else {
            while good.next_timeout(DEADLINE).expect(&case).payload() != b"good" {}
            survived += 1;
            client.publish("next", "").unwrap();
        }
        await_return(&mut events, &case);
        assert_eq!(client.stats().reconnects, n as u64 + 1, "one close each: {case}");
    }
    println!(
        "P1, P2, P7, P8: {} lines of servers, closed once {closes}, survived {survived}",
        table.len()
    );
    drop(serving.join().unwrap());
}

/// P2, P4, C9: what is buffered of a line that does not end, and of a message that is too large.
#[test]
fn endless_lines_and_huge_claims_are_refused_before_they_are_read() {
    let (peer, limits) = (Scripted::start().unwrap(), Limits::default());
    let url = peer.url();
    let chunk = vec![b'x'; 1 << 20];
    let serving = std::thread::spawn(move || {
        let mut taken = Vec::new();
        for start in ["MSG a 1 ", "INFO {\"x\":\"", "MSG a 1 3000000000\r\n", "-ERR '", "PING "] {
            let mut socket = peer.accept().unwrap();
            socket.line_starting("SUB").unwrap();
            let _ = socket.send(start);
            taken.push((start, (0..128).take_while(|_| socket.send(&chunk).is_ok()).count()));
            let _ = socket.rest();
        }
        taken
    });
    let client = hasty().limits(limits).connect(&url).unwrap();
    let _subscription = client.subscribe("a").unwrap();
    let taken = serving.join().unwrap();
    let read = client.stats().bytes_in;
    println!("P2, P4: MiB that the kernel took of 128: {taken:?}; bytes read in all: {read}");
    // Those in the kernel's buffers when the connection was shut are not read.
    assert!(read < 5 << 20, "{read}");
    assert!(taken.iter().all(|(_, sent)| *sent < 20), "{taken:?}");
}

/// Ten ways to get headers wrong, and what is wrong with each.
fn malformed_headers() -> Vec<(Vec<u8>, MalformedHeaders)> {
    use MalformedHeaders::*;
    vec![
        (b"NATS/1.0\r\nA: bare\rreturn\r\n\r\n".into(), ForbiddenInValue { at: 17, byte: b'\r' }),
        (b"A: no version\r\n\r\n".into(), NoVersion),
        (b"NATS/1.0\r\nA: \xff\xfe\r\n\r\n".into(), NotUtf8 { at: 13 }),
        (b"NATS/1.0\r\nno colon\r\n\r\n".into(), NoColon { at: 10 }),
        (b"NATS/1.0 999999\r\n\r\n".into(), BadStatus),
        (b"NATS/1.0\r\n: no name\r\n\r\n".into(), EmptyName { at: 10 }),
        (b"NATS/1.0\r\nA b: space\r\n\r\n".into(), ForbiddenInName { at: 11, byte: b' ' }),
        (b"NATS/1.0\r\nA: not terminated".into(), NotTerminated),
        (b"NATS/1.0\nA: newlines\n\n".into(), BareNewline { at: 8 }),
        (b"NATS/1.0\r\nA: \0\r\n\r\n".into(), ForbiddenInValue { at: 13, byte: 0 }),
    ]
}

fn publish_raw(publisher: &Publisher, subject: &[u8], headers: &[u8], payload: &[u8]) {
    let mut frame = b"HPUB ".to_vec();
    frame.extend_from_slice(subject);
    frame.extend_from_slice(
        format!(" {} {}\r\n", headers.len(), headers.len() + payload.len()).as_bytes(),
    );
    for part in [headers, payload, b"\r\n"] {
        frame.extend_from_slice(part);
    }
    publisher.send(frame).unwrap();
}

/// P3.
#[test]
fn malformed_headers_of_a_publisher_are_delivered_and_told_and_drop_no_connection() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("h.*").unwrap();
    client.flush().wait().unwrap();
    let publisher = Publisher::connect(server.port()).unwrap();
    let table = malformed_headers();
    for (headers, _) in &table {
        publish_raw(&publisher, b"h.bad", headers, b"bad");
        publisher.send("PUB h.good 4\r\ngood\r\n").unwrap();
    }
    let (mut told, mut behind) = (0, 0);
    for (headers, fault) in &table {
        let bad = all.next_timeout(DEADLINE).expect("the bad one comes");
        let view = bad.headers().unwrap();
        assert_eq!((view.as_bytes(), bad.payload()), (&headers[..], &b"bad"[..]));
        assert_eq!(view.check(), Err(*fault), "{}", headers.escape_ascii());
        assert!(!format!("{bad:?}").is_empty());
        told += 1;
        let good = all.next_timeout(DEADLINE).expect("the one behind it comes");
        assert_eq!((&*good.subject(), good.payload()), ("h.good", &b"good"[..]));
        behind += 1;
    }
    let reconnects = client.stats().reconnects;
    println!(
        "P3: {} kinds of malformed headers, told {told}, messages behind them {behind}, connections dropped {reconnects}",
        table.len()
    );
    assert_eq!(reconnects, 0);
}

/// P3.
#[test]
fn malformed_headers_in_a_stream_are_consumed_and_acknowledged_once() {
    let server = Server::start().unwrap();
    let js = JetStream::new(Client::connect(&server.url()).unwrap()).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s.>")).wait().unwrap();
    let config = ConsumerConfig::durable("C").ack_wait(Duration::from_millis(500));
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    let publisher = Publisher::connect(server.port()).unwrap();
    let table = malformed_headers();
    for (n, (headers, _)) in table.iter().enumerate() {
        publish_raw(&publisher, b"s.bad", headers, n.to_string().as_bytes());
        publisher.send("PUB s.good 4\r\ngood\r\n").unwrap();
    }
    let (mut told, mut deliveries) = (0, 0);
    for (n, (_, fault)) in table.iter().enumerate() {
        let bad = messages.next_timeout(DEADLINE).expect("the bad one comes");
        assert_eq!(bad.payload(), n.to_string().as_bytes());
        assert_eq!(bad.delivery().delivered, 1);
        // The server strips a forged status line, and with it the block.
        if let Some(headers) = bad.headers() {
            told += usize::from(headers.check() == Err(*fault));
        }
        bad.ack();
        let good = messages.next_timeout(DEADLINE).expect("the one behind it comes");
        assert_eq!(good.payload(), b"good");
        good.ack();
        deliveries += 2;
    }
    assert!(messages.next_timeout(Duration::from_millis(1100)).is_none(), "no poison comes again");
    eventually("all is acknowledged", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.num_ack_pending == 0 && info.num_redelivered == 0 && info.num_pending == 0)
            .then_some(())
    });
    println!(
        "P3: {} stored with malformed headers, told {told}, deliveries {deliveries}, connections dropped {}",
        table.len(),
        js.client().stats().reconnects
    );
    assert!(told + 1 >= table.len());
    assert_eq!(js.client().stats().reconnects, 0);
}

/// P5, P6, and what section 2 says that servers forward.
#[test]
fn forged_statuses_and_strange_subjects_are_messages_like_any_other() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe(">").unwrap();
    client.flush().wait().unwrap();
    let publisher = Publisher::connect(server.port()).unwrap();
    let subjects: [&[u8]; 6] = [b"u.a", b"*", b"u.>", b"u.\xff\xfe", b"u.\0", "u.ä".as_bytes()];
    let statuses = ["100 Idle Heartbeat", "404 No Messages", "408", "409 Consumer Deleted", "503"];
    for subject in subjects {
        for status in statuses {
            let headers = format!("NATS/1.0 {status}\r\n\r\n");
            publish_raw(&publisher, subject, headers.as_bytes(), b"");
        }
    }
    publisher.send(b"PUB u.r reply.\xff\0 0\r\n\r\n").unwrap();
    for subject in subjects {
        for status in statuses {
            let message = all.next_timeout(DEADLINE).expect("it comes");
            assert_eq!(message.subject_bytes(), subject);
            let found = message.headers().unwrap().status().unwrap();
            assert!(status.starts_with(&found.code.to_string()));
        }
    }
    let strange = all.next_timeout(DEADLINE).unwrap();
    assert_eq!(strange.reply(), Some(&b"reply.\xff\0"[..]));
    assert_eq!(client.respond(&strange, "x"), Err(PublishError::NoReply));
    println!(
        "P5, P6: {} forged statuses on {} subjects, taken for ours 0, connections dropped {}",
        subjects.len() * statuses.len(),
        subjects.len(),
        client.stats().reconnects
    );
    assert_eq!(client.stats().reconnects, 0);
}

/// P5.
#[test]
fn nobody_answers_for_another_by_guessing_inboxes() {
    let server = Server::start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let js = JetStream::new(client.clone()).unwrap();
    let _silent = client.subscribe("silent").unwrap();
    let publisher = Publisher::connect(server.port()).unwrap();
    let mut guesses = vec!["_INBOX.*.0000".to_owned(), "_INBOX.>".into(), "_INBOX..0000".into()];
    let mut random = fastrand::Rng::with_seed(5);
    guesses.extend((0..1000).map(|_| {
        let id: String = (0..12).map(|_| random.char('A'..='V')).collect();
        format!("_INBOX.{id}.0000")
    }));
    let timeout = Duration::from_millis(300);
    let requests: Vec<_> =
        (0..10).map(|_| client.request("silent", "", timeout).unwrap()).collect();
    client.flush().wait().unwrap();
    for guess in &guesses {
        let ack = r#"{"stream":"S","seq":1}"#;
        publisher.send(format!("PUB {guess} {}\r\n{ack}\r\n", ack.len())).unwrap();
        publish_raw(&publisher, guess.as_bytes(), b"NATS/1.0 503\r\n\r\n", b"");
    }
    let accepted = requests
        .into_iter()
        .map(|request| request.wait())
        .filter(|reply| !matches!(reply, Err(RequestError::TimedOut)));
    let accepted = accepted.count();
    println!("P5: {} guesses at 10 requests, accepted {accepted}", guesses.len());
    assert_eq!(accepted, 0, "guesses taken for replies");
    assert_eq!(js.pending_acks(), 0);
}

/// P5: what a guess has to hit. Every client has an id of its own, and nothing of it is the same in all of them.
#[test]
fn the_ids_of_inboxes_tell_nothing_of_each_other() {
    const IDS: usize = 2000;
    let id = |inbox: &[u8]| inbox.split(|byte| *byte == b'.').nth(1).unwrap().to_vec();
    let ids: HashSet<_> = (0..IDS).map(|_| id(Inbox::new().prefix())).collect();
    assert_eq!(ids.len(), IDS, "each is another one");
    let digits = |place: usize| ids.iter().map(|id| id[place]).collect::<HashSet<_>>().len();
    let fewest = (0..12).map(digits).min().unwrap();
    // Of 2000 draws from 32 digits, each comes up.
    assert_eq!(fewest, 32, "any digit in any place");
    // The requests of a client have such an id.
    let server = server();
    let witness = Client::connect(&server.url()).unwrap();
    let mut asked = witness.subscribe("silent").unwrap();
    witness.flush().wait().unwrap();
    let clients: HashSet<_> = (0..20)
        .map(|_| {
            let client = Client::connect(&server.url()).unwrap();
            let _request = client.request("silent", "", DEADLINE).unwrap();
            id(asked.next_timeout(DEADLINE).expect("it comes").reply().unwrap())
        })
        .collect();
    assert_eq!(clients.len(), 20, "each client has another one");
    assert!(clients.iter().all(|id| id.len() == 12 && !ids.contains(id)));
    println!("P5: {IDS} ids, {} of them different, {fewest} of 32 digits in each place", ids.len());
}

/// P7.
#[test]
fn nobody_gets_more_messages_than_asked_for_also_across_a_reconnect() {
    let (peer, most) = (Scripted::start().unwrap(), 5);
    let url = peer.url();
    let serving = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..2 {
            let mut socket = peer.accept().unwrap();
            asked.push(socket.line_starting("UNSUB 1").unwrap());
            for n in 0..3 {
                socket.send(format!("MSG a 1 1\r\n{n}\r\n")).unwrap();
            }
            // The rest goes beyond, from a server that does not count.
            if asked.len() == 2 {
                socket.send("MSG a 1 1\r\nx\r\n".repeat(100)).unwrap();
                socket.line_starting("PING").unwrap();
                socket.send("PONG\r\n").unwrap();
                let _ = socket.rest();
            }
        }
        asked
    });
    let client = hasty().connect(&url).unwrap();
    let mut limited = client.subscribe("a").unwrap();
    limited.unsubscribe_after(most);
    let received = std::iter::from_fn(|| limited.next_timeout(DEADLINE)).count() as u64;
    assert_eq!(limited.close_reason(), Some(CloseReason::Complete));
    eventually("a flush", || client.flush().wait().ok());
    client.close(DEADLINE).unwrap();
    let asked = serving.join().unwrap();
    println!("P7: {received} of {most} delivered, asked for by {asked:?}");
    assert_eq!(received, most);
    assert_eq!(asked, ["UNSUB 1 5", "UNSUB 1 2"]);
}

/// The limit comes between the greeting of the next server and the end of its handshake.
#[test]
fn a_limit_below_what_has_come_ends_a_subscription_also_while_reconnecting() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let serving = std::thread::spawn(move || {
        let mut first = peer.accept().unwrap();
        first.line_starting("SUB a 1").unwrap();
        first.send("MSG a 1 1\r\nx\r\n".repeat(5)).unwrap();
        first.line_starting("PUB go").unwrap();
        drop(first);
        let mut second = peer.accept_silently().unwrap();
        second.send(format!("INFO {} \r\nPONG\r\n", Scripted::INFO)).unwrap();
        let first_line = second.line_starting("SUB").unwrap();
        drop(second);
        first_line
    });
    let limited = Arc::<Mutex<Option<Subscription>>>::default();
    let taken = Arc::clone(&limited);
    let client = hasty()
        .auth_callback(move |_| {
            if let Some(subscription) = &*taken.lock().unwrap() {
                subscription.unsubscribe_after(2);
            }
            Ok(Auth::None)
        })
        .connect(&url)
        .unwrap();
    let mut all = client.subscribe("a").unwrap();
    let mut other = client.subscribe("b").unwrap();
    (0..5).for_each(|_| drop(all.next_timeout(DEADLINE).unwrap()));
    *limited.lock().unwrap() = Some(all);
    client.publish("go", "").unwrap();
    assert_eq!(serving.join().unwrap(), "SUB b 2", "the other one is restored, and only that");
    let mut all = limited.lock().unwrap().take().unwrap();
    assert!(all.next_timeout(DEADLINE).is_none());
    assert_eq!(all.close_reason(), Some(CloseReason::Complete));
    assert!(other.try_next().is_none() && other.close_reason().is_none());
    println!("P7: a limit below what has come, given while reconnecting: it ended");
}
