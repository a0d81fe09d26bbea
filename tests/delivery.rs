//! What a consumer delivers, when, and what it says to those who wait.

use std::time::{Duration, Instant, SystemTime};

use jetlane_client::{Client, Message};
use jetlane_jetstream::{
    AckPolicy, ApiError, ConsumerConfig, ConsumerInfo, DeliverPolicy, Get, JetStream, JsMessage,
};
use jetlane_tests::place::Place;
use jetlane_tests::stream::with_stream_at;
use jetlane_tests::{DEADLINE, eventually};

/// Longer than any answer takes that comes at once, shorter than everything that is waited for on purpose.
const MOMENT: Duration = Duration::from_millis(200);

fn consumer(js: &JetStream, config: &ConsumerConfig) -> ConsumerInfo {
    js.create_consumer("S", config).wait().unwrap()
}

fn sequence(message: &JsMessage) -> u64 {
    message.delivery().stream_sequence
}

fn publish_same(js: &JetStream, count: usize) {
    for _ in 0..count {
        js.publish("s.n", "m").unwrap().wait().unwrap();
    }
}

/// Asks for messages by hand.
fn pull(js: &JetStream, body: &str) -> jetlane_client::Subscription {
    let inbox = js.client().new_inbox();
    let answers = js.client().subscribe(&inbox).unwrap();
    js.client().publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.S.C", &inbox, body).unwrap();
    answers
}

/// A status with its counts, or the payload of a message.
fn said(message: &Message) -> String {
    let headers = message.headers();
    let Some(status) = headers.and_then(|headers| headers.status()) else {
        return String::from_utf8_lossy(message.payload()).into_owned();
    };
    let text = String::from_utf8_lossy(status.description);
    let left = headers.and_then(|headers| headers.get("Nats-Pending-Messages"));
    let left = left.map(|left| format!(" {}", String::from_utf8_lossy(left))).unwrap_or_default();
    format!("{} {text}{left}", status.code)
}

pub(crate) fn a_consumer_begins_where_it_is_told(place: Place) {
    let (_server, js) = with_stream_at(place);
    for subject in ["s.a", "s.b", "s.a", "s.b", "s.c"] {
        js.publish(subject, "").unwrap().wait().unwrap();
    }
    let third = js.get_message("S", Get::Sequence(3)).wait().unwrap().time;
    let config = |name: &str| ConsumerConfig::durable(name);
    let last = DeliverPolicy::LastPerSubject;
    let table = [
        (config("all"), &[1, 2, 3, 4, 5, 6][..]),
        (config("filtered").filter("s.a").filter("s.c"), &[1, 3, 5, 6]),
        (config("new").deliver(DeliverPolicy::New), &[6]),
        (config("last").deliver(DeliverPolicy::Last), &[5, 6]),
        (config("last_b").deliver(DeliverPolicy::Last).filter("s.b"), &[4]),
        (config("each").deliver(last).filter("s.>"), &[3, 4, 5, 6]),
        (config("sequence").deliver_from_sequence(4), &[4, 5, 6]),
        (config("time").deliver_from_time(third), &[3, 4, 5, 6]),
        (config("future").deliver_from_time(SystemTime::now() + DEADLINE), &[6]),
    ]
    .map(|(config, expected)| (consumer(&js, &config), expected));
    js.publish("s.c", "").unwrap().wait().unwrap();
    for (consumer, expected) in table {
        let mut messages = js.consume(&consumer).queued().unwrap();
        let mut next = || messages.next_timeout(DEADLINE).map(|message| sequence(&message));
        let received: Vec<_> = expected.iter().map_while(|_| next()).collect();
        assert_eq!(received, expected, "{}", consumer.name);
        assert!(messages.try_next().is_none(), "{}", consumer.name);
    }
}

pub(crate) fn what_a_dead_client_held_comes_again_in_order_before_what_is_new(place: Place) {
    for policy in [AckPolicy::Explicit, AckPolicy::All] {
        let (server, js) = with_stream_at(place);
        let ack_wait = Duration::from_secs(1);
        let config = ConsumerConfig::durable("C").ack(policy).ack_wait(ack_wait);
        let consumer = consumer(&js, &config);
        let dying = JetStream::new(Client::connect(&server.url()).unwrap()).unwrap();
        let mut held = dying.consume(&consumer).queued().unwrap();
        for n in 1..=10 {
            js.publish("s.n", n.to_string()).unwrap().wait().unwrap();
        }
        let held: Vec<_> = (0..10).map(|_| held.next_timeout(DEADLINE).unwrap()).collect();
        let died = Instant::now();
        dying.client().close(DEADLINE).unwrap();
        js.publish("s.n", "11").unwrap().wait().unwrap();
        let mut waiting = pull(&js, "1");
        assert_eq!(said(&waiting.next_timeout(DEADLINE).unwrap()), "11", "nothing is late yet");
        let mut messages = js.consume(&consumer).queued().unwrap();
        for n in 1..=10 {
            let message = messages.next_timeout(DEADLINE).unwrap();
            let delivery = message.delivery();
            assert_eq!((delivery.stream_sequence, delivery.delivered), (n, 2), "{policy:?}");
            message.ack();
        }
        assert!(died.elapsed() > ack_wait / 2, "{:?}", died.elapsed());
        drop(held);
    }
}

pub(crate) fn no_more_is_delivered_than_may_wait_for_an_ack(place: Place) {
    let (_server, js) = with_stream_at(place);
    consumer(&js, &ConsumerConfig::durable("C").max_ack_pending(2));
    for n in 1..=4 {
        js.publish("s.n", n.to_string()).unwrap().wait().unwrap();
    }
    let mut answers = pull(&js, r#"{"batch":10,"expires":20000000000}"#);
    let mut next = || answers.next_timeout(MOMENT);
    let (first, second) = (next().unwrap(), next().unwrap());
    assert_eq!((said(&first), said(&second)), ("1".into(), "2".into()));
    assert!(next().is_none(), "two are not acknowledged");
    let ack = |message: &Message, body: &str| {
        let subject = std::str::from_utf8(message.reply().unwrap()).unwrap();
        js.client().publish(subject, body).unwrap();
    };
    ack(&second, "+ACK");
    let third = answers.next_timeout(DEADLINE).unwrap();
    assert_eq!(said(&third), "3");
    ack(&first, "-NAK");
    assert_eq!(said(&answers.next_timeout(DEADLINE).unwrap()), "1", "again before what is new");
    ack(&third, "+TERM");
    assert_eq!(said(&answers.next_timeout(DEADLINE).unwrap()), "4");
}

pub(crate) fn a_paused_consumer_delivers_nothing(place: Place) {
    let (_server, js) = with_stream_at(place);
    let consumer = consumer(&js, &ConsumerConfig::durable("C"));
    let mut messages = js.consume(&consumer).queued().unwrap();
    let pause = |time: Duration| js.pause_consumer("S", "C", SystemTime::now() + time).wait();
    pause(DEADLINE * 2).unwrap();
    js.publish("s.n", "1").unwrap().wait().unwrap();
    assert!(messages.next_timeout(MOMENT).is_none());
    js.resume_consumer("S", "C").wait().unwrap();
    messages.next_timeout(DEADLINE).expect("resumed").ack();
    pause(MOMENT * 2).unwrap();
    js.publish("s.n", "2").unwrap().wait().unwrap();
    assert!(messages.next_timeout(MOMENT).is_none());
    assert_eq!(sequence(&messages.next_timeout(DEADLINE).expect("its time was over")), 2);
}

pub(crate) fn those_who_pull_are_told_how_it_ended(place: Place) {
    let (_server, js) = with_stream_at(place);
    let mut config = ConsumerConfig::durable("C").ack(AckPolicy::None).max_waiting(3);
    for (limit, value) in [("max_batch", 9), ("max_expires", 60_000_000_000u64), ("max_bytes", 999)]
    {
        config.other.insert(limit.into(), value.into());
    }
    consumer(&js, &config);
    for (stored, body, expected) in [
        (0, r#"{"no_wait":true}"#, &["404 No Messages"][..]),
        (0, r#"{"batch":5,"expires":100000000}"#, &["408 Request Timeout 5"]),
        (1, r#"{"batch":5,"expires":100000000}"#, &["m", "408 Request Timeout 4"]),
        (2, "2", &["m", "m"]),
        (1, "", &["m"]),
        (2, r#"{"batch":9,"no_wait":true}"#, &["m", "m", "404 No Messages"]),
        (2, r#"{"batch":9,"no_wait":true,"expires":1000000000}"#, &["m", "m", "404 No Messages"]),
        (1, r#"{"batch":1,"max_bytes":500}"#, &["m", "409 Batch Completed 0"]),
        (1, r#"{"batch":2,"max_bytes":5}"#, &["409 Message Size Exceeds MaxBytes 2"]),
        (0, r#"{"batch":1}"#, &["m"]),
        (0, r#"{"batch":10}"#, &["409 Exceeded MaxRequestBatch of 9"]),
        (0, r#"{"expires":61000000000}"#, &["409 Exceeded MaxRequestExpires of 1m0s"]),
        (0, r#"{"max_bytes":1000}"#, &["409 Exceeded MaxRequestMaxBytes of 999"]),
        (0, r#"{"idle_heartbeat":1}"#, &["400 Bad Request - heartbeat value too large"]),
        (
            0,
            r#"{"batch":5,"expires":500000000,"idle_heartbeat":200000000}"#,
            &["100 Idle Heartbeat", "100 Idle Heartbeat", "408 Request Timeout 5"],
        ),
    ] {
        publish_same(&js, stored);
        let mut answers = pull(&js, body);
        let received: Vec<_> = expected
            .iter()
            .map_while(|_| answers.next_timeout(DEADLINE))
            .map(|m| said(&m))
            .collect();
        assert_eq!(received, expected, "{body}");
        js.client().flush().wait().unwrap();
        assert!(answers.try_next().is_none(), "{body}");
    }
}

pub(crate) fn too_many_who_wait_are_refused_and_all_learn_of_the_end(place: Place) {
    let (_server, js) = with_stream_at(place);
    consumer(&js, &ConsumerConfig::durable("C").max_waiting(2));
    let mut waiting = [pull(&js, "1"), pull(&js, "1")];
    let refused = pull(&js, "1").next_timeout(DEADLINE).unwrap();
    assert_eq!(said(&refused), "409 Exceeded MaxWaiting");
    js.delete_consumer("S", "C").wait().unwrap();
    for waiting in &mut waiting {
        assert_eq!(said(&waiting.next_timeout(DEADLINE).unwrap()), "409 Consumer Deleted");
    }
    assert_eq!(said(&pull(&js, "1").next_timeout(DEADLINE).unwrap()), "503 ");
}

pub(crate) fn a_consumer_that_nobody_asks_is_deleted(place: Place) {
    let (_server, js) = with_stream_at(place);
    let threshold = Duration::from_millis(300);
    let quiet = consumer(&js, &ConsumerConfig::durable("Q").inactive_threshold(threshold));
    consumer(&js, &ConsumerConfig::durable("C").inactive_threshold(threshold));
    let consumption = js.consume(&quiet).queued().unwrap();
    eventually("the one is gone", || {
        let info = js.consumer_info("S", "C").wait();
        matches!(info, Err(ApiError::ConsumerNotFound { .. })).then_some(())
    });
    js.consumer_info("S", "Q").wait().expect("somebody waits at the other");
    drop(consumption);
    eventually("the other is gone, too", || {
        js.consumer_info("S", "Q").wait().is_err().then_some(())
    });
}
