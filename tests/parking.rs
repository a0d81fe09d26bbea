//! An aggregate that can not go on is parked: its events wait elsewhere, in order, and others go on.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetlane::{
    Counts, DeadLetters, Envelope, EventBus, Parking, Settlement, Strategy, Subscribe,
    SubscribeError, Subscription, Verdict,
};
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};

/// What was handled, by key; and whether the dependency of key `a` is down.
#[derive(Clone, Default)]
struct Log {
    handled: Arc<Mutex<HashMap<String, Vec<i64>>>>,
    down: Arc<AtomicBool>,
}

impl Log {
    fn down() -> Self {
        let log = Self::default();
        log.down.store(true, Relaxed);
        log
    }

    fn of(&self, key: &str) -> Vec<i64> {
        self.handled.lock().unwrap().get(key).cloned().unwrap_or_default()
    }

    fn subscribe(&self, bus: &EventBus) -> Subscribe {
        let log = self.clone();
        bus.subscribe("s")
            .retry(Duration::from_millis(1), Duration::from_millis(5))
            .parking(Parking::to("parked").attempts(NonZeroU32::new(2).unwrap()))
            .on("order.*", move |event: &Envelope| {
                let (key, number) = (event.aggregate_id(), event.event_version());
                if key == "a" && number >= 2 && log.down.load(Relaxed) {
                    return Err(format!("no use: {number}"));
                }
                log.handled.lock().unwrap().entry(key.into()).or_default().push(number);
                Ok(())
            })
    }
}

fn with_topics() -> (Server, EventBus) {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "parked.>", "dead.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    (server, bus)
}

fn publish(bus: &EventBus, numbers: std::ops::Range<i64>) {
    for number in numbers {
        for key in ["a", "b"] {
            let event = Envelope::new(key, "Tested", "x").with_event_version(number);
            bus.publish("order.x", &event).unwrap().wait().unwrap();
        }
    }
}

fn counted(subscription: &Subscription, wanted: impl Fn(Counts) -> bool) -> Counts {
    eventually("so much is done", || Some(subscription.counts()).filter(|counts| wanted(*counts)))
}

/// How many events of key `a` are parked.
fn parked(bus: &EventBus) -> u64 {
    let subjects = bus.jetstream().stream_subjects("parked_ALL", ">", 0).wait().unwrap().subjects;
    assert!(subjects.keys().all(|subject| subject == "parked.s.a"), "{subjects:?}");
    subjects.values().sum()
}

#[test]
fn an_aggregate_is_parked_in_order_over_a_restart_and_others_go_on() {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let (_server, bus) = with_topics();
        let log = Log::down();
        let first = log.subscribe(&bus).settlement(settlement).start().unwrap();
        publish(&bus, 0..5);
        let counts = counted(&first, |counts| counts.handled == 7 && counts.parked == 3);
        assert_eq!((counts.retried, counts.dead_lettered), (1, 0));
        assert_eq!(first.health().parked_keys, 1);
        first.stop(DEADLINE).unwrap();
        // Who comes next knows it from the stream, and does not even try: the dependency is up again.
        log.down.store(false, Relaxed);
        let second = log.subscribe(&bus).settlement(settlement).start().unwrap();
        assert_eq!(second.health().parked_keys, 1);
        publish(&bus, 5..10);
        let counts = counted(&second, |counts| counts.handled == 5 && counts.parked == 5);
        assert_eq!(counts.retried, 0);
        assert_eq!((log.of("a"), log.of("b")), (vec![0, 1], (0..10).collect()), "{settlement:?}");
        assert_eq!(parked(&bus), 8);
        // All that was parked is settled: it holds nothing up.
        eventually("all is settled", || {
            let backlog = second.health().consumer.unwrap();
            (backlog.unsettled == 0 && backlog.oldest.is_none()).then_some(())
        });
        bus.close(DEADLINE).unwrap();
    }
}

#[test]
fn what_is_rejected_parks_its_aggregate_unless_there_are_dead_letters() {
    for with_dead in [false, true] {
        let (_server, bus) = with_topics();
        let subscribe = bus.subscribe("s").parking(Parking::to("parked"));
        let subscribe = match with_dead {
            true => subscribe.dead_letters(DeadLetters::to("dead")),
            false => subscribe,
        };
        let handler = |event: &Envelope| match event.event_version() {
            2 => Verdict::Reject { reason: "never".into() },
            _ => Verdict::Done,
        };
        let subscription = subscribe.on("order.*", handler).start().unwrap();
        for number in 0..5 {
            let event = Envelope::new("a", "Tested", "x").with_event_version(number);
            bus.publish("order.x", &event).unwrap().wait().unwrap();
        }
        let expected = if with_dead { (4, 0, 1) } else { (2, 3, 0) };
        let counts = counted(&subscription, |counts| {
            (counts.handled, counts.parked, counts.dead_lettered) == expected
        });
        assert_eq!(counts.rejected, 1);
        assert_eq!(parked(&bus), expected.1);
    }
}

#[test]
fn what_has_no_aggregate_is_parked_by_itself() {
    let (_server, bus) = with_topics();
    let subscription = bus
        .subscribe("s")
        .parking(Parking::to("parked"))
        .on_raw("order.*", |event: &jetlane::RawEvent<'_>| match event.payload() {
            b"bad" => Verdict::Reject { reason: "never".into() },
            _ => Verdict::Done,
        })
        .start()
        .unwrap();
    for payload in ["bad", "good", "bad", "good"] {
        bus.publish_raw("order.x", payload).unwrap().wait().unwrap();
    }
    counted(&subscription, |counts| (counts.handled, counts.parked) == (2, 2));
    assert_eq!(subscription.health().parked_keys, 0);
    let told = bus.jetstream().stream_subjects("parked_ALL", ">", 0).wait().unwrap();
    assert_eq!(told.subjects.into_iter().collect::<Vec<_>>(), [("parked.s._".to_string(), 2)]);
}

#[test]
fn parking_needs_a_place() {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    let started = Log::default().subscribe(&bus).start();
    let expected = "no stream stores the topic \"parked.>\": ensure the topic first";
    assert_eq!(started.unwrap_err().to_string(), expected);
    let bad = bus.subscribe("s").parking(Parking::to("par ked")).on("order.*", |_: &Envelope| {});
    assert!(
        matches!(bad.start(), Err(SubscribeError::Topic { topic, .. }) if topic == "par ked.>")
    );
}
