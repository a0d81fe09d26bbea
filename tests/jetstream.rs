//! JetStream: management and acknowledged publishing.

use std::collections::HashMap;
use std::time::Duration;

use jetlane_client::{Client, ConnectOptions, Headers, Limits};
use jetlane_jetstream::{
    AckPolicy, ApiError, ConsumerConfig, Discard, JetStream, JetStreamOptions, NotStored,
    PublishError, Stored, StreamConfig, Ticket, Unknown,
};
use jetlane_testkit::Server;
use jetlane_tests::place::Place;
use jetlane_tests::stream::{jetstream, publish_numbers, with_stream, with_stream_at};
use jetlane_tests::{DEADLINE, eventually};

pub(crate) fn streams_and_consumers_are_managed(place: Place) {
    let (_server, js) = with_stream_at(place);
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
    assert_eq!(refused, ApiError::StreamExists { stream: "S".into() });

    let plain = Server::builder().without_jetstream().start().unwrap();
    let off = jetstream(&plain).stream_info("S").wait().unwrap_err();
    assert_eq!(off, ApiError::NotAvailable);
}

pub(crate) fn publishes_are_stored_in_order_and_duplicates_are_told(place: Place) {
    let (_server, js) = with_stream_at(place);
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

pub(crate) fn what_is_not_stored_says_why(place: Place) {
    let (_server, js) = with_stream_at(place);
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
            // While the server is down and the write queue full, a publish may be refused: then it was never queued.
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
    let (mut stored, mut unknown, mut cut_off, mut last) = (0, 0, 0, 0);
    for (n, outcome) in &outcomes {
        match outcome {
            Ok(Ok(ack)) => {
                stored += 1;
                assert_eq!(in_stream.get(&ack.sequence), Some(&n.to_string()), "{n} is stored");
                assert!(ack.sequence > last, "{n} is stored behind its predecessor");
                last = ack.sequence;
            }
            Ok(Err(NotStored::Unknown(why))) => {
                unknown += 1;
                cut_off += usize::from(*why == Unknown::Disconnected);
            }
            Ok(Err(NotStored::Rejected(why))) => assert_eq!(why.code, 503, "{why}"),
            Err(_) => {}
        }
    }
    println!("{} published, {stored} stored, {unknown} unknown", outcomes.len());
    assert!(stored > 10_000, "{stored}");
    assert!(cut_off > 0, "the kills met publishes under way, and those learn of the loss at once");
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
