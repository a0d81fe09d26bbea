//! The event bus: topics, envelopes, handlers, order, close.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use jetlane::jetstream::{ConsumerConfig, DeliverPolicy, Discard};
use jetlane::{
    CloseError, ConnectOptions, Envelope, EnvelopeError, EventBus, Form, Limits, OrderBy,
    PublishError, Settlement, StartAt, Step, Storage, Strategy, SubscribeError, Topic, TopicError,
    Verdict,
};
use jetlane_testkit::Server;
use jetlane_tests::place::{Place, Started};
use jetlane_tests::{DEADLINE, eventually};

/// A server, and a bus on it whose topic `order.>` is ensured.
fn with_topic() -> (Server, EventBus) {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    (server, bus)
}

/// The same on a server of this kind.
fn with_topic_at(place: Place) -> (Started, EventBus) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    (server, bus)
}

fn lanes(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Publishes events with these payloads, of one aggregate, and waits until they are stored.
fn publish(
    bus: &EventBus,
    topic: &str,
    aggregate: &str,
    payloads: impl IntoIterator<Item = String>,
) {
    let tickets: Vec<_> = payloads
        .into_iter()
        .map(|payload| {
            let event = Envelope::new(aggregate, "Tested", payload);
            bus.publish(topic, event).unwrap()
        })
        .collect();
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
}

fn text(event: &Envelope) -> String {
    String::from_utf8(event.payload().to_vec()).unwrap()
}

/// How many events of the subscription `name` are neither handled nor given up.
fn unsettled(bus: &EventBus, name: &str) -> u64 {
    let info = bus.jetstream().consumer_info("order_ALL", name).wait().unwrap();
    info.num_pending + info.num_ack_pending
}

/// Waits until so many events of the subscription `name` are delivered and not settled.
fn await_delivered(bus: &EventBus, name: &str, count: u64) {
    eventually("they are delivered", || {
        let info = bus.jetstream().consumer_info("order_ALL", name).wait().unwrap();
        (info.num_ack_pending == count).then_some(())
    });
}

pub(crate) fn an_envelope_arrives_as_it_was_published(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(event.clone()).unwrap();
    bus.subscribe("all").on("order.>", handler).start().unwrap();
    let event = Envelope::new("order-42", "OrderCreated", r#"{"total":7}"#)
        .with_event_version(3)
        .with_trace_id("trace")
        .with_correlation_id("correlation");
    let stored = bus.publish("order.created", &event).unwrap().wait().unwrap();
    assert_eq!((stored.sequence, stored.duplicate), (1, false));
    assert_eq!(events.recv_timeout(DEADLINE).unwrap(), event);
    let again = bus.publish("order.created", &event).unwrap().wait().unwrap();
    assert_eq!((again.sequence, again.duplicate), (1, true), "the event id is the message id");
    bus.close(DEADLINE).unwrap();
    assert!(events.try_recv().is_err());
}

pub(crate) fn two_handlers_on_one_consumer_are_chosen_by_the_subject_of_the_message(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let note = |who: &'static str| {
        let seen = seen.clone();
        move |event: &Envelope| seen.send((who, text(event))).unwrap()
    };
    let subscription = bus
        .subscribe("billing")
        .on("order.created", note("created"))
        .on("order.*.paid", note("paid"))
        .start()
        .unwrap();
    publish(&bus, "order.created", "a", ["1".to_string()]);
    publish(&bus, "order.shipped", "a", ["2".to_string()]);
    publish(&bus, "order.eu.paid", "a", ["3".to_string()]);
    publish(&bus, "order.created", "a", ["4".to_string()]);
    let received: Vec<_> = (0..3).map(|_| events.recv_timeout(DEADLINE).unwrap()).collect();
    let expected = [("created", "1"), ("paid", "3"), ("created", "4")];
    assert_eq!(received, expected.map(|(who, what)| (who, what.to_string())));
    let consumer = bus.jetstream().consumer_info("order_ALL", "billing").wait().unwrap();
    assert_eq!(consumer.config.filter_subjects, ["order.created", "order.*.paid"]);
    eventually("all are settled", || (unsettled(&bus, "billing") == 0).then_some(()));
    assert_eq!(subscription.counts().handled, 3);
    assert!(events.try_recv().is_err(), "what nobody asked for is not delivered");
}

/// 1000 aggregates with 200 events each, handlers that take their time at random, four lanes: not one inversion.
pub(crate) fn events_of_one_aggregate_are_handled_in_order(place: Place) {
    const KEYS: u64 = 1000;
    const EVENTS: u64 = 200;
    let (_server, bus) = with_topic_at(place);
    let last: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let inversions = Arc::new(AtomicU64::new(0));
    let busy: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let handler = {
        let (last, inversions, busy) =
            (Arc::clone(&last), Arc::clone(&inversions), Arc::clone(&busy));
        move |event: &Envelope| {
            let key: usize = event.aggregate_id().parse().unwrap();
            assert_eq!(busy[key].fetch_add(1, Relaxed), 0, "one at a time an aggregate");
            let counter: u64 = text(event).parse().unwrap();
            // Mostly nothing, sometimes much: so lanes run far apart.
            match fastrand::u32(0..1000) {
                0 => std::thread::park_timeout(Duration::from_micros(fastrand::u64(0..2000))),
                1..100 => (0..fastrand::u32(0..1000)).for_each(|_| std::hint::spin_loop()),
                _ => {}
            }
            if last[key].swap(counter, Relaxed) + 1 != counter {
                inversions.fetch_add(1, Relaxed);
            }
            busy[key].fetch_sub(1, Relaxed);
        }
    };
    let subscription =
        bus.subscribe("order").lanes(lanes(4)).on("order.counted", handler).start().unwrap();
    let mut tickets = Vec::new();
    for counter in 1..=EVENTS {
        for key in 0..KEYS {
            let event = Envelope::new(key.to_string(), "Counted", counter.to_string());
            tickets.push(bus.publish("order.counted", event).unwrap());
            if tickets.len() == 10_000 {
                tickets.drain(..).for_each(|ticket| assert!(ticket.wait().is_ok()));
            }
        }
    }
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
    eventually("all are handled", || {
        (subscription.counts().handled == KEYS * EVENTS).then_some(())
    });
    assert_eq!(inversions.load(Relaxed), 0);
    assert!(last.iter().all(|last| last.load(Relaxed) == EVENTS));
    let counts = subscription.counts();
    assert_eq!((counts.retried, counts.panics, counts.rejected), (0, 0, 0));
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn a_failing_event_holds_up_its_own_aggregate_only(place: Place) {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let (_server, bus) = with_topic_at(place);
        let (seen, events) = mpsc::channel();
        let healed = Arc::new(AtomicU64::new(0));
        let handler = {
            let healed = Arc::clone(&healed);
            move |event: &Envelope| {
                if text(event) == "bad" && healed.load(Relaxed) == 0 {
                    return Err("not yet");
                }
                seen.send((event.aggregate_id().to_string(), text(event))).unwrap();
                Ok(())
            }
        };
        let subscription = bus
            .subscribe("c")
            .settlement(settlement)
            .lanes(lanes(1))
            .retry(Duration::from_millis(1), Duration::from_millis(5))
            .on("order.x", handler)
            .start()
            .unwrap();
        publish(&bus, "order.x", "sick", ["bad".into(), "next".into()]);
        publish(&bus, "order.x", "well", (0..100).map(|n| n.to_string()));
        for n in 0..100 {
            let (aggregate, payload) = events.recv_timeout(DEADLINE).unwrap();
            assert_eq!((aggregate.as_str(), payload), ("well", n.to_string()));
        }
        eventually("it is tried again and again", || {
            (subscription.counts().retried > 5).then_some(())
        });
        assert_eq!(subscription.last_error().unwrap(), "not yet");
        healed.store(1, Relaxed);
        for payload in ["bad", "next"] {
            assert_eq!(events.recv_timeout(DEADLINE).unwrap(), ("sick".into(), payload.into()));
        }
        eventually("all are settled", || (unsettled(&bus, "c") == 0).then_some(()));
    }
}

pub(crate) fn a_panicking_handler_is_tried_again_and_takes_nothing_with_it(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let attempts = AtomicU64::new(0);
    let handler = move |event: &Envelope| {
        if text(event) == "2" && attempts.fetch_add(1, Relaxed) == 0 {
            panic!("as if by accident");
        }
        seen.send(text(event)).unwrap();
    };
    let pace = Duration::from_millis(1);
    let subscription = bus.subscribe("p").retry(pace, pace).on("order.x", handler).start().unwrap();
    publish(&bus, "order.x", "a", (1..=3).map(|n| n.to_string()));
    for n in 1..=3 {
        assert_eq!(events.recv_timeout(DEADLINE).unwrap(), n.to_string());
    }
    assert_eq!(subscription.counts().panics, 1);
    assert!(subscription.last_error().unwrap().contains("as if by accident"));
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn what_can_never_be_handled_is_given_up_and_said(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let mut advisories =
        bus.client().subscribe("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.order_ALL.r").unwrap();
    let reject = |_: &Envelope| Verdict::Reject { reason: "no such\r\norder".into() };
    let subscription = bus.subscribe("r").on("order.x", reject).start().unwrap();
    publish(&bus, "order.x", "a", ["1".into()]);
    // Not an envelope at all.
    bus.publish_raw("order.x", "raw").unwrap().wait().unwrap();
    // The two have different keys, and so no order between them.
    let told: Vec<_> = (0..2)
        .map(|_| {
            let advisory = advisories.next_timeout(DEADLINE).expect("the server tells of it");
            String::from_utf8_lossy(advisory.payload()).into_owned()
        })
        .collect();
    for reason in ["no such  order", "the message is no envelope in any form that is known"] {
        assert!(told.iter().any(|advisory| advisory.contains(reason)), "{reason}: {told:?}");
    }
    eventually("both are settled", || (unsettled(&bus, "r") == 0).then_some(()));
    assert_eq!(subscription.counts().rejected, 2);
}

pub(crate) fn raw_messages_are_in_order_by_what_is_asked_for(place: Place) {
    let (_server, bus) = with_topic_at(place);
    for n in 0..3000 {
        bus.publish_raw(format!("order.{}.{}", n % 7, n % 2), "x").unwrap().wait().unwrap();
    }
    type Key = fn(&[u8]) -> &[u8];
    let token: Key = |subject| subject.split(|&byte| byte == b'.').nth(1).unwrap();
    for (name, order, key, keys) in [
        ("subject", OrderBy::Subject, (|subject| subject) as Key, 14),
        ("token", OrderBy::Token(1), token, 7),
    ] {
        let seen: Arc<Mutex<HashMap<Vec<u8>, Vec<u64>>>> = Arc::default();
        let handler = {
            let seen = Arc::clone(&seen);
            move |event: &jetlane::RawEvent<'_>| {
                assert_eq!((event.delivered(), event.payload()), (1, &b"x"[..]));
                let mut seen = seen.lock().unwrap();
                seen.entry(key(event.subject()).to_vec()).or_default().push(event.sequence());
            }
        };
        let subscribe = bus.subscribe(name).lanes(lanes(3)).order_by(order);
        let subscription = subscribe.on_raw("order.>", handler).start().unwrap();
        eventually("all are handled", || (subscription.counts().handled == 3000).then_some(()));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), keys, "{name}");
        assert!(seen.values().all(|sequences| sequences.is_sorted()), "{name}");
    }
}

/// What has no key goes round the lanes: three events are at work at once, whatever their subject.
pub(crate) fn events_without_a_key_are_handled_side_by_side(place: Place) {
    for order in [OrderBy::Aggregate, OrderBy::Token(9), OrderBy::Nothing] {
        let (_server, bus) = with_topic_at(place);
        let together = Arc::new(std::sync::Barrier::new(3));
        let handler = move |_: &jetlane::RawEvent<'_>| {
            together.wait();
        };
        let subscribe = bus.subscribe("loose").lanes(lanes(3)).order_by(order);
        let subscription = subscribe.on_raw("order.>", handler).start().unwrap();
        for _ in 0..9 {
            bus.publish_raw("order.x", "x").unwrap().wait().unwrap();
        }
        eventually("all are handled", || (subscription.counts().handled == 9).then_some(()));
    }
}

/// Several handlers by type and one for the rest, on one topic; what is nobody's is done.
pub(crate) fn an_event_goes_to_the_handler_of_its_type(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let note = |who: &'static str| {
        let seen = seen.clone();
        move |event: &Envelope| seen.send((who, event.event_type().to_string())).unwrap()
    };
    let typed = |name| bus.subscribe(name).on_type("order.*", "Paid", note("paid"));
    let with_rest = typed("rest")
        .on_type("order.*", "Shipped", note("shipped"))
        .on("order.*", note("rest"))
        .start()
        .unwrap();
    for kind in ["Paid", "Shipped", "Lost", "Paid"] {
        let event = Envelope::new("a", kind, "");
        bus.publish("order.x", event).unwrap().wait().unwrap();
    }
    let all: Vec<_> = (0..4).map(|_| events.recv_timeout(DEADLINE).unwrap()).collect();
    let expected = [("paid", "Paid"), ("shipped", "Shipped"), ("rest", "Lost"), ("paid", "Paid")];
    assert_eq!(all, expected.map(|(who, kind)| (who, kind.to_string())));
    with_rest.stop(DEADLINE).unwrap();
    let only = typed("only").start().unwrap();
    eventually("all are done", || (unsettled(&bus, "only") == 0).then_some(()));
    let counts = only.counts();
    assert_eq!((counts.handled, counts.passed_over, counts.rejected), (2, 2, 0));
    assert_eq!(events.try_iter().count(), 2);
}

pub(crate) fn what_runs_around_handlers_sees_the_event_and_the_verdict(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let note = {
        let seen = seen.clone();
        move |what: String| seen.send(what).unwrap()
    };
    let inner = note.clone();
    let outer = note.clone();
    let subscription = bus
        .subscribe("s")
        .around(move |event, next| {
            outer(format!("in {}", text(event)));
            let verdict = next.run();
            outer(format!("out {verdict:?}"));
            verdict
        })
        .around(move |event, next| match &event.payload()[..] {
            b"kept" => Verdict::Done,
            _ => {
                let other = Envelope::new("a", "Other", format!("{}!", text(event)));
                inner("between".into());
                next.run_on(&other)
            }
        })
        .on("order.*", move |event: &Envelope| note(text(event)))
        .start()
        .unwrap();
    publish(&bus, "order.x", "a", ["1".to_string(), "kept".to_string()]);
    eventually("both are handled", || (subscription.counts().handled == 2).then_some(()));
    let all: Vec<_> = events.try_iter().collect();
    assert_eq!(all, ["in 1", "between", "1!", "out Done", "in kept", "out Done"]);
}

/// Where a new subscription begins, on four events of two subjects.
pub(crate) fn a_new_subscription_begins_where_it_is_told(place: Place) {
    let (_server, bus) = with_topic_at(place);
    publish(&bus, "order.x", "a", ["1".to_string(), "2".to_string()]);
    publish(&bus, "order.y", "a", ["3".to_string()]);
    let third = bus.jetstream().get_message("order_ALL", jetlane::jetstream::Get::Sequence(3));
    let time = third.wait().unwrap().time;
    for (name, start, expected) in [
        ("all", StartAt::All, &["1", "2", "3", "4"][..]),
        ("new", StartAt::New, &["4"]),
        ("last", StartAt::LastPerSubject, &["2", "3", "4"]),
        ("time", StartAt::Time(time), &["3", "4"]),
        ("sequence", StartAt::Sequence(2), &["2", "3", "4"]),
        ("zero", StartAt::Sequence(0), &["1", "2", "3", "4"]),
    ] {
        let (seen, events) = mpsc::channel();
        let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
        bus.subscribe(name).start_at(start).on("order.*", handler).start().unwrap();
        let purge = jetlane::jetstream::Purge::all().subject("order.z");
        bus.jetstream().purge_stream("order_ALL", &purge).wait().unwrap();
        publish(&bus, "order.z", "a", ["4".to_string()]);
        for payload in expected {
            assert_eq!(events.recv_timeout(DEADLINE).unwrap(), *payload, "{name}");
        }
    }
}

pub(crate) fn an_event_is_acknowledged_while_the_next_one_is_handled(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let handler = move |event: &Envelope| {
        if text(event) == "2" {
            let _ = gate.lock().unwrap().recv();
        }
    };
    publish(&bus, "order.x", "a", (1..=2).map(|n| n.to_string()));
    bus.subscribe("c").lanes(lanes(1)).on("order.x", handler).start().unwrap();
    eventually("the first is settled, the second is not", || {
        let info = bus.jetstream().consumer_info("order_ALL", "c").wait().unwrap();
        (info.ack_floor.stream_seq == 1 && info.num_ack_pending == 1).then_some(())
    });
    drop(go);
    eventually("both are settled", || (unsettled(&bus, "c") == 0).then_some(()));
    bus.close(DEADLINE).unwrap();
}

/// The window is smaller than what a lane finishes before it gives back the room for it.
pub(crate) fn a_small_window_leaves_out_nothing(place: Place) {
    const EVENTS: u64 = 3000;
    let server = place.start();
    let limits = Limits { consumer_messages: 10, ..Limits::default() };
    let options = ConnectOptions::new().limits(limits);
    let bus = EventBus::connect_with(&server.url(), options).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    publish(&bus, "order.x", "a", (1..=EVENTS).map(|n| n.to_string()));
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| {
        // Busy, so that the lane never sleeps.
        std::thread::park_timeout(Duration::from_micros(100));
        seen.send(text(event).parse::<u64>().unwrap()).unwrap();
    };
    bus.subscribe("w").lanes(lanes(1)).on("order.x", handler).start().unwrap();
    for n in 1..=EVENTS {
        assert_eq!(events.recv_timeout(DEADLINE), Ok(n));
    }
    eventually("all are settled", || (unsettled(&bus, "w") == 0).then_some(()));
    assert_eq!(bus.close(DEADLINE), Ok(()));
}

pub(crate) fn close_handles_and_settles_what_is_in_flight(place: Place) {
    let (server, bus) = with_topic_at(place);
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let handler = move |event: &Envelope| {
        if text(event) == "0" {
            gate.lock().unwrap().recv().unwrap();
        }
    };
    let subscription = bus.subscribe("c").lanes(lanes(1)).on("order.x", handler).start().unwrap();
    publish(&bus, "order.x", "a", (0..50).map(|n| n.to_string()));
    let watcher = EventBus::connect(&server.url()).unwrap();
    let info = || watcher.jetstream().consumer_info("order_ALL", "c").wait().unwrap();
    eventually("all are delivered, and more is asked for", || {
        let info = info();
        (info.num_ack_pending == 50 && info.num_waiting > 0).then_some(())
    });
    let closing = {
        let bus = bus.clone();
        std::thread::spawn(move || bus.close(DEADLINE))
    };
    eventually("closing has begun", || (info().num_waiting == 0).then_some(()));
    assert_eq!((subscription.counts().handled, info().num_ack_pending), (0, 50));
    go.send(()).unwrap();
    assert_eq!(closing.join().unwrap(), Ok(()));
    assert_eq!(subscription.counts().handled, 50);
    let publishing = bus.publish("order.x", Envelope::new("a", "t", ""));
    assert!(matches!(publishing, Err(PublishError::JetStream(_))), "closed");
    assert_eq!(bus.close(DEADLINE), Ok(()), "closed already");

    // The server has all acks by now, but applies them on a thread of its own.
    eventually("all are settled", || {
        let info = info();
        (info.ack_floor.stream_seq == 50 && info.num_ack_pending == 0).then_some(())
    });
}

pub(crate) fn a_close_that_runs_out_of_time_says_what_it_left(place: Place) {
    let (server, bus) = with_topic_at(place);
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let handler = move |event: &Envelope| {
        if text(event) != "swift" {
            let _ = gate.lock().unwrap().recv();
        }
    };
    let subscription = bus.subscribe("c").lanes(lanes(1)).on("order.x", handler).start().unwrap();
    publish(&bus, "order.x", "a", ["swift".to_string()]);
    eventually("the first is handled", || (subscription.counts().handled == 1).then_some(()));
    publish(&bus, "order.x", "a", (0..5).map(|n| n.to_string()));
    await_delivered(&bus, "c", 5);
    let started = Instant::now();
    let Err(CloseError { returned, stuck, unacknowledged, unwritten, .. }) =
        bus.close(Duration::from_millis(300))
    else {
        panic!("a handler was stuck")
    };
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!((returned, stuck, unacknowledged, unwritten), (4, 1, 0, 0));

    // All come to the next at once and in order, while the handler is still stuck.
    let bus = EventBus::connect(&server.url()).unwrap();
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
    bus.subscribe("c").on("order.x", handler).start().unwrap();
    let received: Vec<_> =
        (0..5).map(|_| events.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
    assert_eq!(received, ["0", "1", "2", "3", "4"]);
    drop(go);
    bus.close(DEADLINE).unwrap();
    assert!(events.try_recv().is_err(), "each once");
}

/// A lane that has put an event off begins others, and the one put off is still given back.
pub(crate) fn what_waits_for_a_retry_is_given_back_in_order_too(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let never = Duration::from_secs(600);
    let fail = |_: &Envelope| Err::<(), _>("not now");
    let subscribe = || bus.subscribe("r").lanes(lanes(1)).retry(never, never);
    let subscription = subscribe().on("order.x", fail).start().unwrap();
    publish(&bus, "order.x", "a", (0..3).map(|n| n.to_string()));
    publish(&bus, "order.x", "b", (3..5).map(|n| n.to_string()));
    await_delivered(&bus, "r", 5);
    eventually("both aggregates were tried", || (subscription.counts().retried == 2).then_some(()));
    let undone = subscription.stop(Duration::from_millis(100)).unwrap_err();
    assert_eq!((undone.returned, undone.stuck), (5, 0));
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
    subscribe().on("order.x", handler).start().unwrap();
    for n in 0..5 {
        assert_eq!(events.recv_timeout(DEADLINE).unwrap(), n.to_string());
    }
    bus.close(DEADLINE).unwrap();
    assert!(events.try_recv().is_err(), "each once");
}

#[test]
fn a_close_without_the_servers_word_says_so() {
    let (server, bus) = with_topic();
    let subscription = bus.subscribe("c").on("order.x", |_: &Envelope| {}).start().unwrap();
    publish(&bus, "order.x", "a", (0..5).map(|n| n.to_string()));
    eventually("all are handled", || (subscription.counts().handled == 5).then_some(()));
    server.pause();
    let closed = bus.close(Duration::from_millis(300)).unwrap_err();
    assert!(closed.unconfirmed, "{closed}");
    assert!(closed.to_string().contains("did not confirm"), "{closed}");
    assert_eq!((closed.returned, closed.stuck), (0, 0));
    server.resume();
}

pub(crate) fn a_subscription_does_not_keep_its_bus_alive(place: Place) {
    let (server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
    let subscription = bus.subscribe("d").on("order.x", handler).start().unwrap();
    publish(&bus, "order.x", "a", ["1".into()]);
    assert_eq!(events.recv_timeout(DEADLINE).unwrap(), "1");
    drop(bus);
    // The handler, and so the sender in it, goes with the lanes.
    assert_eq!(events.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(subscription.counts().handled, 1);
    assert_eq!(subscription.stop(DEADLINE), Ok(()));
    let bus = EventBus::connect(&server.url()).unwrap();
    eventually("its pulls are gone", || {
        let info = bus.jetstream().consumer_info("order_ALL", "d").wait().unwrap();
        (info.num_waiting == 0).then_some(())
    });
}

pub(crate) fn a_stopped_subscription_goes_on_where_it_was(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let subscribe = || {
        let seen = seen.clone();
        let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
        bus.subscribe("s").on("order.x", handler).start().unwrap()
    };
    let mut expected = 0;
    for round in 0..3 {
        let subscription = subscribe();
        publish(&bus, "order.x", "a", (round * 100..(round + 1) * 100).map(|n| n.to_string()));
        for _ in 0..100 {
            assert_eq!(events.recv_timeout(DEADLINE).unwrap(), expected.to_string());
            expected += 1;
        }
        subscription.stop(DEADLINE).unwrap();
        subscription.stop(DEADLINE).unwrap();
    }
    assert!(events.try_recv().is_err());
}

#[test]
fn handling_goes_on_in_order_after_the_server_was_killed() {
    let (mut server, bus) = with_topic();
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(text(event).parse::<u64>().unwrap()).unwrap();
    // Acks that the kill took with it hold up what is new for as long.
    let ack_wait = Duration::from_secs(1);
    let subscribe = bus.subscribe("k").ack_wait(ack_wait).lanes(lanes(2));
    subscribe.on("order.x", handler).start().unwrap();
    let mut last = 0;
    for round in 1..=3u64 {
        publish(&bus, "order.x", "a", ((round - 1) * 500 + 1..=round * 500).map(|n| n.to_string()));
        while last < round * 500 {
            let n = events.recv_timeout(DEADLINE).unwrap();
            // At least once: what was acknowledged right before the kill may come again, but nothing is left out.
            assert!(n <= last + 1, "{n} after {last}");
            last = last.max(n);
        }
        server.kill();
        server.restart().unwrap();
        eventually("the connection is back", || {
            (bus.client().stats().reconnects >= round).then_some(())
        });
    }
}

/// The first process dies with events that it has not handled; the next is there long before the server gives them up.
pub(crate) fn the_events_of_a_dead_process_come_before_newer_ones(place: Place) {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let (server, first) = with_topic_at(place);
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let subscribe = |bus: &EventBus| {
            bus.subscribe("d").settlement(settlement).ack_wait(Duration::from_secs(2))
        };
        let stuck = move |_: &Envelope| {
            let _ = gate.lock().unwrap().recv();
        };
        subscribe(&first).on("order.x", stuck).start().unwrap();
        publish(&first, "order.x", "a", (1..=10).map(|n| n.to_string()));
        await_delivered(&first, "d", 10);
        let _ = first.client().close(Duration::ZERO);

        let second = EventBus::connect(&server.url()).unwrap();
        let (seen, events) = mpsc::channel();
        let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
        subscribe(&second).on("order.x", handler).start().unwrap();
        publish(&second, "order.x", "a", ["11".to_string()]);
        for n in 1..=11 {
            assert_eq!(events.recv_timeout(DEADLINE).unwrap(), n.to_string(), "{settlement:?}");
        }
        eventually("all are settled", || (unsettled(&second, "d") == 0).then_some(()));
        second.close(DEADLINE).unwrap();
        drop(go);
    }
}

/// What one process holds keeps another from nothing if they share the name.
pub(crate) fn processes_that_share_a_name_do_not_wait_for_each_other(place: Place) {
    let (server, first) = with_topic_at(place);
    let second = EventBus::connect(&server.url()).unwrap();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let subscribe = |bus: &EventBus| {
        let subscribe = bus.subscribe("s").shared().lanes(lanes(1));
        subscribe.ack_wait(Duration::from_secs(600))
    };
    let stuck = move |_: &Envelope| {
        let _ = gate.lock().unwrap().recv();
    };
    let stuck = subscribe(&first).on("order.x", stuck).start().unwrap();
    publish(&first, "order.x", "a", ["0".to_string()]);
    await_delivered(&first, "s", 1);
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
    let other = subscribe(&second).on("order.x", handler).start().unwrap();
    publish(&first, "order.x", "a", (1..=100).map(|n| n.to_string()));
    events.recv_timeout(DEADLINE).unwrap();
    drop(go);
    eventually("all are handled, once", || {
        let handled = stuck.counts().handled + other.counts().handled;
        (handled == 101 && unsettled(&first, "s") == 0).then_some(())
    });
    first.close(DEADLINE).unwrap();
    second.close(DEADLINE).unwrap();
}

pub(crate) fn topics_are_ensured_as_the_strategy_says(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let topic = || bus.topic("order.>").retain(Duration::from_secs(60));
    let kept = topic().ensure(Strategy::CreateOnly).unwrap();
    assert_eq!(kept.plan.unwrap().changes[0].setting, "max_age", "it is told");
    assert_eq!(kept.info.unwrap().config.max_age, Duration::ZERO, "what is there stays as it is");
    let changed = topic().max_events(1000).ensure(Strategy::CreateOrUpdate).unwrap();
    let changed = changed.info.unwrap();
    assert_eq!(
        (changed.config.max_age, changed.config.max_msgs),
        (Duration::from_secs(60), Some(1000))
    );
    let shared = bus.topic("payment.*").stream("order_ALL");
    let error = shared.ensure(Strategy::CreateOnly).unwrap_err();
    assert!(matches!(error, TopicError::NotStored { .. }), "{error}");
    let shared = bus.topic("payment.*").stream("order_ALL");
    let both = shared.ensure(Strategy::CreateOrUpdate).unwrap().info.unwrap();
    assert_eq!(both.config.subjects, ["order.>", "payment.*"]);
    bus.topic("order.created").stream("order_ALL").ensure(Strategy::CreateOnly).unwrap();
    let bad = bus.topic("order..x").ensure(Strategy::CreateOnly).unwrap_err();
    assert!(matches!(bad, TopicError::Subject(_)), "{bad}");
}

pub(crate) fn a_plan_says_what_would_change_and_what_would_be_lost_before_anything_is_done(
    place: Place,
) {
    let (_server, bus) = with_topic_at(place);
    let names = |bus: &EventBus| {
        bus.jetstream().stream_names("other").wait().unwrap().streams.unwrap_or_default()
    };
    let new = bus.topic("other").max_events(10).plan().unwrap();
    assert_eq!((new.step, names(&bus).len()), (Step::Create, 0), "{new}");

    publish(&bus, "order.x", "a", (0..20).map(|n| n.to_string()));
    let stored = || bus.jetstream().stream_info("order_ALL").wait().unwrap().state.messages;
    let small = || bus.topic("order.>").max_events(15);
    let plan = small().plan().unwrap();
    assert_eq!((plan.step, stored()), (Step::Update, 20));
    assert_eq!(plan.losses().map(|change| change.setting).collect::<Vec<_>>(), ["max_msgs"]);
    let text = plan.to_string();
    assert!(text.contains("max_msgs: unlimited → 15 (deletes 5 of 20 events)"), "{text}");
    let error = small().ensure(Strategy::CreateOrUpdate).unwrap_err();
    assert!(matches!(&error, TopicError::Lossy { plan: refused } if **refused == plan), "{error}");
    assert_eq!(stored(), 20, "nothing was deleted");
    let done = small().allow_loss().ensure(Strategy::CreateOrUpdate).unwrap();
    assert_eq!((done.plan, stored()), (Some(plan), 15));
    let after = small().plan().unwrap();
    assert_eq!(after.step, Step::Keep);
    assert!(after.warnings[0].contains("15 of at most 15 events"), "{after}");
}

/// Handles nothing of 20 events, then lets limits delete some of them.
pub(crate) fn a_plan_warns_of_subscriptions_whose_events_are_deleted(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let consumer = ConsumerConfig::durable("slow").filter("order.>");
    bus.jetstream().create_consumer("order_ALL", &consumer).wait().unwrap();
    publish(&bus, "order.x", "a", (0..20).map(|n| n.to_string()));
    let warnings = |most| bus.topic("order.>").max_events(most).plan().unwrap().warnings;
    assert!(!warnings(41).iter().any(|warning| warning.contains("slow")), "{:?}", warnings(41));
    for most in [40, 21, 15] {
        let warned = format!("slow has 20 events to handle, and the stream keeps at most {most}");
        let warnings = warnings(most);
        assert!(warnings.iter().any(|warning| warning.starts_with(&warned)), "{warnings:?}");
    }
    let info = bus.jetstream().consumer_info("order_ALL", "slow").wait().unwrap();
    let mut messages = bus.jetstream().consume(&info).window(2).queued().unwrap();
    (0..2).for_each(|_| messages.next_timeout(DEADLINE).unwrap().ack());
    eventually("two are handled", || {
        let info = bus.jetstream().consumer_info("order_ALL", "slow").wait().unwrap();
        (info.ack_floor.stream_seq == 2).then_some(())
    });
    drop(messages);
    let small = bus.topic("order.>").max_events(5).allow_loss();
    small.ensure(Strategy::CreateOrUpdate).unwrap();
    let after = warnings(5);
    let missed = |warning: &String| warning.contains("events were deleted before slow got them");
    assert!(after.iter().any(missed), "{after:?}");
    // By age: a tenth of a second is long over.
    let by_age = bus.topic("order.>").retain(Duration::from_millis(200)).plan().unwrap();
    let old = |warning: &String| warning.starts_with("the oldest event that slow has to handle is");
    eventually("it is old", || by_age_warned(&bus, old).then_some(()));
    assert_eq!(by_age.step, Step::Update);
}

fn by_age_warned(bus: &EventBus, warned: impl Fn(&String) -> bool) -> bool {
    let plan = bus.topic("order.>").retain(Duration::from_millis(200)).plan().unwrap();
    plan.warnings.iter().any(warned)
}

pub(crate) fn a_batch_is_stored_in_order_and_up_to_what_is_wrong(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let event = |n: usize| Envelope::new("a", "Tested", n.to_string());
    let tickets = bus.publish_batch("order.x", (0..100).map(event)).unwrap();
    let stored = tickets.into_iter().map(|ticket| ticket.wait().unwrap().sequence);
    assert_eq!(stored.collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    let events = [event(100), Envelope::new("", "Tested", ""), event(101)];
    let error = bus.publish_batch("order.x", &events).unwrap_err();
    assert!(error.to_string().starts_with("event 1 of the batch was not queued"), "{error}");
    assert!(matches!(error.error, PublishError::Envelope(_)));
    let first = error.tickets.into_iter().map(|ticket| ticket.wait().unwrap().sequence);
    assert_eq!(first.collect::<Vec<_>>(), [101]);
    assert_eq!(bus.publish("order.x", event(102)).unwrap().wait().unwrap().sequence, 102);
}

#[test]
fn handlers_may_be_futures_that_wait_for_others() {
    let (_server, bus) = with_topic();
    bus.topic("done.>").ensure(Strategy::CreateOnly).unwrap();
    let (inner, first) = (bus.clone(), AtomicU64::new(0));
    let first = Arc::new(first);
    let subscription = bus
        .subscribe("s")
        .retry(Duration::from_millis(1), Duration::from_millis(1))
        .on_async("order.*", move |event| {
            let (bus, first) = (inner.clone(), Arc::clone(&first));
            async move {
                if event.payload() == "twice" && first.fetch_add(1, Relaxed) == 0 {
                    return Err("not yet".to_string());
                }
                // A future of ours, which another thread wakes.
                let ticket = bus.publish("done.x", &event).map_err(|error| error.to_string())?;
                ticket.await.map(drop).map_err(|error| error.to_string())
            }
        })
        .start()
        .unwrap();
    publish(&bus, "order.x", "a", ["once", "twice", "thrice"].map(String::from));
    eventually("all are handled", || (subscription.counts().handled == 3).then_some(()));
    assert_eq!(subscription.counts().retried, 1);
    let stored = bus.jetstream().stream_info("done_ALL").wait().unwrap().state.messages;
    assert_eq!(stored, 3);
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn a_stream_that_others_make_is_checked_or_trusted(place: Place) {
    let (_server, bus) = with_topic_at(place);
    let check = |topic: Topic<'_>| topic.ensure(Strategy::ValidateOnly);
    assert_eq!(check(bus.topic("order.>")).unwrap().plan.unwrap().step, Step::Keep);
    let error = check(bus.topic("order.>").replicas(3)).unwrap_err();
    assert!(matches!(error, TopicError::Differs { .. }), "{error}");
    assert!(error.to_string().contains("num_replicas: 1 → 3"), "{error}");
    let error = check(bus.topic("pay").stream("order_ALL")).unwrap_err();
    assert!(error.to_string().contains("subjects: order.> → order.> pay"), "{error}");
    let error = check(bus.topic("nowhere")).unwrap_err();
    assert!(matches!(error, TopicError::NoStream { .. }), "{error}");

    let calls = bus.client().stats().messages_out;
    let trusted = bus.topic("order.>").ensure(Strategy::Skip).unwrap();
    assert_eq!((trusted.plan, trusted.info), (None, None));
    assert_eq!(bus.client().stats().messages_out, calls, "nothing was asked");
    let (told, handled) = mpsc::channel();
    let handler = move |event: &Envelope| told.send(event.payload().clone()).unwrap();
    bus.subscribe("s").on("order.x", handler).start().unwrap();
    publish(&bus, "order.x", "a", ["1".to_string()]);
    assert_eq!(handled.recv_timeout(DEADLINE).unwrap(), "1");
    let bad = bus.topic("a").stream("no name").ensure(Strategy::Skip).unwrap_err();
    assert!(matches!(bad, TopicError::Api(_)), "{bad}");
}

pub(crate) fn each_way_not_to_subscribe_or_publish_has_its_own_error(place: Place) {
    let (_server, bus) = with_topic_at(place);
    bus.topic("audit").ensure(Strategy::CreateOnly).unwrap();
    let nothing = |_: &Envelope| {};
    let start = |topics: &[&str], name: &str| {
        let subscribe = topics.iter().fold(bus.subscribe(name), |s, topic| s.on(topic, nothing));
        subscribe.start().unwrap_err()
    };
    assert!(matches!(start(&[], "s"), SubscribeError::NoHandler));
    assert!(matches!(start(&["order.x"], "a.b"), SubscribeError::Name(_)));
    assert!(matches!(start(&["order..x"], "s"), SubscribeError::Topic { .. }));
    assert!(matches!(start(&[">"], "s"), SubscribeError::SeveralStreams { .. }));
    let marks = bus.subscribe("s").shared().settlement(Settlement::Watermark);
    let shared = marks.on("order.x", nothing).start().unwrap_err();
    assert!(matches!(shared, SubscribeError::SharedWatermark), "{shared}");
    let no_stream = start(&["nowhere.x"], "s");
    assert!(no_stream.to_string().contains("ensure the topic first"), "{no_stream}");
    assert!(matches!(start(&["order.x", "audit"], "s"), SubscribeError::SeveralStreams { .. }));
    bus.topic("refund").ensure(Strategy::CreateOnly).unwrap();
    bus.jetstream().delete_stream("refund").wait().unwrap();
    assert!(matches!(start(&["refund"], "s"), SubscribeError::Api(_)), "its stream is gone");

    let nameless = bus.publish("order.x", Envelope::new("", "t", "")).unwrap_err();
    let missing = EnvelopeError::Missing { field: "X-Aggregate-ID" };
    assert_eq!(nameless, PublishError::Envelope(missing));
    for (topic, payload) in [("order.*", 1), ("order.x", 1 << 20)] {
        let refused = bus.publish(topic, Envelope::new("a", "t", vec![0; payload])).unwrap_err();
        assert!(matches!(refused, PublishError::JetStream(_)), "{refused}");
    }
    let nowhere = bus.publish("nowhere", Envelope::new("a", "t", "")).unwrap().wait().unwrap_err();
    assert!(nowhere.to_string().contains("create a stream"), "{nowhere}");
}

pub(crate) fn an_update_changes_nothing_but_what_is_declared(place: Place) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    let first = bus
        .topic("pay.>")
        .storage(Storage::Memory)
        .retain(Duration::from_secs(60))
        .max_events(1000)
        .max_bytes(1 << 20)
        .discard(Discard::New)
        .duplicate_window(Duration::from_secs(30))
        .ensure(Strategy::CreateOnly)
        .unwrap()
        .info
        .unwrap();
    let topic = bus.topic("refund.*").stream("pay_ALL");
    let second = topic.ensure(Strategy::CreateOrUpdate).unwrap().info.unwrap();
    let mut expected = first.config.clone();
    expected.subjects.push("refund.*".into());
    assert_eq!(second.config, expected);
    let narrow = bus.topic("pay.x").stream("pay_ALL").max_events(10);
    let third = narrow.ensure(Strategy::CreateOrUpdate).unwrap().info.unwrap();
    expected.max_msgs = Some(10);
    assert_eq!(third.config, expected);
    // The server refuses to remember ids for longer than it keeps their events.
    let short = bus.topic("pay.>").retain(Duration::from_secs(10));
    let fourth = short.ensure(Strategy::CreateOrUpdate).unwrap().info.unwrap();
    assert_eq!(fourth.config.duplicate_window, Duration::from_secs(10));
}

pub(crate) fn a_consumer_that_is_there_goes_on_where_it_is(place: Place) {
    let (_server, bus) = with_topic_at(place);
    publish(&bus, "order.x", "a", (1..=3).map(|n| n.to_string()));
    let mut config = ConsumerConfig::durable("k")
        .filter("order.x")
        .deliver_from_sequence(2)
        .max_deliver(7)
        .description("made by the operator");
    config.other.insert("sample_freq".into(), "50".into());
    bus.jetstream().create_consumer("order_ALL", &config).wait().unwrap();
    let (seen, events) = mpsc::channel();
    for (start, expected) in [(StartAt::All, 2..4), (StartAt::New, 4..5)] {
        let seen = seen.clone();
        let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
        let subscribe = bus.subscribe("k").start_at(start).ack_wait(Duration::from_secs(7));
        let subscription = subscribe.on("order.*", handler).start().unwrap();
        for n in expected {
            assert_eq!(events.recv_timeout(DEADLINE).unwrap(), n.to_string());
        }
        subscription.stop(DEADLINE).unwrap();
        // While nobody is there; `StartAt::New` would leave it out.
        publish(&bus, "order.x", "a", ["4".to_string()]);
    }
    let now = bus.jetstream().consumer_info("order_ALL", "k").wait().unwrap().config;
    let kept = (now.deliver_policy, now.max_deliver, now.opt_start_seq);
    assert_eq!(kept, (DeliverPolicy::ByStartSequence, Some(7), 2));
    assert_eq!(now.description, "made by the operator");
    assert_eq!(now.other["sample_freq"], "50");
    assert_eq!(
        (now.ack_wait, now.filter_subjects),
        (Duration::from_secs(7), vec!["order.*".into()])
    );
}

/// One aggregate, published in all forms in turn, and by somebody who knows no headers: handled in order.
pub(crate) fn envelopes_of_all_forms_share_a_stream_in_order(place: Place) {
    const ROUNDS: u64 = 100;
    let (_server, bus) = with_topic_at(place);
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| {
        assert_eq!((event.aggregate_id(), event.event_type()), ("order-42", "Counted"));
        seen.send(text(event)).unwrap();
    };
    let subscription = bus.subscribe("all").lanes(lanes(4)).on("order.>", handler).start().unwrap();
    let forms = [Form::Header, Form::Json, Form::CloudEventsBinary, Form::CloudEventsStructured];
    let mut count = 0;
    let mut next = || {
        count += 1;
        Envelope::new("order-42", "Counted", count.to_string())
    };
    let mut tickets = Vec::new();
    for _ in 0..ROUNDS {
        for form in forms {
            tickets.push(bus.publish_as(form, "order.counted", next()).unwrap());
        }
        let foreign = next().to_json().unwrap();
        tickets.push(bus.publish_raw("order.foreign", foreign).unwrap());
    }
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
    for expected in 1..=count {
        assert_eq!(events.recv_timeout(DEADLINE).unwrap(), expected.to_string());
    }
    eventually("all are handled", || (subscription.counts().handled == count).then_some(()));
    assert_eq!(subscription.counts().rejected, 0);
    for form in forms {
        let event = Envelope::new("order-42", "Counted", "0");
        let store = || bus.publish_as(form, "order.counted", &event).unwrap().wait().unwrap();
        assert_eq!((store().duplicate, store().duplicate), (false, true), "{form:?}");
    }
    let refused = bus.publish_as(Form::Json, "order.x", Envelope::new("a", "t", "text"));
    assert!(matches!(refused, Err(PublishError::Envelope(EnvelopeError::PayloadNotJson { .. }))));
    bus.close(DEADLINE).unwrap();
}
