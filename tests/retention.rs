//! What a stream keeps, and for how long.

use std::time::Duration;

use jetlane_jetstream::{
    AckPolicy, ConsumerConfig, Discard, JetStream, NotStored, PublishHeaders, Retention,
    StreamConfig,
};
use jetlane_tests::place::Place;
use jetlane_tests::stream::with_stream_at;
use jetlane_tests::{DEADLINE, eventually};

/// The sequences that are in the stream `S`.
fn there(js: &JetStream) -> Vec<u64> {
    let last = js.stream_info("S").wait().unwrap().state.last_seq;
    let is_there =
        |n: &u64| js.get_message("S", jetlane_jetstream::Get::Sequence(*n)).wait().is_ok();
    (1..=last).filter(is_there).collect()
}

/// The error number of a publish that is refused; 0 if it is stored.
fn publish(js: &JetStream, subject: &str, payload: &str) -> u32 {
    match js.publish(subject, payload).unwrap().wait() {
        Ok(_) => 0,
        Err(NotStored::Rejected(why)) => why.error_code,
        Err(other) => panic!("{other}"),
    }
}

pub(crate) fn limits_keep_the_new_or_the_old(place: Place) {
    let config = || StreamConfig::new("S").subject("s.>");
    let new = || config().discard(Discard::New);
    for (config, expected, kept) in [
        (config().max_msgs(2), [0, 0, 0, 0], &[3, 4][..]),
        (new().max_msgs(2), [0, 0, 10077, 10077], &[1, 2]),
        (config().max_bytes(120), [0, 0, 0, 0], &[2, 3, 4]),
        (new().max_bytes(120), [0, 0, 0, 10077], &[1, 2, 3]),
        (config().max_msgs_per_subject(1), [0, 0, 0, 0], &[3, 4]),
        (new().max_msgs_per_subject(1).discard_new_per_subject(), [0, 0, 10077, 10077], &[1, 2]),
        (config().max_msg_size(5), [0, 0, 10054, 0], &[1, 2, 3]),
    ] {
        let (_server, js) = with_stream_at(place);
        js.delete_stream("S").wait().unwrap();
        js.create_stream(&config).wait().unwrap();
        let large = "0123456789";
        let published = [("s.a", "1"), ("s.b", "2"), ("s.a", large), ("s.b", "4")]
            .map(|(subject, payload)| publish(&js, subject, payload));
        assert_eq!(published, expected, "{config:?}");
        assert_eq!(there(&js), kept, "{config:?}");
    }
}

pub(crate) fn what_is_too_old_goes(place: Place) {
    let (_server, js) = with_stream_at(place);
    let config = js.stream_info("S").wait().unwrap().config;
    publish(&js, "s.a", "1");
    let gone = |what: &str| eventually(what, || there(&js).is_empty().then_some(()));
    let mut aged = config.max_age(Duration::from_millis(300)).allow_msg_ttl();
    aged.duplicate_window = Duration::from_millis(300);
    js.update_stream(&aged).wait().unwrap();
    gone("the old one goes");
    publish(&js, "s.a", "2");
    assert_eq!(there(&js), [2]);
    gone("and the new one when its time has come");
    js.update_stream(&aged.max_age(Duration::ZERO)).wait().unwrap();
    let short = PublishHeaders::new().ttl(Duration::from_secs(1));
    js.publish_with("s.a", &short, "3").unwrap().wait().unwrap();
    assert_eq!(there(&js), [3]);
    gone("what says itself how long it lives");
    let state = js.stream_info("S").wait().unwrap().state;
    assert_eq!((state.messages, state.last_seq, state.first_ts), (0, 3, None));
}

pub(crate) fn what_is_acknowledged_leaves_a_queue(place: Place) {
    for retention in [Retention::WorkQueue, Retention::Interest] {
        let (_server, js) = with_stream_at(place);
        js.delete_stream("S").wait().unwrap();
        let config = StreamConfig::new("S").subject("s.>").retention(retention);
        js.create_stream(&config).wait().unwrap();
        publish(&js, "s.a", "nobody is there yet");
        let nobody: &[u64] = if retention == Retention::Interest { &[] } else { &[1] };
        assert_eq!(there(&js), nobody, "{retention:?}");

        let make = |name, filter| {
            let config = ConsumerConfig::durable(name).filter(filter).ack(AckPolicy::Explicit);
            js.create_consumer("S", &config).wait()
        };
        let first = make("first", "s.a").unwrap();
        let second = make("second", "s.*");
        assert_eq!(second.is_ok(), retention == Retention::Interest, "{second:?}");
        publish(&js, "s.a", "2");
        publish(&js, "s.a", "3");
        let mut messages = js.consume(&first).queued().unwrap();
        let mut next = || messages.next_timeout(DEADLINE).unwrap();
        if retention == Retention::WorkQueue {
            next().ack();
        }
        next().ack();
        if let Ok(second) = second {
            let mut messages = js.consume(&second).queued().unwrap();
            let other = messages.next_timeout(DEADLINE).unwrap();
            assert_eq!(other.delivery().stream_sequence, 2);
            assert!(there(&js).contains(&2), "one of two has acknowledged it");
            other.ack();
        }
        eventually("only the last is there", || (there(&js) == [3]).then_some(()));
    }
}
