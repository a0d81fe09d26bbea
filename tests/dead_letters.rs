//! Events that can not be handled go to a stream of their own, and those behind them go on.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetlane::jetstream::{ConsumerConfig, JetStream, JsMessage};
use jetlane::{
    Counts, DeadLetters, Envelope, EventBus, Settlement, Strategy, SubscribeError, Subscription,
    Verdict,
};
use jetlane_tests::place::{Place, Started};
use jetlane_tests::{DEADLINE, eventually};

fn with_topics(place: Place, topics: &[&str]) -> (Started, EventBus) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in topics {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    (server, bus)
}

fn letters() -> DeadLetters {
    DeadLetters::to("dead.s").attempts(NonZeroU32::new(3).unwrap())
}

fn counted(subscription: &Subscription, wanted: impl Fn(Counts) -> bool) -> Counts {
    eventually("so much is done", || Some(subscription.counts()).filter(|counts| wanted(*counts)))
}

/// The letters in the stream, oldest first.
fn read_letters(js: &JetStream, count: usize) -> Vec<JsMessage> {
    let consumer = ConsumerConfig::durable("reader");
    let consumer = js.create_consumer("dead_s_ALL", &consumer).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    let found = (0..count).map(|_| messages.next_timeout(DEADLINE).expect("a letter")).collect();
    assert!(messages.try_next().is_none());
    found
}

fn dead(letter: &JsMessage, name: &str) -> String {
    let value =
        letter.headers().unwrap().get(&format!("Jetlane-Letter-{name}")).unwrap_or_default();
    String::from_utf8(value.to_vec()).unwrap()
}

pub(crate) fn a_poison_event_is_given_up_and_the_others_go_on_in_order(place: Place) {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let (_server, bus) = with_topics(place, &["order.>", "dead.s.>"]);
        let handled = Arc::new(Mutex::new(HashMap::<String, Vec<i64>>::new()));
        let seen = Arc::clone(&handled);
        let subscription = bus
            .subscribe("s")
            .settlement(settlement)
            .retry(Duration::from_millis(1), Duration::from_millis(5))
            .dead_letters(letters())
            .on("order.*", move |event: &Envelope| {
                if event.payload() == "poison" {
                    return Err(format!("no use:\r\n{}", event.event_version()));
                }
                let key = event.aggregate_id().to_string();
                seen.lock().unwrap().entry(key).or_default().push(event.event_version());
                Ok(())
            })
            .start()
            .unwrap();
        for n in 0..10 {
            for key in ["a", "b"] {
                let payload = if key == "a" && n == 4 { "poison" } else { "fine" };
                let event = Envelope::new(key, "Tested", payload).with_event_version(n);
                bus.publish("order.x", &event).unwrap().wait().unwrap();
            }
        }
        let counts = counted(&subscription, |counts| counts.handled == 19);
        assert_eq!((counts.dead_lettered, counts.retried, counts.rejected), (1, 2, 0));
        let handled = handled.lock().unwrap();
        assert_eq!(handled["a"], [0, 1, 2, 3, 5, 6, 7, 8, 9], "{settlement:?}");
        assert_eq!(handled["b"], (0..10).collect::<Vec<_>>());
        let letters = read_letters(bus.jetstream(), 1);
        let letter = &letters[0];
        assert_eq!((&*letter.subject(), letter.payload()), ("dead.s.order.x", &b"poison"[..]));
        let history =
            ["Reason", "Attempts", "Deliveries", "Subscription", "Subject", "Stream", "Sequence"]
                .map(|name| dead(letter, name));
        assert_eq!(history, ["no use:  4", "3", "1", "s", "order.x", "order_ALL", "9"]);
        assert!(!dead(letter, "Time").is_empty());
        let headers = letter.headers().unwrap();
        assert_eq!(headers.get("X-Aggregate-ID"), Some(&b"a"[..]));
        assert_eq!(headers.get_all("Nats-Msg-Id").count(), 1);
        eventually("the event is settled", || {
            let info = bus.jetstream().consumer_info("order_ALL", "s").wait().unwrap();
            (info.num_ack_pending == 0 && info.num_redelivered == 0).then_some(())
        });
        bus.close(DEADLINE).unwrap();
    }
}

pub(crate) fn what_is_rejected_panics_or_is_no_event_is_kept_with_its_reason(place: Place) {
    let (_server, bus) = with_topics(place, &["order.>", "dead.s.>"]);
    let subscription = bus
        .subscribe("s")
        .retry(Duration::from_millis(1), Duration::from_millis(1))
        .dead_letters(letters())
        .on("order.*", |event: &Envelope| match &event.payload()[..] {
            b"reject" => Verdict::Reject { reason: "never".into() },
            b"panic" => panic!("out of tea"),
            _ => Verdict::Done,
        })
        .start()
        .unwrap();
    for payload in ["reject", "panic", "fine"] {
        bus.publish("order.x", Envelope::new("a", "Tested", payload)).unwrap().wait().unwrap();
    }
    bus.publish_raw("order.x", "no event").unwrap().wait().unwrap();
    counted(&subscription, |counts| counts.dead_lettered == 3 && counts.handled == 1);
    let letters = read_letters(bus.jetstream(), 3);
    let reasons: HashMap<_, _> = letters
        .iter()
        .map(|letter| {
            (letter.payload().to_vec(), (dead(letter, "Reason"), dead(letter, "Attempts")))
        })
        .collect();
    let told = |payload: &str| reasons[payload.as_bytes()].clone();
    assert_eq!(told("reject"), ("never".into(), "1".into()));
    assert_eq!(told("panic"), ("the handler panicked: out of tea".into(), "3".into()));
    assert!(told("no event").0.contains("no envelope"), "{:?}", told("no event"));
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn a_letter_that_is_too_large_is_kept_without_its_payload(place: Place) {
    let (_server, bus) = with_topics(place, &["order.>", "dead.s.>"]);
    let subscription = bus
        .subscribe("s")
        .dead_letters(letters())
        .on("order.*", |_: &Envelope| Verdict::Reject { reason: "r".repeat(5000) })
        .start()
        .unwrap();
    let event = Envelope::new("a", "Tested", vec![b'x'; (1 << 20) - 400]);
    bus.publish("order.x", &event).unwrap().wait().unwrap();
    counted(&subscription, |counts| counts.dead_lettered == 1);
    let letters = read_letters(bus.jetstream(), 1);
    assert!(letters[0].payload().is_empty());
    assert_eq!(
        (dead(&letters[0], "Payload"), dead(&letters[0], "Reason").len()),
        ("omitted".into(), 1024)
    );
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn while_letters_can_not_be_stored_the_key_waits_and_nothing_is_lost(place: Place) {
    let (_server, bus) = with_topics(place, &["order.>"]);
    let subscribe = || {
        bus.subscribe("s")
            .retry(Duration::from_millis(1), Duration::from_millis(20))
            .dead_letters(letters())
            .on("order.*", |event: &Envelope| match &event.payload()[..] {
                b"reject" => Verdict::Reject { reason: "never".into() },
                _ => Verdict::Done,
            })
    };
    let missing = subscribe().start().unwrap_err();
    assert!(
        matches!(&missing, SubscribeError::NoStream { topic } if topic == "dead.s.>"),
        "{missing}"
    );
    bus.topic("dead.s.>").ensure(Strategy::CreateOnly).unwrap();
    let subscription = subscribe().start().unwrap();
    bus.jetstream().delete_stream("dead_s_ALL").wait().unwrap();
    for (key, payload) in [("a", "reject"), ("a", "behind"), ("b", "other")] {
        bus.publish("order.x", Envelope::new(key, "Tested", payload)).unwrap().wait().unwrap();
    }
    counted(&subscription, |counts| counts.handled == 1);
    eventually("it says why", || {
        subscription.last_error()?.contains("a letter can not be stored").then_some(())
    });
    assert_eq!(subscription.counts().handled, 1, "what is behind waits");
    bus.topic("dead.s.>").ensure(Strategy::CreateOnly).unwrap();
    counted(&subscription, |counts| (counts.handled, counts.dead_lettered) == (2, 1));
    assert_eq!(read_letters(bus.jetstream(), 1)[0].payload(), b"reject");
    bus.close(DEADLINE).unwrap();
}

/// What takes an event of the consumer `s` in the place of a process that dies or gives it back.
fn other_process(bus: &EventBus) -> jetlane::jetstream::Messages {
    let consumer = bus.jetstream().consumer_info("order_ALL", "s").wait().unwrap();
    bus.jetstream().consume(&consumer).queued().unwrap()
}

pub(crate) fn events_that_the_server_gives_up_are_kept_with_what_stands_in_the_stream(
    place: Place,
) {
    let (_server, bus) = with_topics(place, &["order.>", "dead.s.>"]);
    let consumer = ConsumerConfig::durable("s").filter("order.*").max_deliver(2);
    bus.jetstream().create_consumer("order_ALL", &consumer).wait().unwrap();
    let mut other = other_process(&bus);
    for payload in ["crashed", "terminated", "fine"] {
        bus.publish("order.x", Envelope::new("a", "Tested", payload)).unwrap().wait().unwrap();
    }
    let crashed = other.next_timeout(DEADLINE).unwrap();
    crashed.nak(Duration::ZERO);
    let terminated = other.next_timeout(DEADLINE).unwrap();
    let (_third, again) =
        (other.next_timeout(DEADLINE).unwrap(), other.next_timeout(DEADLINE).unwrap());
    assert_eq!(again.payload(), b"crashed", "its second and last delivery");
    let subscription =
        bus.subscribe("s").shared().dead_letters(letters()).on("order.*", |_: &Envelope| {});
    let subscription = subscription.start().unwrap();
    bus.client().flush().wait().unwrap();
    again.nak(Duration::ZERO);
    counted(&subscription, |counts| counts.dead_lettered == 1);
    terminated.term("no such order");
    counted(&subscription, |counts| counts.dead_lettered == 2);
    let letters = read_letters(bus.jetstream(), 2);
    for (letter, payload, reason, deliveries) in [
        (&letters[0], "crashed", "it was delivered 2 times, and never acknowledged", "2"),
        (&letters[1], "terminated", "it was terminated: no such order", "1"),
    ] {
        assert_eq!(letter.payload(), payload.as_bytes());
        assert_eq!(
            (dead(letter, "Reason").as_str(), &*dead(letter, "Deliveries")),
            (reason, deliveries)
        );
        assert_eq!((dead(letter, "Subject").as_str(), &*dead(letter, "Key")), ("order.x", "a"));
        assert_eq!(letter.headers().unwrap().get("X-Event-Type"), Some(&b"Tested"[..]));
    }
    assert_eq!(subscription.counts().handled, 0);
}

pub(crate) fn an_event_that_was_delivered_too_often_is_not_even_tried(place: Place) {
    let (_server, bus) = with_topics(place, &["order.>", "dead.s.>"]);
    let consumer = ConsumerConfig::durable("s").filter("order.*").ack_wait(Duration::from_secs(1));
    bus.jetstream().create_consumer("order_ALL", &consumer).wait().unwrap();
    for payload in ["deadly", "fine"] {
        bus.publish("order.x", Envelope::new("a", "Tested", payload)).unwrap().wait().unwrap();
    }
    // Two processes have died of it.
    let mut other = other_process(&bus);
    for delivered in 1..=2 {
        let mut next = || other.next_timeout(DEADLINE).unwrap();
        let message =
            std::iter::from_fn(|| Some(next())).find(|m| m.payload() == b"deadly").unwrap();
        assert_eq!(message.delivery().delivered, delivered);
        message.nak(Duration::ZERO);
    }
    drop(other);
    let tried = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tried);
    let subscription = bus
        .subscribe("s")
        .ack_wait(Duration::from_secs(1))
        .dead_letters(letters().deliveries(2))
        .on("order.*", move |event: &Envelope| seen.lock().unwrap().push(event.payload().clone()))
        .start()
        .unwrap();
    counted(&subscription, |counts| (counts.dead_lettered, counts.handled) == (1, 1));
    assert_eq!(*tried.lock().unwrap(), ["fine"]);
    let letter = &read_letters(bus.jetstream(), 1)[0];
    assert_eq!((letter.payload(), &*dead(letter, "Attempts")), (&b"deadly"[..], "0"));
    assert!(dead(letter, "Reason").starts_with("it was delivered"), "{}", dead(letter, "Reason"));
}
