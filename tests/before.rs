//! What runs before publishes: it sees and changes every event, or keeps it back.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use jetlane::{
    Bytes, Compress, Compression, DeadLetters, Envelope, Event, EventBus, Form, Json, KeyOrder,
    Pick, PublishError, RawEvent, Strategy,
};
use jetlane_tests::place::{Place, Started};
use jetlane_tests::{DEADLINE, eventually};
use serde::{Deserialize, Serialize};

/// A server, and a bus on it whose topic `order.>` is persistent, and `tick.>` core.
fn with_topics(place: Place) -> (Started, EventBus) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    let orders = bus.topic("order.>");
    // The server in memory has no atomic batches.
    let orders = if place == Place::Real { orders.atomic() } else { orders };
    orders.ensure(Strategy::CreateOnly).unwrap();
    bus.topic("tick.>").core().ensure(Strategy::CreateOnly).unwrap();
    (server, bus)
}

#[derive(Serialize, Deserialize)]
struct Secret {
    card: String,
}

impl Event for Secret {
    const TYPE: &'static str = "Secret";
    type Encoding = Json;

    fn aggregate_id(&self) -> Cow<'_, str> {
        "a".into()
    }
}

fn secret() -> Envelope {
    Envelope::of(&Secret { card: "4711".into() }).unwrap()
}

/// Publishes a secret in every way there is: the way, how many events that are, and why it was refused, if it was.
fn publish_in_every_way(
    bus: &EventBus,
    place: Place,
) -> Vec<(String, usize, Option<PublishError>)> {
    let (topic, event) = ("order.x", secret);
    let large = bus.compressing(Compress::with(Compression::Lz4));
    let mut ways = vec![
        ("publish".into(), 1, bus.publish(topic, event()).err()),
        ("publish_as".into(), 1, bus.publish_as(Form::Json, topic, event()).err()),
        (
            "publish_event".into(),
            1,
            bus.publish_event(topic, &Secret { card: "4711".into() }).err(),
        ),
        (
            "publish_batch".into(),
            2,
            bus.publish_batch(topic, [event(), event()]).err().map(|batch| batch.error),
        ),
        ("compressing".into(), 1, large.publish(topic, event()).err()),
        ("compressing as".into(), 1, large.publish_as(Form::Json, topic, event()).err()),
        (
            "compressing batch".into(),
            1,
            large.publish_batch(topic, [event()]).err().map(|batch| batch.error),
        ),
        ("publish_core".into(), 1, bus.publish_core("tick.x", event()).err()),
        (
            "publish_core_as".into(),
            1,
            bus.publish_core_as(Form::CloudEventsBinary, "tick.x", event()).err(),
        ),
    ];
    if place == Place::Real {
        let batch = bus.publish_atomic([(topic, event()), (topic, event())]);
        ways.push(("publish_atomic".into(), 2, batch.err()));
    }
    for order in [KeyOrder::Free, KeyOrder::Wait, KeyOrder::Fail] {
        let (publisher, outcomes) = bus.publisher().order(order).start().unwrap();
        let refused = publisher.publish(topic, event(), ()).err();
        let refused_too = publisher.try_publish(topic, event(), ()).err();
        assert_eq!(refused, refused_too);
        publisher.close(DEADLINE).unwrap();
        let stored = outcomes.flatten().filter(|one| one.outcome.is_ok()).count();
        assert_eq!(stored, if refused.is_some() { 0 } else { 2 });
        ways.push((format!("{order:?}"), 2, refused));
    }
    ways
}

pub(crate) fn what_runs_before_changes_every_event_that_is_published(place: Place) {
    let (_server, plain) = with_topics(place);
    let noise = Bytes::from("7".repeat(5_000));
    let bus = plain.clone().before_publish({
        let noise = noise.clone();
        move |topic, event| {
            let trace = format!("{topic} {}", event.event_type());
            Ok::<_, String>(event.with_payload(noise.clone()).with_trace_id(trace))
        }
    });
    let (send, received) = mpsc::channel();
    let heard = send.clone();
    bus.subscribe("s")
        .on("order.>", move |event: &Envelope| send.send(event.clone()).unwrap())
        .start()
        .unwrap();
    bus.listen("l")
        .on("tick.>", move |event: &Envelope| heard.send(event.clone()).unwrap())
        .start()
        .unwrap();
    let mut published = 0;
    for (way, count, refused) in publish_in_every_way(&bus, place) {
        assert_eq!(refused, None, "{way}");
        published += count;
    }
    for _ in 0..published {
        let event = received.recv_timeout(DEADLINE).unwrap();
        assert_eq!(event.payload(), &noise, "{event:?}");
        let trace = event.trace_id().unwrap();
        assert!(["order.x Secret", "tick.x Secret"].contains(&trace), "{trace}");
    }
    // Who has another handle, or publishes what is no event, has nothing before it.
    let event = secret();
    plain.publish("order.x", &event).unwrap().wait().unwrap();
    assert_eq!(received.recv_timeout(DEADLINE).unwrap(), event);
    bus.publish_raw("order.x", event.to_json().unwrap()).unwrap().wait().unwrap();
    assert_eq!(received.recv_timeout(DEADLINE).unwrap().payload(), event.payload());
    bus.close(DEADLINE).unwrap();
    assert!(received.try_recv().is_err());
}

pub(crate) fn what_runs_before_keeps_events_back(place: Place) {
    let (_server, bus) = with_topics(place);
    let listener = bus.listen("l").on(">", |_: &Envelope| {}).start().unwrap();
    let bus = bus.before_publish(|topic, event| match event.event_type() {
        "Secret" => Err(format!("{topic} is no place for it")),
        _ => Ok(event),
    });
    for (way, _, refused) in publish_in_every_way(&bus, place) {
        let topic = if way.contains("core") { "tick.x" } else { "order.x" };
        let expected = PublishError::Refused { reason: format!("{topic} is no place for it") };
        assert_eq!(refused, Some(expected), "{way}");
    }
    let plain = Envelope::new("a", "Plain", "");
    let batch = bus.publish_batch("order.x", [plain.clone(), secret(), plain]).unwrap_err();
    assert_eq!(
        (batch.tickets.len(), batch.tickets.into_iter().next().unwrap().wait().is_ok()),
        (1, true)
    );
    let info = bus.jetstream().stream_info("order_ALL").wait().unwrap();
    assert_eq!(info.state.messages, 1);
    bus.close(DEADLINE).unwrap();
    assert_eq!(listener.counts().handled, 1);
}

pub(crate) fn what_is_given_first_runs_first_and_once_an_event(place: Place) {
    let (_server, bus) = with_topics(place);
    let calls = Arc::new(AtomicUsize::new(0));
    let step = |name: &'static str| {
        let calls = Arc::clone(&calls);
        move |_: &str, event: Envelope| {
            calls.fetch_add(1, SeqCst);
            let trace = format!("{}{name}", event.trace_id().unwrap_or_default());
            Ok::<_, String>(event.with_trace_id(trace))
        }
    };
    let bus = bus.before_publish(step("1")).before_publish(step("2")).before_publish(step("3"));
    let (send, received) = mpsc::channel();
    let fails = AtomicUsize::new(0);
    bus.topic("dead.>").ensure(Strategy::CreateOnly).unwrap();
    let subscription = bus
        .subscribe("s")
        .retry(Duration::from_millis(1), Duration::from_millis(1))
        .dead_letters(DeadLetters::to("dead").attempts(NonZeroU32::MIN))
        .on("order.x", move |event: &Envelope| {
            send.send(event.clone()).unwrap();
            if fails.fetch_add(1, SeqCst) == 0 { Err("not yet") } else { Ok(()) }
        })
        .start()
        .unwrap();
    let event = secret();
    bus.publish("order.x", &event).unwrap().wait().unwrap();
    eventually("it is given up", || (subscription.counts().dead_lettered == 1).then_some(()));
    let letters = bus.letters("dead").unwrap();
    assert_eq!(letters.plan(&Pick::all()).unwrap().run().unwrap().events, 1);
    // The same again, as it was: letters and redrives are nobody's publishes.
    for _ in 0..2 {
        let expected = event.clone().with_trace_id("123");
        assert_eq!(received.recv_timeout(DEADLINE).unwrap(), expected);
    }
    assert_eq!((calls.load(SeqCst), event.trace_id()), (3, None));
    bus.close(DEADLINE).unwrap();
}

/// Another payload is compressed as any other; an event that stays as it is stays compressed.
pub(crate) fn what_runs_before_is_done_before_compression(place: Place) {
    let (_server, bus) = with_topics(place);
    let bus = bus.before_publish(|_, event| match event.event_type() {
        "Small" => Ok(event.with_payload("7".repeat(5_000))),
        _ => Ok::<_, String>(event),
    });
    let (send, received) = mpsc::channel();
    let raw = move |event: &RawEvent<'_>| {
        let is_marked = event.headers().unwrap().get("Content-Encoding").is_some();
        send.send((is_marked, event.payload().len())).unwrap();
    };
    bus.subscribe("s").on_raw("order.x", raw).start().unwrap();
    let compress = Compress::with(Compression::Lz4);
    let event = |kind: &'static str, payload: &str| Envelope::new("a", kind, payload.to_string());
    let large = event("Large", &"7".repeat(5_000)).compressed(&compress);
    for (published, is_compressed) in [
        (bus.compressing(compress).publish("order.x", event("Small", "7")), true),
        (bus.publish("order.x", event("Small", &"7".repeat(9_000)).compressed(&compress)), false),
        (bus.publish("order.x", large), true),
    ] {
        published.unwrap().wait().unwrap();
        let (is_marked, bytes) = received.recv_timeout(DEADLINE).unwrap();
        assert_eq!((is_marked, bytes < 500), (is_compressed, is_compressed), "{bytes} bytes");
        assert!(is_compressed || bytes == 5_000);
    }
    bus.close(DEADLINE).unwrap();
}
