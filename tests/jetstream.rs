//! JetStream: management, acknowledged publishing, pull consumption.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jetlane_client::{Client, ConnectOptions, Headers, Limits};
use jetlane_jetstream::{
    AckPolicy, ApiError, ConsumerConfig, ConsumerInfo, Discard, EndReason, Held, JetStream,
    JetStreamOptions, JsMessage, Messages, NotStored, PublishError, Settle, Stored, StreamConfig,
    Taker, Ticket, Unknown,
};
use jetlane_testkit::{Cluster, Server};
use jetlane_tests::{DEADLINE, eventually};

fn jetstream(server: &Server) -> JetStream {
    JetStream::new(Client::connect(&server.url()).unwrap()).unwrap()
}

/// A server, and JetStream on it with a stream `S` of the subjects `s.>`.
fn with_stream() -> (Server, JetStream) {
    let server = Server::start().unwrap();
    let js = jetstream(&server);
    js.create_stream(&StreamConfig::new("S").subject("s.>")).wait().unwrap();
    (server, js)
}

fn publish_numbers(js: &JetStream, count: u64) {
    let tickets: Vec<_> = (1..=count).map(|n| js.publish("s.n", n.to_string()).unwrap()).collect();
    for (n, ticket) in (1..).zip(tickets) {
        assert_eq!(ticket.wait().unwrap().sequence, n);
    }
}

#[test]
fn streams_and_consumers_are_managed() {
    let (_server, js) = with_stream();
    let info = js.stream_info("S").wait().unwrap();
    assert_eq!(info.config.subjects, ["s.>"]);
    let wider = info.config.clone().subject("t.>").max_age(Duration::from_secs(3600));
    assert_eq!(js.update_stream(&wider).wait().unwrap().config.subjects.len(), 2);
    assert_eq!(js.stream_names("t.x").wait().unwrap().streams.unwrap(), ["S"]);
    assert_eq!(js.stream_names("u.x").wait().unwrap().streams, None);

    let config = ConsumerConfig::durable("C").filter("s.a").filter("s.b").max_ack_pending(77);
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    assert_eq!((consumer.name.as_str(), consumer.config.ack_wait), ("C", Duration::from_secs(30)));
    js.create_consumer("S", &config).wait().expect("the same again is fine");
    let longer = consumer.config.clone().ack_wait(Duration::from_secs(60));
    let updated = js.update_consumer("S", &longer).wait().unwrap();
    assert_eq!(updated.config.ack_wait, Duration::from_secs(60));
    assert_eq!(js.consumer_info("S", "C").wait().unwrap().config.filter_subjects, ["s.a", "s.b"]);

    assert!(js.delete_consumer("S", "C").wait().unwrap().success);
    assert!(js.delete_stream("S").wait().unwrap().success);
}

#[test]
fn each_way_the_api_refuses_has_its_own_error() {
    let (_server, js) = with_stream();
    let no_stream = ApiError::StreamNotFound { stream: "NO".into() };
    assert_eq!(js.stream_info("NO").wait().unwrap_err(), no_stream);
    assert_eq!(js.delete_stream("NO").wait().unwrap_err(), no_stream);
    let config = ConsumerConfig::durable("C");
    assert_eq!(js.create_consumer("NO", &config).wait().unwrap_err(), no_stream);
    let no_consumer = ApiError::ConsumerNotFound { stream: "S".into(), consumer: "NO".into() };
    assert_eq!(js.consumer_info("S", "NO").wait().unwrap_err(), no_consumer);
    for bad in ["", "a.b", "a b", "a*", "a\r\n"] {
        assert!(matches!(js.stream_info(bad).wait(), Err(ApiError::Name(_))), "{bad:?}");
        assert!(matches!(js.consumer_info("S", bad).wait(), Err(ApiError::Name(_))), "{bad:?}");
    }
    let other = StreamConfig::new("S").subject("other");
    let refused = js.create_stream(&other).wait().unwrap_err();
    assert!(matches!(refused, ApiError::Rejected { error_code: 10058, .. }), "{refused:?}");

    let plain = Server::builder().without_jetstream().start().unwrap();
    let off = jetstream(&plain).stream_info("S").wait().unwrap_err();
    assert_eq!(off, ApiError::NotAvailable);
}

#[test]
fn publishes_are_stored_in_order_and_duplicates_are_told() {
    let (_server, js) = with_stream();
    publish_numbers(&js, 20_000);
    let headers = Headers::new().with("Nats-Msg-Id", "once").unwrap();
    let first = js.publish_with("s.x", &headers, "1").unwrap().wait().unwrap();
    assert_eq!((first.sequence, first.duplicate), (20_001, false));
    let second = js.publish_with("s.x", &headers, "1").unwrap().wait().unwrap();
    assert_eq!((second.sequence, second.duplicate), (20_001, true));
    assert_eq!(js.stream_info("S").wait().unwrap().state.messages, 20_001);
    assert_eq!(js.pending_acks(), 0);
}

#[test]
fn a_ticket_is_a_future_of_any_executor() {
    let (_server, js) = with_stream();
    async fn publish(js: &JetStream) -> Stored {
        let mut tickets: Vec<Ticket> =
            (0..100).map(|_| js.publish("s.async", "x").unwrap()).collect();
        let last = tickets.pop().unwrap();
        for ticket in tickets {
            ticket.await.unwrap();
        }
        last.await.unwrap()
    }
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(tokio.block_on(publish(&js)).sequence, 100);
    assert_eq!(smol::block_on(publish(&js)).sequence, 200);
    assert_eq!(pollster::block_on(publish(&js)).sequence, 300);
    // Across threads of an executor, and beside an API call, which is a future, too.
    let spawned = js.clone();
    let task = smol::spawn(async move { publish(&spawned).await });
    assert_eq!(smol::block_on(task).sequence, 400);
    let info = tokio.block_on(async { js.stream_info("S").await });
    assert_eq!(info.unwrap().state.messages, 400);
}

#[test]
fn what_is_not_stored_says_why() {
    let (_server, js) = with_stream();
    let small = StreamConfig::new("SMALL").subject("small").max_msgs(1).discard(Discard::New);
    js.create_stream(&small).wait().unwrap();
    js.publish("small", "1").unwrap().wait().unwrap();
    let Err(NotStored::Rejected(full)) = js.publish("small", "2").unwrap().wait() else { panic!() };
    assert_eq!(full.error_code, 10077, "{full}");
    let Err(NotStored::Rejected(none)) = js.publish("nowhere", "x").unwrap().wait() else {
        panic!()
    };
    assert_eq!((none.code, none.error_code), (503, 0));
    assert!(none.reason.contains("create a stream"), "{none}");

    // Somebody else who answers on the stream's subject is not taken for the stream.
    let mut answers = js.client().subscribe("s.answered").unwrap();
    let ticket = js.publish("s.answered", "x").unwrap();
    let question = answers.next_timeout(DEADLINE).unwrap();
    js.client().publish(std::str::from_utf8(question.reply().unwrap()).unwrap(), "hello").unwrap();
    assert!(ticket.wait().is_ok());

    let large = js.publish("s.x", vec![0; (1 << 20) + 1]).unwrap_err();
    let expected = jetlane_client::PublishError::TooLarge { size: (1 << 20) + 1, max: 1 << 20 };
    assert_eq!(large, PublishError::Client(expected));
    let bad = js.publish("s..x", "").unwrap_err();
    assert!(matches!(bad, PublishError::Client(jetlane_client::PublishError::Subject(_))));
}

#[test]
fn every_publish_has_a_deadline_and_a_late_ack_changes_nothing() {
    let server = Server::start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let options =
        JetStreamOptions { publish_timeout: Duration::from_millis(100), ..Default::default() };
    let js = JetStream::with_options(client.clone(), options).unwrap();
    let mut mute = client.subscribe("mute").unwrap();
    let ticket = js.publish("mute", "x").unwrap();
    let question = mute.next_timeout(DEADLINE).unwrap();
    assert_eq!(ticket.wait(), Err(NotStored::Unknown(Unknown::TimedOut)));
    let ticket = js.publish("mute", "y").unwrap();
    let late = std::str::from_utf8(question.reply().unwrap()).unwrap();
    client.publish(late, r#"{"stream":"S","seq":7}"#).unwrap();
    client.flush().wait().unwrap();
    assert_eq!(ticket.wait(), Err(NotStored::Unknown(Unknown::TimedOut)));
    let closed = js.publish("mute", "z").unwrap();
    client.close(DEADLINE).unwrap();
    assert_eq!(closed.wait(), Err(NotStored::Unknown(Unknown::Closed)));
    let after = js.publish("mute", "z").unwrap_err();
    assert_eq!(after, PublishError::Client(jetlane_client::PublishError::Closed));
}

#[test]
fn the_window_and_the_tickets_are_bounded() {
    let server = Server::start().unwrap();
    let limits = Limits {
        pending_acks: 10,
        tickets: 25,
        publish_wait: Duration::from_millis(50),
        ..Limits::default()
    };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let js = JetStream::new(client.clone()).unwrap();
    let _mute = client.subscribe("mute").unwrap();
    let mute: Vec<_> = (0..10).map(|_| js.publish("mute", "").unwrap()).collect();
    assert_eq!(js.try_publish("mute", "").unwrap_err(), PublishError::Window { limit: 10 });
    assert_eq!(js.publish("mute", "").unwrap_err(), PublishError::Window { limit: 10 });
    drop(mute);

    let js = JetStream::new(client).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s")).wait().unwrap();
    let mut kept: Vec<_> = (0..25).map(|_| js.publish("s", "").unwrap()).collect();
    eventually("all are stored", || (js.pending_acks() == 0).then_some(()));
    assert_eq!(js.publish("s", "").unwrap_err(), PublishError::Tickets { limit: 25 });
    drop(kept.pop());
    js.publish("s", "").unwrap().wait().unwrap();
}

/// Publishes numbers while the server is killed and restarted again and again; every publish must end, and what is said
/// to be stored must be in the stream, at that place, in order.
#[test]
fn publishing_through_sigkill_and_restart_accounts_for_every_message() {
    let (mut server, js) = with_stream();
    let publisher = js.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let publishing = std::thread::spawn(move || {
        let mut tickets = Vec::new();
        let mut outcomes = Vec::new();
        for n in 0u64.. {
            if stopped.try_recv().is_ok() {
                break;
            }
            // While the server is down and the outbox full, a publish may be refused: then it was never queued.
            match publisher.publish("s.n", n.to_string()) {
                Ok(ticket) => tickets.push((n, ticket)),
                Err(error) => outcomes.push((n, Err(error.to_string()))),
            }
            if tickets.len() == 500 {
                outcomes.extend(
                    tickets.drain(..).map(|(n, ticket): (u64, Ticket)| (n, Ok(ticket.wait()))),
                );
            }
        }
        outcomes.extend(tickets.into_iter().map(|(n, ticket)| (n, Ok(ticket.wait()))));
        outcomes
    });
    for round in 1..=5 {
        let seen = js.client().stats().messages_in;
        eventually("publishing goes on", || {
            (js.client().stats().messages_in > seen + 2000).then_some(())
        });
        server.kill();
        server.restart().unwrap();
        eventually("the connection is back", || {
            (js.client().stats().reconnects >= round).then_some(())
        });
    }
    let seen = js.client().stats().messages_in;
    eventually("publishing goes on", || {
        (js.client().stats().messages_in > seen + 2000).then_some(())
    });
    stop.send(()).unwrap();
    let outcomes = publishing.join().unwrap();

    let in_stream = read_stream(&js);
    let (mut stored, mut unknown, mut last) = (0, 0, 0);
    for (n, outcome) in &outcomes {
        match outcome {
            Ok(Ok(ack)) => {
                stored += 1;
                assert_eq!(in_stream.get(&ack.sequence), Some(&n.to_string()), "{n} is stored");
                assert!(ack.sequence > last, "{n} is stored behind its predecessor");
                last = ack.sequence;
            }
            Ok(Err(NotStored::Unknown(_))) => unknown += 1,
            Ok(Err(NotStored::Rejected(why))) => assert_eq!(why.code, 503, "{why}"),
            Err(_) => {}
        }
    }
    println!("{} published, {stored} stored, {unknown} unknown", outcomes.len());
    assert!(stored > 10_000, "{stored}");
    assert_eq!(js.pending_acks(), 0);
}

/// All messages of the stream `S`, by sequence.
fn read_stream(js: &JetStream) -> HashMap<u64, String> {
    let config = ConsumerConfig::durable("reader").ack(AckPolicy::None);
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let last = js.stream_info("S").wait().unwrap().state.last_seq;
    let mut messages = js.consume(&consumer).queued().unwrap();
    let mut seen = HashMap::new();
    while !seen.contains_key(&last) {
        let message = messages.next_timeout(DEADLINE).expect("the stream can be read to its end");
        let text = String::from_utf8(message.payload().to_vec()).unwrap();
        seen.insert(message.delivery().stream_sequence, text);
    }
    seen
}

#[test]
fn all_messages_are_consumed_in_order_under_each_settlement() {
    const COUNT: u64 = 20_000;
    let (_server, js) = with_stream();
    publish_numbers(&js, COUNT);
    for (name, policy) in
        [("each", AckPolicy::Explicit), ("mark", AckPolicy::All), ("none", AckPolicy::None)]
    {
        let config = ConsumerConfig::durable(name).ack(policy).max_ack_pending(2000);
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        for n in 1..=COUNT {
            let message = messages.next_timeout(DEADLINE).unwrap_or_else(|| panic!("{name}: {n}"));
            assert_eq!(message.delivery().stream_sequence, n, "{name}");
            assert_eq!(message.payload(), n.to_string().as_bytes(), "{name}");
            message.ack();
        }
        assert!(messages.try_next().is_none());
        eventually("everything is acknowledged", || {
            let info = js.consumer_info("S", name).wait().unwrap();
            let floor = info.ack_floor.stream_seq == COUNT || policy == AckPolicy::None;
            (floor && info.num_ack_pending == 0 && info.num_redelivered == 0).then_some(())
        });
    }
}

#[test]
fn what_is_given_back_or_dropped_comes_again_and_what_is_terminated_does_not() {
    for policy in [AckPolicy::Explicit, AckPolicy::All] {
        let (_server, js) = with_stream();
        publish_numbers(&js, 4);
        let config = ConsumerConfig::durable("C").ack(policy).ack_wait(Duration::from_secs(1));
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        let mut next = || messages.next_timeout(DEADLINE).unwrap();
        let (one, two, three, four) = (next(), next(), next(), next());
        four.ack();
        three.term("never");
        two.nak(Duration::from_millis(1));
        drop(one);
        let two = next();
        assert_eq!(
            (two.delivery().stream_sequence, two.delivery().delivered),
            (2, 2),
            "{policy:?}"
        );
        two.ack();
        let one = next();
        assert_eq!(
            (one.delivery().stream_sequence, one.delivery().delivered),
            (1, 2),
            "{policy:?}"
        );
        one.ack();
        eventually("everything is settled", || {
            let info = js.consumer_info("S", "C").wait().unwrap();
            (info.ack_floor.stream_seq == 4 && info.num_ack_pending == 0).then_some(())
        });
        assert!(messages.try_next().is_none());
    }
}

#[test]
fn what_is_held_beyond_the_ack_wait_is_kept_alive() {
    for policy in [AckPolicy::Explicit, AckPolicy::All] {
        let (_server, js) = with_stream();
        publish_numbers(&js, 10);
        let ack_wait = Duration::from_millis(400);
        let config = ConsumerConfig::durable("C").ack(policy).ack_wait(ack_wait);
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
        assert!(messages.next_timeout(ack_wait * 4).is_none(), "{policy:?}");
        held.into_iter().for_each(|message| message.ack());
        eventually("everything is acknowledged", || {
            let info = js.consumer_info("S", "C").wait().unwrap();
            (info.num_ack_pending == 0 && info.num_redelivered == 0).then_some(())
        });
    }
}

#[test]
fn consuming_goes_on_after_the_server_was_killed() {
    let (mut server, js) = with_stream();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    let mut last = 0;
    for round in 1..=3 {
        let tickets: Vec<_> = (0..1000).map(|_| js.publish("s.n", "x").unwrap()).collect();
        tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
        while last < round * 1000 {
            let message = messages.next_timeout(DEADLINE).expect("consuming goes on");
            // What was acknowledged right before the kill may come again.
            last = last.max(message.delivery().stream_sequence);
            message.ack();
        }
        server.kill();
        server.restart().unwrap();
        eventually("the connection is back", || {
            (js.client().stats().reconnects >= round).then_some(())
        });
    }
}

#[test]
fn a_stopped_consumption_gives_back_what_still_arrives() {
    let (_server, js) = with_stream();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let mut first = js.consume(&consumer).queued().unwrap();
    publish_numbers(&js, 1);
    first.next_timeout(DEADLINE).unwrap().ack();
    first.stop();
    // The pull of the first is still open in the server, and takes what comes; it must come to the second all the same.
    let mut second = js.consume(&consumer).queued().unwrap();
    for _ in 0..100 {
        js.publish("s.n", "x").unwrap().wait().unwrap();
    }
    for _ in 0..100 {
        second.next_timeout(DEADLINE).expect("given back at once").ack();
    }
    assert!(first.try_next().is_none());
}

#[test]
fn a_cluster_stores_and_delivers_while_the_leader_changes() {
    let mut cluster = Cluster::start(3).unwrap();
    let js = jetstream(&cluster.nodes()[0]);
    let config = StreamConfig::new("S").subject("s.>").replicas(3);
    js.create_stream(&config).wait().unwrap();
    // What a killed leader had under way comes again after the ack wait.
    let config = ConsumerConfig::durable("C").ack_wait(Duration::from_secs(2));
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    let mut stored = Vec::new();
    for killed in [None, Some(1), Some(2)] {
        if let Some(node) = killed {
            cluster.node_mut(node).kill();
        }
        let mut confirmed = 0;
        // Without a leader a publish is rejected or not answered: it is published again, until a hundred are stored.
        eventually("a hundred are stored", || {
            let tickets: Vec<_> =
                (confirmed..100).map(|_| js.publish("s.n", "x").unwrap()).collect();
            for ticket in tickets {
                if let Ok(ack) = ticket.wait() {
                    stored.push(ack.sequence);
                    confirmed += 1;
                }
            }
            (confirmed == 100).then_some(())
        });
        if let Some(node) = killed {
            cluster.node_mut(node).restart().unwrap();
            cluster.wait_for_leader().unwrap();
        }
    }
    assert!(stored.is_sorted(), "one publisher's messages are stored in order");
    let mut missing: HashSet<_> = stored.into_iter().collect();
    while !missing.is_empty() {
        let message = messages.next_timeout(DEADLINE).expect("all that is stored is delivered");
        missing.remove(&message.delivery().stream_sequence);
        message.ack();
    }
}

/// Between a client and its server. While it is deaf, what the server sends is lost; [`Proxy::cut`] then ends the
/// connection.
struct Proxy {
    port: u16,
    deaf: Arc<AtomicBool>,
    swallowed: Arc<AtomicUsize>,
    connections: mpsc::Receiver<TcpStream>,
}

impl Proxy {
    fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (deaf, swallowed) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (accepted, connections) = mpsc::channel();
        let (upstream, is_deaf, counts) =
            (server.port(), Arc::clone(&deaf), Arc::clone(&swallowed));
        // These threads end with the process, or with the sockets.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) =
                    (client.unwrap(), TcpStream::connect(("127.0.0.1", upstream)).unwrap());
                if accepted.send(client.try_clone().unwrap()).is_err() {
                    return;
                }
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (deaf, counts) = (Arc::clone(&is_deaf), Arc::clone(&counts));
                thread::spawn(move || pump(from, to, |_| true));
                thread::spawn(move || {
                    pump(server, client, |bytes| {
                        let heard = !deaf.load(SeqCst);
                        if !heard {
                            let news = bytes.split(|&b| b == b'\n');
                            let messages =
                                news.filter(|line| line.starts_with(b"MSG s.n ")).count();
                            counts.fetch_add(messages, SeqCst);
                        }
                        heard
                    });
                });
            }
        });
        Self { port, deaf, swallowed, connections }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends all connections there are.
    fn cut(&self) {
        for connection in self.connections.try_iter() {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Copies what pleases `passes` until an end is closed.
fn pump(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 65536];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) if !passes(&bytes[..count]) => {}
            Ok(count) if to.write_all(&bytes[..count]).is_err() => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// A consumer `C` that gives up on a message after a second.
fn impatient_consumer(js: &JetStream, policy: AckPolicy) -> ConsumerInfo {
    let config = ConsumerConfig::durable("C").ack(policy).ack_wait(Duration::from_secs(1));
    js.create_or_update_consumer("S", &config).wait().unwrap()
}

fn publish_more(js: &JetStream, count: usize) {
    for _ in 0..count {
        js.publish("s.n", "x").unwrap().wait().unwrap();
    }
}

/// Acknowledges messages up to `last`, none of which may be skipped, coming from `from`.
fn handle_in_order(messages: &mut Messages, from: u64, last: u64, case: &str) {
    let mut handled = from;
    while handled < last {
        let message =
            messages.next_timeout(DEADLINE).unwrap_or_else(|| panic!("{case}: {handled}"));
        let sequence = message.delivery().stream_sequence;
        assert!(sequence <= handled + 1, "{case}: {sequence} after {handled}");
        handled = handled.max(sequence);
        message.ack();
    }
}

fn all_acknowledged(js: &JetStream, last: u64) {
    eventually("all is acknowledged", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.num_ack_pending == 0 && info.ack_floor.stream_seq == last).then_some(())
    });
}

#[test]
fn what_a_lost_connection_swallowed_is_handled_before_what_is_newer() {
    for policy in [AckPolicy::All, AckPolicy::Explicit] {
        let case = format!("{policy:?}");
        let (server, js) = with_stream();
        let proxy = Proxy::start(&server);
        let consumer = impatient_consumer(&js, policy);
        let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
        let mut messages = through.consume(&consumer).in_order().queued().unwrap();
        publish_more(&js, 5);
        handle_in_order(&mut messages, 0, 5, &case);
        proxy.deaf.store(true, SeqCst);
        publish_more(&js, 5);
        eventually("five are swallowed", || (proxy.swallowed.load(SeqCst) >= 5).then_some(()));
        proxy.deaf.store(false, SeqCst);
        proxy.cut();
        eventually("the connection is back", || {
            (through.client().stats().reconnects == 1).then_some(())
        });
        publish_more(&js, 20);
        handle_in_order(&mut messages, 5, 30, &case);
        all_acknowledged(&js, 30);
        // And it goes on as if nothing had been.
        publish_more(&js, 200);
        handle_in_order(&mut messages, 30, 230, &case);
        all_acknowledged(&js, 230);
    }
}

#[test]
fn a_watermark_stops_at_a_gap_on_a_live_connection() {
    let (server, js) = with_stream();
    let proxy = Proxy::start(&server);
    let consumer = impatient_consumer(&js, AckPolicy::All);
    let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
    let mut messages = through.consume(&consumer).queued().unwrap();
    publish_more(&js, 5);
    handle_in_order(&mut messages, 0, 5, "before");
    proxy.deaf.store(true, SeqCst);
    publish_more(&js, 5);
    eventually("five are swallowed", || (proxy.swallowed.load(SeqCst) >= 5).then_some(()));
    proxy.deaf.store(false, SeqCst);
    publish_more(&js, 10);
    handle_in_order(&mut messages, 5, 20, "after");
    all_acknowledged(&js, 20);
    assert_eq!(through.client().stats().reconnects, 0);
}

/// Messages are published all the time while connections are cut, with messages swallowed before it.
#[test]
fn nothing_is_skipped_under_load_while_connections_are_cut() {
    for policy in [AckPolicy::All, AckPolicy::Explicit] {
        let case = format!("{policy:?}");
        let (server, js) = with_stream();
        let proxy = Proxy::start(&server);
        let consumer = impatient_consumer(&js, policy);
        let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
        let mut messages = through.consume(&consumer).in_order().queued().unwrap();
        let (publisher, stop) = (js.clone(), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&stop);
        let publishing = thread::spawn(move || {
            let mut last = 0;
            while !stopped.load(SeqCst) {
                last = publisher.publish("s.n", "x").unwrap().wait().unwrap().sequence;
                // Slow enough that they can be handled meanwhile.
                thread::park_timeout(Duration::from_micros(200));
            }
            last
        });
        let mut handled = 0;
        for round in 1..=3 {
            let until = handled + 300;
            handle_in_order(&mut messages, handled, until, &case);
            handled = until;
            let before = proxy.swallowed.load(SeqCst);
            proxy.deaf.store(true, SeqCst);
            eventually("some are swallowed", || {
                // What is here must be handled, or nothing more is asked for.
                while let Some(message) = messages.try_next() {
                    let sequence = message.delivery().stream_sequence;
                    assert!(sequence <= handled + 1, "{case}: {sequence} after {handled}");
                    handled = handled.max(sequence);
                    message.ack();
                }
                (proxy.swallowed.load(SeqCst) > before).then_some(())
            });
            proxy.cut();
            proxy.deaf.store(false, SeqCst);
            eventually("the connection is back", || {
                (through.client().stats().reconnects >= round).then_some(())
            });
        }
        stop.store(true, SeqCst);
        let last = publishing.join().unwrap();
        handle_in_order(&mut messages, handled, last, &case);
        all_acknowledged(&js, last);
    }
}

#[test]
fn a_successor_handles_first_what_its_predecessor_died_of() {
    for policy in [AckPolicy::All, AckPolicy::Explicit] {
        let (server, js) = with_stream();
        let consumer = impatient_consumer(&js, policy);
        publish_more(&js, 10);
        let predecessor = jetstream(&server);
        let mut messages = predecessor.consume(&consumer).in_order().queued().unwrap();
        let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
        predecessor.client().close(DEADLINE).unwrap();
        let mut messages = js.consume(&consumer).in_order().queued().unwrap();
        publish_more(&js, 10);
        handle_in_order(&mut messages, 0, 20, &format!("{policy:?}"));
        all_acknowledged(&js, 20);
        drop(held);
    }
}

#[test]
fn what_a_predecessor_gave_back_is_not_waited_for() {
    let (_server, js) = with_stream();
    // The ack wait is 30 s, as long as this test waits for anything.
    let config = ConsumerConfig::durable("C").ack(AckPolicy::All);
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    publish_more(&js, 10);
    let mut messages = js.consume(&consumer).queued().unwrap();
    let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
    messages.stop();
    js.client().flush().wait().unwrap();
    held.into_iter().for_each(|message| message.nak(Duration::ZERO));
    drop(messages);
    publish_more(&js, 10);
    let mut messages = js.consume(&consumer).queued().unwrap();
    let started = Instant::now();
    handle_in_order(&mut messages, 0, 20, "given back");
    all_acknowledged(&js, 20);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_deleted_consumer_ends_the_messages() {
    let (_server, js) = with_stream();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    publish_more(&js, 3);
    let first = messages.next_timeout(DEADLINE).unwrap();
    assert_eq!((first.delivery().stream_sequence, messages.end_reason()), (1, None));
    eventually("all are delivered", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.delivered.stream_seq == 3).then_some(())
    });
    js.delete_consumer("S", "C").wait().unwrap();
    assert_eq!(count_to_end(messages), (2, EndReason::Gone { reason: "Consumer Deleted".into() }));
}

/// Reads on until the iterator ends, on a thread, as it might never.
fn count_to_end(mut messages: Messages) -> (usize, EndReason) {
    let (done, counted) = mpsc::channel();
    thread::spawn(move || {
        let count = messages.by_ref().map(JsMessage::ack).count();
        done.send((count, messages.end_reason().unwrap())).unwrap();
    });
    counted.recv_timeout(DEADLINE).expect("the iterator ends")
}

#[test]
fn a_stopped_or_closed_iterator_ends_once_it_is_read() {
    let (_server, js) = with_stream();
    for end in
        [EndReason::Stopped, EndReason::Closed(jetlane_client::CloseReason::ConnectionClosed)]
    {
        let js = jetstream(&_server);
        let name = if end == EndReason::Stopped { "stopped" } else { "closed" };
        let consumer = js.create_consumer("S", &ConsumerConfig::durable(name)).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        publish_more(&js, 3);
        let last = js.stream_info("S").wait().unwrap().state.last_seq;
        while messages.next_timeout(DEADLINE).unwrap().delivery().stream_sequence < last {}
        match end {
            EndReason::Stopped => messages.stop(),
            _ => js.client().close(DEADLINE).unwrap(),
        }
        assert_eq!(count_to_end(messages), (0, end));
    }
    drop(js);
}

#[test]
fn a_message_is_acknowledged_after_its_messages_were_dropped() {
    let (_server, js) = with_stream();
    let consumer = impatient_consumer(&js, AckPolicy::Explicit);
    publish_more(&js, 3);
    let mut messages = js.consume(&consumer).queued().unwrap();
    let first = messages.next_timeout(DEADLINE).unwrap();
    eventually("all are delivered", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.delivered.stream_seq == 3).then_some(())
    });
    drop(messages);
    eventually("nothing is pulled any more", || {
        (js.consumer_info("S", "C").wait().unwrap().num_waiting == 0).then_some(())
    });
    // What was not read comes again after the ack wait, though the first is still held.
    let mut others = js.consume(&consumer).queued().unwrap();
    for _ in 0..2 {
        let other = others.next_timeout(DEADLINE).unwrap();
        assert!(other.delivery().stream_sequence > 1);
        other.ack();
    }
    first.ack();
    all_acknowledged(&js, 3);
    assert_eq!(js.consumer_info("S", "C").wait().unwrap().num_redelivered, 0);
}

#[test]
fn a_stopped_consumption_takes_nothing_on_a_new_connection() {
    let (server, js) = with_stream();
    let proxy = Proxy::start(&server);
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
    let mut first = through.consume(&consumer).queued().unwrap();
    publish_more(&js, 1);
    first.next_timeout(DEADLINE).unwrap().ack();
    all_acknowledged(&js, 1);
    first.stop();
    through.client().flush().wait().unwrap();
    proxy.cut();
    eventually("the connection is back", || {
        (through.client().stats().reconnects == 1).then_some(())
    });
    through.client().flush().wait().unwrap();
    // The pull of the first is still open in the server; somebody must listen for it to be served.
    let mut second = js.consume(&consumer).queued().unwrap();
    publish_more(&js, 100);
    for _ in 0..100 {
        second.next_timeout(DEADLINE).expect("the first takes none").ack();
    }
    assert!(first.try_next().is_none());
}

#[test]
fn no_pull_asks_for_more_bytes_than_the_consumer_allows() {
    let (_server, js) = with_stream();
    let mut config = ConsumerConfig::durable("C");
    config.other.insert("max_bytes".into(), 1000.into());
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    publish_more(&js, 100);
    js.publish("s.n", vec![b'x'; 5000]).unwrap().wait().unwrap();
    handle_in_order(&mut messages, 0, 101, "small and large");
}

/// Settles each message a moment after it came, and keeps account of the bytes that are here.
struct Weigher {
    weights: mpsc::Sender<(Held, usize)>,
    held_bytes: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Taker for Weigher {
    fn take(&mut self, held: Held) {
        let bytes = held.message.wire_len();
        let now = self.held_bytes.fetch_add(bytes, SeqCst) + bytes;
        self.most.fetch_max(now, SeqCst);
        // The test may be over.
        let _ = self.weights.send((held, bytes));
    }
}

#[test]
fn no_more_bytes_are_held_than_the_bound_and_one_message() {
    const COUNT: usize = 300;
    let server = Server::start().unwrap();
    let limits = Limits { consumer_bytes: 1 << 20, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let js = JetStream::new(client).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s.>")).wait().unwrap();
    let tickets: Vec<_> =
        (0..COUNT).map(|_| js.publish("s.n", vec![b'x'; 100_000]).unwrap()).collect();
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
    // One that fits into no pull.
    js.publish("s.n", vec![b'x'; (1 << 20) - 100]).unwrap().wait().unwrap();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let (weights, taken) = mpsc::channel();
    let (held_bytes, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let weigher = Weigher { weights, held_bytes: Arc::clone(&held_bytes), most: Arc::clone(&most) };
    let consumption = js.consume(&consumer).taker(weigher).unwrap();
    let settler = consumption.settler();
    let mut waiting = Vec::new();
    for n in 1..=COUNT + 1 {
        waiting.push(taken.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{n} comes")));
        // Some stay a while, so that the bound is met; none for ever.
        if waiting.len() >= 6 || n >= COUNT - 6 {
            for (held, bytes) in waiting.drain(..) {
                held_bytes.fetch_sub(bytes, SeqCst);
                settler.settle(held.receipt, Settle::Ack);
            }
        }
    }
    all_acknowledged(&js, COUNT as u64 + 1);
    let most = most.load(SeqCst);
    assert!(most <= (1 << 20) + 100_200, "{most}");
    println!("at most {most} bytes were held");
}
