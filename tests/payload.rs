//! What is in an event: typed events in each encoding, and payloads that were compressed.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use jetlane::client::{Headers, PublishError as ClientPublishError};
use jetlane::{
    Bytes, Compress, Compression, Counts, DeadLetters, Envelope, Event, EventBus, Form, Json,
    KeyOrder, Letter, Pick, Protobuf, PublishError, Rate, Raw, RawEvent, Strategy, Subscription,
    Ticket,
};
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Created {
    order: String,
    note: String,
}

impl Event for Created {
    const TYPE: &'static str = "OrderCreated";
    type Encoding = Json;

    fn aggregate_id(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Paid {
    #[prost(string, tag = "1")]
    order: String,
    #[prost(uint64, tag = "2")]
    cents: u64,
}

impl Event for Paid {
    const TYPE: &'static str = "OrderPaid";
    type Encoding = Protobuf;

    fn aggregate_id(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Scanned(Bytes);

impl AsRef<[u8]> for Scanned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Scanned {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Event for Scanned {
    const TYPE: &'static str = "SlipScanned";
    type Encoding = Raw;

    fn aggregate_id(&self) -> Cow<'_, str> {
        "a".into()
    }
}

fn created(note: &str) -> Created {
    Created { order: "a".into(), note: note.into() }
}

fn with_topics() -> (Server, EventBus) {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "dead.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    (server, bus)
}

/// Waits until it is stored.
fn stored(ticket: Result<Ticket, PublishError>) {
    ticket.unwrap().wait().unwrap();
}

fn counted(subscription: &Subscription, wanted: impl Fn(Counts) -> bool) {
    eventually("so much is done", || wanted(subscription.counts()).then_some(()));
}

fn letters(bus: &EventBus, count: usize) -> Vec<Letter> {
    let letters = bus.letters("dead").unwrap();
    eventually("so many letters are there", || {
        let letters: Vec<_> = letters.read(&Pick::all()).map(Result::unwrap).collect();
        (letters.len() == count).then_some(letters)
    })
}

fn header<'a>(letter: &'a Letter, name: &str) -> Option<&'a [u8]> {
    letter.headers().unwrap().get(name)
}

/// Publishes to `order.x` what no envelope of ours could be: its headers, but for those that are replaced or added.
fn publish_marked(bus: &EventBus, event: &Envelope, encoding: &str, body: &[u8]) {
    let mut headers = Headers::new();
    for (name, value) in [
        ("X-Aggregate-ID", event.aggregate_id()),
        ("X-Event-Type", event.event_type()),
        ("X-Event-ID", event.event_id().unwrap()),
        ("X-Event-Version", "1"),
        ("X-Timestamp", "2026-01-01T00:00:00Z"),
        ("Content-Encoding", encoding),
    ] {
        headers.append(name, value).unwrap();
    }
    bus.jetstream().publish_with("order.x", &headers, body).unwrap().wait().unwrap();
}

#[test]
fn typed_events_of_each_encoding_arrive_as_they_were_in_order() {
    let (_server, bus) = with_topics();
    let (send, received) = mpsc::channel();
    let (on_created, on_paid, on_scanned) = (send.clone(), send.clone(), send);
    let subscription = bus
        .subscribe("s")
        .on_event("order.>", move |event: Created, envelope: &Envelope| {
            assert_eq!(envelope.content_type(), Some("application/json"));
            on_created.send(format!("{event:?}")).unwrap();
        })
        .on_event("order.>", move |event: Paid, envelope: &Envelope| {
            assert_eq!(envelope.content_type(), Some("application/protobuf"));
            on_paid.send(format!("{event:?}")).unwrap();
        })
        .on_event("order.>", move |event: Scanned, _: &Envelope| {
            on_scanned.send(format!("{event:?}"))
        })
        .start()
        .unwrap();
    let paid = Paid { order: "a".into(), cents: 300 };
    let scanned = Scanned(Bytes::from_static(&[0, 255, b'\r', b'\n']));
    stored(bus.publish_event("order.x", &created("ä")));
    stored(bus.publish_event("order.x", &paid));
    stored(bus.publish("order.x", Envelope::new("a", "OfOthers", "{}")));
    stored(bus.publish_event("order.x", &scanned));
    stored(bus.publish_event("order.x", &paid));
    let expected = [
        format!("{:?}", created("ä")),
        format!("{paid:?}"),
        format!("{scanned:?}"),
        format!("{paid:?}"),
    ];
    for expected in expected {
        assert_eq!(received.recv_timeout(DEADLINE).unwrap(), expected);
    }
    counted(&subscription, |counts| (counts.handled, counts.passed_over) == (4, 1));
    bus.close(DEADLINE).unwrap();
}

#[test]
fn typed_events_are_read_from_every_form() {
    let (_server, bus) = with_topics();
    let (send, received) = mpsc::channel();
    bus.subscribe("s")
        .on_event("order.>", move |event: Created, _: &Envelope| send.send(event))
        .start()
        .unwrap();
    for form in [Form::Header, Form::Json, Form::CloudEventsBinary, Form::CloudEventsStructured] {
        let sent = created(&format!("{form:?}"));
        bus.publish_as(form, "order.x", Envelope::of(&sent).unwrap()).unwrap().wait().unwrap();
        assert_eq!(received.recv_timeout(DEADLINE).unwrap(), sent);
    }
    bus.close(DEADLINE).unwrap();
}

#[test]
fn what_can_not_be_read_goes_to_the_dead_letters_at_once_with_the_reason() {
    let (_server, bus) = with_topics();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let subscription = bus
        .subscribe("s")
        .decompress_up_to(100_000)
        .dead_letters(DeadLetters::to("dead"))
        .on_event("order.>", move |_: Created, _: &Envelope| {
            counter.fetch_add(1, SeqCst);
        })
        .start()
        .unwrap();
    let event = |payload: &str| Envelope::new("a", "OrderCreated", payload.to_string());
    let good = Envelope::of(&created("good")).unwrap();
    let publish = |event: &Envelope| stored(bus.publish("order.x", event));
    publish(&event("{\"order\":"));
    publish(&event(r#"{"order":7,"note":""}"#));
    publish(&good.clone().with_event_id("newer").with_event_version(2));
    publish(&good.clone().with_event_id("other").with_content_type("application/protobuf"));
    publish_marked(&bus, &event(""), "br", b"brotli?");
    publish_marked(&bus, &event(""), "zstd", b"no frame");
    let bomb = event(&"x".repeat(100_001)).compressed(&Compress::with(Compression::Lz4));
    publish(&bomb);
    publish(&good);
    counted(&subscription, |counts| (counts.handled, counts.dead_lettered) == (1, 7));
    assert_eq!(subscription.counts().retried, 0);
    assert_eq!(calls.load(SeqCst), 1, "only the good one came to the handler");
    let letters = letters(&bus, 7);
    for (letter, reason) in letters.iter().zip([
        "is no such event in application/json",
        "is no such event in application/json",
        "has version 2, and this program knows those up to 1",
        "is \"application/protobuf\", and is read as \"application/json\" here",
        "compressed by \"br\", which this program can not read",
        "can not be decompressed as zstd",
        "the decompressed payload has more than 100000 bytes",
    ]) {
        assert!(letter.reason.contains(reason), "{}, not {reason}", letter.reason);
    }
    // It is kept as it came, with its mark.
    assert_eq!(letters[6].payload.as_ref(), Some(bomb.wire_payload()));
    assert_eq!(header(&letters[6], "Content-Encoding"), Some(&b"lz4"[..]));
    bus.close(DEADLINE).unwrap();
}

#[test]
fn a_compressed_event_is_delivered_again_kept_and_redriven_as_it_was() {
    for compression in [Compression::Lz4, Compression::Zstd, Compression::Gzip] {
        let (_server, bus) = with_topics();
        let sent = created(&"seven ".repeat(20_000));
        let (send, received) = mpsc::channel();
        let attempts = NonZeroU32::new(3).unwrap();
        let calls = AtomicUsize::new(0);
        let subscription = bus
            .subscribe("s")
            .retry(Duration::from_millis(1), Duration::from_millis(1))
            .dead_letters(DeadLetters::to("dead").attempts(attempts))
            .on_event("order.>", move |event: Created, envelope: &Envelope| {
                assert_eq!(envelope.compression(), None);
                send.send(event).unwrap();
                match calls.fetch_add(1, SeqCst) {
                    0..3 => Err("not yet"),
                    _ => Ok(()),
                }
            })
            .start()
            .unwrap();
        let large = bus.compressing(Compress::with(compression));
        large.publish_event("order.x", &sent).unwrap().wait().unwrap();
        let letter = &letters(&bus, 1)[0];
        let body = letter.payload.as_ref().unwrap();
        assert!(body.len() < 10_000, "{compression:?}: {}", body.len());
        assert_eq!(header(letter, "Content-Encoding"), Some(compression.name().as_bytes()));
        assert_eq!(header(letter, "Content-Type"), Some(&b"application/json"[..]));
        assert_eq!((letter.attempts, &*letter.reason), (3, "not yet"));
        let redriven = bus.letters("dead").unwrap().plan(&Pick::all()).unwrap().run().unwrap();
        assert_eq!(redriven.events, 1);
        counted(&subscription, |counts| counts.handled == 1);
        let received: Vec<_> = received.try_iter().collect();
        assert_eq!(received.len(), 4);
        assert!(received.iter().all(|event| *event == sent), "{compression:?}");
        bus.close(DEADLINE).unwrap();
    }
}

#[test]
fn on_the_wire_it_is_marked_only_if_it_is_compressed() {
    let (_server, bus) = with_topics();
    let (send, received) = mpsc::channel();
    bus.subscribe("s")
        .on_raw("order.>", move |event: &RawEvent<'_>| {
            let header = |name| event.headers()?.get(name).map(<[u8]>::to_vec);
            send.send((header("Content-Encoding"), event.payload().len()))
        })
        .start()
        .unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..5_000).map(|_| random.u8(..)).collect();
    let large = bus.compressing(Compress::with(Compression::Gzip));
    let event = |payload: Vec<u8>| Envelope::new("a", "t", payload);
    stored(large.publish("order.x", event(vec![b'7'; 5_000])));
    stored(large.publish("order.x", event(noise)));
    stored(large.publish("order.x", event(vec![b'7'; 500])));
    for form in [Form::CloudEventsBinary, Form::CloudEventsStructured, Form::Json] {
        stored(large.publish_as(form, "order.x", event(vec![b'7'; 5_000])));
    }
    for ticket in large.publish_batch("order.x", [event(vec![b'7'; 5_000])]).unwrap() {
        ticket.wait().unwrap();
    }
    stored(bus.publish("order.x", event(vec![b'7'; 5_000])));
    for (is_compressed, len) in [
        (true, 0..500),
        (false, 5_000..5_001),
        (false, 500..501),
        (true, 0..500),
        (false, 5_000..6_000),
        (false, 5_000..6_000),
        (true, 0..500),
        (false, 5_000..5_001),
    ] {
        let (encoding, found) = received.recv_timeout(DEADLINE).unwrap();
        assert_eq!(encoding.as_deref(), is_compressed.then_some(&b"gzip"[..]));
        assert!(len.contains(&found), "{found} of {len:?}");
    }
    bus.close(DEADLINE).unwrap();
}

/// A publisher of each kind: whose caller publishes, and whose thread does.
#[test]
fn a_compressed_event_is_read_whoever_published_it() {
    let (_server, bus) = with_topics();
    bus.topic("batch.>").atomic().ensure(Strategy::CreateOnly).unwrap();
    let (send, received) = mpsc::channel();
    for (name, topic) in [("s", "order.>"), ("b", "batch.>")] {
        let send = send.clone();
        let handler = move |event: &Envelope| send.send(event.payload().clone());
        bus.subscribe(name).on(topic, handler).start().unwrap();
    }
    // The larger one is more than the server would take as it is.
    for size in [5_000, bus.client().max_payload() * 2] {
        let plain = Bytes::from(vec![b'7'; size]);
        let event = || {
            let event = Envelope::new("a", "t", plain.clone());
            event.compressed(&Compress::with(Compression::Lz4))
        };
        for order in [KeyOrder::Free, KeyOrder::Wait, KeyOrder::Fail] {
            for rate in [None, Some(Rate::per_second(1_000))] {
                let builder = bus.publisher().order(order);
                let builder = match rate {
                    Some(rate) => builder.rate(rate),
                    None => builder,
                };
                let (publisher, outcomes) = builder.start().unwrap();
                publisher.publish("order.x", event(), ()).unwrap();
                publisher.try_publish("order.x", event(), ()).unwrap();
                publisher.close(DEADLINE).unwrap();
                let stored = outcomes.flatten().filter(|one| one.outcome.is_ok()).count();
                assert_eq!(stored, 2, "{order:?} {rate:?}");
                for _ in 0..2 {
                    assert_eq!(received.recv_timeout(DEADLINE).unwrap(), plain, "{order:?}");
                }
            }
        }
        let batch = [("batch.x", event()), ("batch.y", event())];
        bus.publish_atomic(batch).unwrap().wait().unwrap();
        for _ in 0..2 {
            assert_eq!(received.recv_timeout(DEADLINE).unwrap(), plain);
        }
    }
    bus.close(DEADLINE).unwrap();
}

#[test]
fn the_size_that_counts_is_that_on_the_wire() {
    let (_server, bus) = with_topics();
    let most = bus.client().max_payload();
    let large = Envelope::new("a", "t", vec![b'7'; most * 2]);
    match bus.publish("order.x", &large) {
        Err(PublishError::JetStream(jetlane::jetstream::PublishError::Client(
            ClientPublishError::TooLarge { size, max },
        ))) => assert!(size > most * 2 && max == most, "{size} of {max}"),
        other => panic!("{other:?}"),
    }
    let (send, received) = mpsc::channel();
    bus.subscribe("s")
        .on("order.>", move |event: &Envelope| send.send(event.payload().len()))
        .start()
        .unwrap();
    for compression in [Compression::Lz4, Compression::Zstd, Compression::Gzip] {
        let compressed = large.clone().with_event_id(compression.name());
        let compressed = compressed.compressed(&Compress::with(compression));
        bus.publish("order.x", compressed).unwrap().wait().unwrap();
        assert_eq!(received.recv_timeout(DEADLINE).unwrap(), most * 2);
    }
    bus.close(DEADLINE).unwrap();
}

#[test]
fn a_value_that_can_not_be_encoded_is_not_sent() {
    #[derive(Serialize, Deserialize)]
    struct Odd(std::collections::BTreeMap<Vec<u8>, ()>);
    impl Event for Odd {
        const TYPE: &'static str = "Odd";
        type Encoding = Json;

        fn aggregate_id(&self) -> Cow<'_, str> {
            "a".into()
        }
    }
    let (_server, bus) = with_topics();
    let odd = Odd([(vec![1], ())].into());
    match bus.publish_event("order.x", &odd) {
        Err(PublishError::Encode(error)) => assert_eq!(error.event_type, "Odd"),
        other => panic!("{other:?}"),
    }
    let info = bus.jetstream().stream_info("order_ALL").wait().unwrap();
    assert_eq!(info.state.messages, 0);
    bus.close(DEADLINE).unwrap();
}
