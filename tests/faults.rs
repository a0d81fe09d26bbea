//! What must hold when peers misbehave, sockets stand still and connections die at the worst moment.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use jetlane_client::{
    Client, ConnectError, ConnectOptions, FlushError, HeaderBlock, Limits, MessageRef, Out,
    PublishError, RequestError, Sink, State,
};
use jetlane_jetstream::{JetStream, NotStored, StreamConfig, Unknown};
use jetlane_testkit::{Scripted, Server};
use jetlane_tests::{DEADLINE, eventually};

fn server() -> Server {
    Server::builder().without_jetstream().start().unwrap()
}

#[test]
fn a_second_reply_is_never_taken_for_the_reply_to_the_next_request() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let responders: Vec<_> = (0..2)
        .map(|_| {
            let responder = Client::connect(&server.url()).unwrap();
            let replies = responder.clone();
            let handle = responder
                .subscription("echo")
                .inline(move |request| {
                    let reply = std::str::from_utf8(request.reply().unwrap()).unwrap();
                    replies.publish(reply, request.payload()).unwrap();
                })
                .unwrap();
            responder.flush().wait().unwrap();
            (responder, handle)
        })
        .collect();
    for n in 0..1000 {
        let reply = client.request("echo", n.to_string(), DEADLINE).unwrap().wait().unwrap();
        assert_eq!(reply.payload(), n.to_string().as_bytes());
    }
    drop(responders);
}

#[test]
fn whoever_answers_on_the_subject_of_a_stream_is_not_taken_for_the_stream() {
    let server = Server::start().unwrap();
    let js = JetStream::new(Client::connect(&server.url()).unwrap()).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s")).wait().unwrap();
    let other = Client::connect(&server.url()).unwrap();
    let replies = other.clone();
    let _handle = other
        .subscription("s")
        .inline(move |message| {
            if let Some(reply) = message.reply() {
                replies.publish(std::str::from_utf8(reply).unwrap(), "+OK").unwrap();
            }
        })
        .unwrap();
    other.flush().wait().unwrap();
    for sequence in 1..=1000 {
        assert_eq!(js.publish("s", "x").unwrap().wait().unwrap().sequence, sequence);
    }
}

#[test]
fn publishers_are_heard_while_a_sink_always_has_something_to_write() {
    struct Answering;
    impl Sink for Answering {
        fn message(&mut self, _: &MessageRef<'_>, out: &mut Out<'_>) {
            out.publish(b"answer", b"", b"");
        }
    }
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let (heard, published) = mpsc::channel();
    let serving = std::thread::spawn(move || {
        let mut socket = peer.accept().unwrap();
        socket.line_starting("SUB").unwrap();
        let talking = socket.try_clone().unwrap();
        // Always something to read, until the client has gone.
        std::thread::spawn(
            move || while talking.send("MSG a 1 1\r\nx\r\n".repeat(1000)).is_ok() {},
        );
        while socket.line_starting("PUB mine").is_ok() && heard.send(()).is_ok() {}
    });
    let client = Client::connect(&url).unwrap();
    let _handle = client.subscription("a").sink(Answering).unwrap();
    for _ in 0..20 {
        client.publish("mine", "").unwrap();
        published.recv_timeout(Duration::from_secs(10)).expect("heard at once");
    }
    drop(published);
    let _ = client.close(Duration::ZERO);
    serving.join().unwrap();
}

#[test]
fn a_flush_fails_when_the_connection_died_under_it_however_far_it_had_come() {
    let mut server = server();
    let limits = Limits { publish_wait: Duration::from_millis(200), ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    server.pause();
    // Until there is no room for a fifth of a second: the kernel's buffers are full, and the flush stays in the write queue.
    while client.publish("f", [0; 100_000]).is_ok() {}
    let flush = client.flush();
    server.kill();
    server.restart().unwrap();
    assert_eq!(flush.wait(), Err(FlushError::Disconnected));
}

#[test]
fn close_brings_everything_to_the_server_also_while_messages_come_in() {
    let server = server();
    let witness = Client::connect(&server.url()).unwrap();
    let counted = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&counted);
    let _witness = witness
        .subscription("c")
        .inline(move |_| {
            counter.fetch_add(1, Relaxed);
        })
        .unwrap();
    witness.flush().wait().unwrap();
    let noise = Client::connect(&server.url()).unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let noisy = std::thread::spawn(move || {
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            noise.publish("noise", [0; 1000]).unwrap();
        }
    });
    for round in 1..=5 {
        let client = Client::connect(&server.url()).unwrap();
        let _noise = client.subscription("noise").inline(|_| {}).unwrap();
        client.flush().wait().unwrap();
        for _ in 0..20_000 {
            client.publish("c", "x").unwrap();
        }
        client.close(DEADLINE).unwrap();
        eventually("all have come", || (counted.load(Relaxed) == round * 20_000).then_some(()));
    }
    drop(stop);
    noisy.join().unwrap();
}

#[test]
fn a_message_that_the_next_server_would_not_take_does_not_end_every_connection() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let (go, told) = mpsc::channel::<()>();
    let serving = std::thread::spawn(move || {
        let first = peer.accept().unwrap();
        told.recv().unwrap();
        drop(first);
        told.recv().unwrap();
        // The next one takes 1000 bytes.
        let mut socket = peer.accept_saying(&Scripted::INFO.replace("1048576", "1000")).unwrap();
        let mut subjects = Vec::new();
        while subjects.len() < 2 {
            let line = socket.line_starting("PUB ").unwrap();
            let words: Vec<_> = line.split(' ').collect();
            let size: usize = words.last().unwrap().parse().unwrap();
            socket.bytes(size + 2).unwrap();
            subjects.push(words[1].to_owned());
        }
        (socket, subjects)
    });
    let client = Client::connect(&url).unwrap();
    let js = JetStream::new(client.clone()).unwrap();
    go.send(()).unwrap();
    eventually("the loss is noticed", || (client.state() == State::Reconnecting).then_some(()));
    client.publish("first", "small").unwrap();
    let large = js.publish("large", vec![0; 5000]).unwrap();
    client.publish("second", "small").unwrap();
    go.send(()).unwrap();
    assert_eq!(large.wait(), Err(NotStored::Unknown(Unknown::Disconnected)));
    let (_socket, subjects) = serving.join().unwrap();
    assert_eq!(subjects, ["first", "second"]);
    assert!(client.last_error().unwrap().contains("larger than this server takes"));
}

#[test]
fn what_is_queued_stays_bounded_while_a_server_takes_us_and_drops_us() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    std::thread::spawn(move || {
        loop {
            // Drops the client with the first byte it publishes.
            let _ = peer.accept().and_then(|mut socket| socket.bytes(1));
        }
    });
    let limits =
        Limits { write_queue_bytes: 64 << 10, reconnect_bytes: 64 << 10, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&url).unwrap();
    let until = Instant::now() + Duration::from_millis(500);
    let mut accepted = 0usize;
    while Instant::now() < until {
        accepted += usize::from(client.try_publish("q", [0; 1000]).is_ok());
    }
    let written = usize::try_from(client.stats().bytes_out).unwrap();
    let queued = (accepted * 1000).saturating_sub(written);
    assert!(queued < 512 << 10, "{queued} bytes are queued");
    let _ = client.close(Duration::ZERO);
}

#[test]
fn a_header_block_that_panics_leaves_no_half_frame() {
    struct Panicking;
    impl HeaderBlock for Panicking {
        fn encoded_len(&self) -> usize {
            12
        }
        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(b"NATS");
            panic!("on purpose");
        }
    }
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("h").unwrap();
    let attempt = std::panic::AssertUnwindSafe(|| client.publish_with("h", None, &Panicking, "x"));
    assert!(std::panic::catch_unwind(attempt).is_err());
    client.publish("h", "good").unwrap();
    assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), b"good");
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn a_sink_that_panics_ends_the_connection_and_all_that_waits() {
    struct Panicking;
    impl Sink for Panicking {
        fn message(&mut self, _: &MessageRef<'_>, _: &mut Out<'_>) {}
        fn turn_end(&mut self, _: &mut Out<'_>) {
            panic!("on purpose");
        }
    }
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut waiting = client.subscribe("w").unwrap();
    let _handle = client.subscription("p").sink(Panicking).unwrap();
    client.publish("p", "x").unwrap();
    let flush = client.flush();
    assert!(waiting.next().is_none());
    assert!(flush.wait().is_err());
    eventually("closed", || (client.state() == State::Closed).then_some(()));
    assert_eq!(client.publish("p", "x"), Err(PublishError::Closed));
}

#[test]
fn a_callback_that_publishes_into_a_full_write_queue_does_not_stall_the_connection() {
    let server = server();
    let limits = Limits { write_queue_bytes: 10_000, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let publisher = client.clone();
    let (full, refusals) = mpsc::channel();
    let _handle = client
        .subscription("f")
        .inline(move |_| {
            while publisher.publish("g", [0; 1000]).is_ok() {}
            full.send(publisher.publish("g", [0; 1000])).unwrap();
        })
        .unwrap();
    let started = Instant::now();
    client.publish("f", "x").unwrap();
    assert_eq!(refusals.recv_timeout(DEADLINE).unwrap(), Err(PublishError::Full));
    client.flush().wait().unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn requests_work_at_the_limit_of_subscriptions() {
    let server = server();
    let limits = Limits { subscriptions: 1, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let _only = client.subscribe("a").unwrap();
    assert!(client.subscribe("b").is_err());
    let request = client.request("nobody", "", DEADLINE).unwrap();
    assert_eq!(request.wait().unwrap_err(), RequestError::NoResponders);
}

#[test]
fn subscribing_over_and_over_while_down_does_not_fill_the_write_queue() {
    let mut server = server();
    let limits = Limits { write_queue_bytes: 16 << 10, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    server.kill();
    eventually("the loss is noticed", || (client.state() == State::Reconnecting).then_some(()));
    for _ in 0..5000 {
        drop(client.subscribe("again.and.again").unwrap());
    }
    let mut kept = client.subscribe("kept").unwrap();
    eventually("there is room", || client.try_publish("kept", "x").ok());
    server.restart().unwrap();
    assert_eq!(kept.next_timeout(DEADLINE).unwrap().payload(), b"x");
}

#[test]
fn a_peer_that_pings_and_never_reads_costs_no_memory() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    std::thread::spawn(move || {
        let socket = peer.accept().unwrap();
        while socket.send("PING\r\n".repeat(1000)).is_ok() {}
    });
    let client = Client::connect(&url).unwrap();
    eventually("a million PINGs are read", || (client.stats().bytes_in > 6_000_000).then_some(()));
    // What was written is in the kernel's buffers; what was not is one PONG.
    let answered = client.stats().bytes_out / 6;
    assert!(answered < 3_000_000, "{answered}");
    let _ = client.close(Duration::ZERO);
}

#[test]
fn messages_before_the_handshake_are_no_nats() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    std::thread::spawn(move || {
        for first in
            ["MSG a 1 1\r\nx\r\n", "PING\r\n", "INFO {\"headers\":true}\r\nMSG a 1 1\r\nx\r\n"]
        {
            let mut socket = peer.accept_silently().unwrap();
            socket.send(first).unwrap();
            let _ = socket.bytes(1);
        }
    });
    for _ in 0..3 {
        let error = Client::connect(&url).unwrap_err();
        assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
    }
}
