//! Batches that are stored all or not at all.

use std::thread;

use jetlane::{
    BatchNotStored, Envelope, EventBus, PublishError, Step, Strategy, TopicError, Unknown,
};
use jetlane_jetstream::{
    AtomicBatch, AtomicError, BatchGet, Get, JetStream, PublishHeaders, StreamConfig,
};
use jetlane_testkit::{Direction, End, Proxy, Server};
use jetlane_tests::stream::jetstream;
use jetlane_tests::{eventually, rounds};

/// A server, and JetStream on it with a stream `S` of the subjects `s.>` that allows batches.
fn with_atomic() -> (Server, JetStream) {
    let server = Server::start().unwrap();
    let js = jetstream(&server);
    let config = StreamConfig::new("S").subject("s.>").allow_atomic().allow_direct();
    let config = config.max_msg_size(1000);
    js.create_stream(&config).wait().unwrap();
    (server, js)
}

fn batch(subject: &str, payloads: impl IntoIterator<Item = String>) -> AtomicBatch {
    let mut batch = AtomicBatch::new();
    payloads.into_iter().for_each(|payload| batch.add(subject, payload).unwrap());
    batch
}

fn numbers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| n.to_string())
}

fn stored(js: &JetStream) -> u64 {
    js.stream_info("S").wait().unwrap().state.messages
}

#[test]
fn a_batch_is_stored_whole_and_side_by_side_among_ordinary_publishes() {
    let (_server, js) = with_atomic();
    thread::scope(|scope| {
        for who in 0..3 {
            let js = js.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    let single = js.publish("s.single", "x").unwrap();
                    let ticket = js.publish_atomic(&batch(&format!("s.{who}"), numbers(10)));
                    let stored = ticket.unwrap().wait().unwrap();
                    assert_eq!(stored.count, 10);
                    for (sequence, n) in stored.sequences().zip(0..) {
                        let message = js.get_message("S", Get::Sequence(sequence)).wait().unwrap();
                        assert_eq!(message.subject, format!("s.{who}"));
                        assert_eq!(message.payload, n.to_string());
                    }
                    single.wait().unwrap();
                }
            });
        }
    });
    assert_eq!(stored(&js), 3 * 20 * 11);
    assert_eq!(js.pending_acks(), 0);
    let largest = js.publish_atomic(&batch("s.largest", numbers(1000))).unwrap().wait().unwrap();
    assert_eq!((largest.count, largest.last_sequence), (1000, 3 * 20 * 11 + 1000));
    let smallest = js.publish_atomic(&batch("s.smallest", numbers(1))).unwrap().wait().unwrap();
    assert_eq!((smallest.count, smallest.last_sequence), (1, 3 * 20 * 11 + 1001));
}

#[test]
fn one_bad_message_keeps_all_of_its_batch_out_and_says_why() {
    let (_server, js) = with_atomic();
    js.create_stream(&StreamConfig::new("OTHER").subject("o").allow_atomic()).wait().unwrap();
    js.create_stream(&StreamConfig::new("PLAIN").subject("p")).wait().unwrap();
    let first = PublishHeaders::new().msg_id("taken").unwrap();
    js.publish_with("s.x", &first, "").unwrap().wait().unwrap();
    let wrong = PublishHeaders::new().expected_last_subject_sequence(77);
    let unsupported = PublishHeaders::new().expected_last_msg_id("taken").unwrap();
    let none = PublishHeaders::new();
    // What is wrong stands first, in the middle and at the end.
    for (subject, headers, size, expected) in [
        ("s.a", &none, 2000, 10054),
        ("s.b", &wrong, 1, 10071),
        ("s.c", &unsupported, 1, 10177),
        ("s.d", &first, 1, 10201),
        ("p", &none, 1, 10174),
        ("o", &none, 1, 10176),
        ("nobody", &none, 1, 0),
    ] {
        for place in [1, 5, 9] {
            let mut batch = AtomicBatch::new();
            for n in 0..10 {
                match n == place {
                    true => batch.add_with(subject, headers, "x".repeat(size)).unwrap(),
                    false => batch.add(format!("s.{n}").as_str(), "good").unwrap(),
                }
            }
            let error = js.publish_atomic(&batch).unwrap().wait().unwrap_err();
            let number = match &error {
                BatchNotStored::NotAllowed => 10174,
                BatchNotStored::Duplicate => 10201,
                BatchNotStored::Rejected(rejection) => rejection.error_code,
                other => panic!("{other}"),
            };
            assert_eq!(number, expected, "{subject} at {place}: {error}");
        }
    }
    assert_eq!(stored(&js), 1);
    // Answers that came late have changed nothing of what came later.
    for n in 2..100 {
        assert_eq!(js.publish("s.x", "").unwrap().wait().unwrap().sequence, n);
    }
}

#[test]
fn what_is_no_batch_is_refused_before_anything_is_sent() {
    let (_server, js) = with_atomic();
    let refused = |batch: &AtomicBatch| js.publish_atomic(batch).unwrap_err();
    assert_eq!(refused(&AtomicBatch::new()), AtomicError::Empty);
    let huge = batch("s.x", ["x".repeat(2 << 20)]);
    assert!(matches!(refused(&huge), AtomicError::Publish(_)));
    let long = batch("s.x", (0..20).map(|_| "x".repeat(1 << 19)));
    let AtomicError::TooLong { bytes, most } = refused(&long) else { panic!("it is too long") };
    assert!(bytes > most && most == 8 << 20, "{bytes} of {most}");
    assert_eq!((stored(&js), js.pending_acks()), (0, 0));
}

#[test]
fn a_server_may_take_fewer_messages_in_a_batch() {
    let limits = "jetstream { limits { batch { max_msgs: 5 } } }";
    let server = Server::builder().config(limits).start().unwrap();
    let js = jetstream(&server);
    js.create_stream(&StreamConfig::new("S").subject("s.>").allow_atomic()).wait().unwrap();
    let error = js.publish_atomic(&batch("s.x", numbers(6))).unwrap().wait().unwrap_err();
    assert!(matches!(error, BatchNotStored::TooLarge { .. }), "{error}");
    assert_eq!(js.publish_atomic(&batch("s.x", numbers(5))).unwrap().wait().unwrap().count, 5);
}

#[test]
fn a_stream_that_does_not_allow_it_says_so_and_is_changed_by_the_topic() {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    let events = || (0..3).map(|n| ("order.x", Envelope::new("a", "Tested", n.to_string())));
    let error = bus.publish_atomic(events()).unwrap().wait().unwrap_err();
    assert_eq!(error, BatchNotStored::NotAllowed);
    assert!(error.to_string().contains("Topic::atomic"), "{error}");

    let plan = bus.topic("order.>").atomic().plan().unwrap();
    assert_eq!(plan.step, Step::Update);
    assert_eq!(plan.changes[0].to_string(), "allow_atomic: false → true");
    let error = bus.topic("order.>").atomic().ensure(Strategy::ValidateOnly).unwrap_err();
    assert!(matches!(error, TopicError::Differs { .. }), "{error}");
    let ensured = bus.topic("order.>").atomic().ensure(Strategy::CreateOrUpdate).unwrap();
    assert!(ensured.info.unwrap().config.allow_atomic);
    assert_eq!(bus.topic("order.>").plan().unwrap().step, Step::Keep, "it stays as it is");

    assert_eq!(bus.publish_atomic(events()).unwrap().wait().unwrap().sequences(), 1..=3);
    let twice: Vec<_> = events().collect();
    bus.publish_atomic(twice.clone()).unwrap().wait().unwrap();
    let error = bus.publish_atomic(twice).unwrap().wait().unwrap_err();
    assert_eq!(error, BatchNotStored::Duplicate);
    let nothing: [(&str, Envelope); 0] = [];
    assert_eq!(bus.publish_atomic(nothing).unwrap_err(), PublishError::Atomic(AtomicError::Empty));
    assert!(matches!(
        bus.publish_atomic([("a b", Envelope::new("a", "Tested", ""))]),
        Err(PublishError::JetStream(_))
    ));
}

/// Cut anywhere, a batch is stored once or not at all, and its outcome does not lie.
#[test]
fn a_batch_on_a_connection_that_is_cut_is_whole_or_not_there() {
    let (server, js) = with_atomic();
    let proxy = Proxy::start(server.port()).unwrap();
    let through = JetStream::new(jetlane_client::Client::connect(&proxy.url()).unwrap()).unwrap();
    through.publish("s.first", "").unwrap().wait().unwrap();
    let mut before = 0;
    for round in 0..rounds(10) as u64 {
        let batch = batch("s.cut", numbers(40));
        let at = proxy.forwarded(Direction::ToServer) + 100 + (round * 550) % 5200;
        proxy.cut_after(Direction::ToServer, at, End::Rst);
        let ended = through.publish_atomic(&batch).unwrap().wait();
        // What was on its way has been processed once something behind it is stored.
        eventually("something behind it is stored", || {
            through.publish("s.after", "").unwrap().wait().ok()
        });
        let now = js.direct_get_batch("S", &BatchGet::next("s.cut", 1, 2000)).unwrap();
        let now = now.filter(Result::is_ok).count();
        let came = now - before;
        match ended {
            Ok(batch) => assert_eq!((batch.count, came), (40, 40), "round {round}"),
            Err(BatchNotStored::Rejected(_)) => assert_eq!(came, 0, "round {round}"),
            Err(BatchNotStored::Unknown(Unknown::Disconnected)) => {
                assert!(came == 0 || came == 40, "round {round}: {came}");
            }
            Err(other) => panic!("round {round}: {other}"),
        }
        before = now;
    }
}
