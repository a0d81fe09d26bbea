//! Core topics and listeners: events that are stored nowhere, heard at most once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use jetlane::client::{Client, CloseReason, Event as ConnectionEvent, SubscribeError};
use jetlane::{
    Bytes, CloseError, Compress, Compression, ConnectOptions, Envelope, Event, EventBus, Form,
    KeyOrder, ListenError, Listener, OrderBy, Parking, Pick, PublishError, Raw, RawEvent, Strategy,
    TopicError, Verdict,
};
use jetlane_testkit::Server;
use jetlane_tests::place::{Place, Started};
use jetlane_tests::{DEADLINE, event as next_event, eventually};

const STRATEGIES: [Strategy; 4] =
    [Strategy::CreateOnly, Strategy::CreateOrUpdate, Strategy::ValidateOnly, Strategy::Skip];

fn bus_at(url: &str) -> EventBus {
    let bus = EventBus::connect(url).unwrap();
    bus.topic("tick.>").core().ensure(Strategy::CreateOnly).unwrap();
    bus
}

/// A server, and a bus on it whose topic `tick.>` is core.
fn with_core(place: Place) -> (Started, EventBus) {
    let server = place.start();
    let bus = bus_at(&server.url());
    (server, bus)
}

fn lanes(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn event(key: impl ToString, payload: impl ToString) -> Envelope {
    Envelope::new(key.to_string(), "Tested", payload.to_string())
}

fn text(event: &Envelope) -> String {
    String::from_utf8(event.payload().to_vec()).unwrap()
}

/// Waits until so many events are done, one way or another.
fn done(listener: &Listener, count: u64) {
    eventually("so many are done", || {
        let counts = listener.counts();
        (counts.handled + counts.failed + counts.passed_over == count).then_some(())
    });
}

/// A handler that says that it has begun, and waits until it is let go.
fn gate() -> (impl Fn(&Envelope) + Send + Sync, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begin, begun) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let handler = move |_: &Envelope| {
        begin.send(()).unwrap();
        // Ends for good when the test drops its end.
        let _ = gate.lock().unwrap().recv();
    };
    (handler, begun, release)
}

pub(crate) fn a_core_topic_goes_to_who_listens_now_and_is_stored_nowhere(place: Place) {
    let (server, bus) = with_core(place);
    let publisher = bus_at(&server.url());
    publisher.publish_core("tick.x", event("a", "too early")).unwrap();
    publisher.client().flush().wait().unwrap();
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(event.clone()).unwrap();
    let listener = bus.listen("l").on("tick.*", handler).start().unwrap();
    for form in [Form::Header, Form::Json, Form::CloudEventsBinary, Form::CloudEventsStructured] {
        let sent = event("a", "7");
        publisher.publish_core("tick.x.deeper", event("a", "nobody's")).unwrap();
        publisher.publish_core_as(form, "tick.x", &sent).unwrap();
        let heard = events.recv_timeout(DEADLINE).unwrap();
        assert_eq!((heard.event_id(), heard.payload()), (sent.event_id(), sent.payload()));
    }
    let large = event("a", "7".repeat(3 << 20)).compressed(&Compress::with(Compression::Lz4));
    publisher.publish_core("tick.x", &large).unwrap();
    assert_eq!(events.recv_timeout(DEADLINE).unwrap().payload(), large.payload());
    publisher.publish_core_as(Form::Json, "tick.x", event("a", "no JSON")).unwrap_err();
    publisher.publish_core("tick. x", event("a", "")).unwrap_err();
    assert_eq!(bus.jetstream().all_stream_names("").count(), 0);
    bus.close(DEADLINE).unwrap();
    assert_eq!((listener.counts().handled, events.try_iter().count()), (5, 0));
}

pub(crate) fn a_topic_is_persistent_or_core_and_never_both(place: Place) {
    let (server, bus) = with_core(place);
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    for topic in ["order.x", "order.>", "*.x", ">"] {
        let stored = TopicError::Stored { stream: "order_ALL".into(), topic: topic.into() };
        for strategy in STRATEGIES {
            let other = EventBus::connect(&server.url()).unwrap();
            let ensured = other.topic(topic).core().ensure(strategy);
            // Who asks nobody learns nothing.
            let expected = if strategy == Strategy::Skip { Ok(()) } else { Err(stored.clone()) };
            assert_eq!(ensured, expected, "{topic} {strategy:?}");
            let known = bus.topic(topic).core().ensure(strategy);
            assert_eq!(known, Err(stored.clone()), "{topic} {strategy:?}");
        }
    }
    for (topic, strategy) in [
        ("tick.>", Strategy::CreateOnly),
        ("tick.x", Strategy::CreateOrUpdate),
        ("*.x", Strategy::ValidateOnly),
        (">", Strategy::Skip),
    ] {
        let core = Err(TopicError::Core { topic: topic.into() });
        assert_eq!(bus.topic(topic).ensure(strategy).map(|_| ()), core, "{strategy:?}");
    }
    bus.topic("tick.>").core().ensure(Strategy::CreateOnly).unwrap();
    assert!(matches!(bus.topic("a b").core().ensure(Strategy::Skip), Err(TopicError::Subject(_))));
    assert_eq!(
        bus.jetstream().all_stream_names("").collect::<Result<Vec<_>, _>>().unwrap().len(),
        1
    );
}

#[derive(Debug)]
struct Ticked(Bytes);

impl AsRef<[u8]> for Ticked {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Ticked {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Event for Ticked {
    const TYPE: &'static str = "Ticked";
    type Encoding = Raw;

    fn aggregate_id(&self) -> Cow<'_, str> {
        "a".into()
    }
}

pub(crate) fn each_way_to_publish_is_for_its_kind_of_topic(place: Place) {
    let (_server, bus) = with_core(place);
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    let (topic, one) = ("tick.x", event("a", "7"));
    let core = PublishError::Core { topic: topic.into() };
    for (way, refused) in [
        ("publish", bus.publish(topic, &one).unwrap_err()),
        ("publish_as", bus.publish_as(Form::Json, topic, &one).unwrap_err()),
        ("publish_event", bus.publish_event(topic, &Ticked(Bytes::new())).unwrap_err()),
        ("publish_batch", bus.publish_batch(topic, [&one]).unwrap_err().error),
        ("publish_raw", bus.publish_raw(topic, "7").unwrap_err()),
        ("publish_atomic", bus.publish_atomic([(topic, &one)]).unwrap_err()),
        (
            "compressing",
            bus.compressing(Compress::with(Compression::Lz4)).publish(topic, &one).unwrap_err(),
        ),
    ] {
        assert_eq!(refused, core, "{way}");
    }
    for order in [KeyOrder::Free, KeyOrder::Wait, KeyOrder::Fail] {
        let (publisher, outcomes) = bus.publisher().order(order).start().unwrap();
        assert_eq!(publisher.publish(topic, &one, ()), Err(core.clone()), "{order:?}");
        assert_eq!(publisher.try_publish(topic, &one, ()), Err(core.clone()), "{order:?}");
        publisher.publish("order.x", event("a", ""), ()).unwrap();
        publisher.close(DEADLINE).unwrap();
        assert_eq!(outcomes.flatten().filter(|one| one.outcome.is_ok()).count(), 1);
    }
    for topic in ["order.x", "tick", "nowhere"] {
        let persistent = Err(PublishError::NotCore { topic: topic.into() });
        assert_eq!(bus.publish_core(topic, &one), persistent);
        assert_eq!(bus.publish_core_as(Form::Json, topic, &one), persistent);
    }
    bus.publish("order.x", &one).unwrap().wait().unwrap();
}

/// Topics that have subjects in common, on four lanes: every event once, and each aggregate in order.
pub(crate) fn events_are_heard_once_and_in_order_whatever_their_topic(place: Place) {
    const KEYS: u64 = 100;
    const EACH: u64 = 100;
    let (server, bus) = with_core(place);
    let last: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let counted = {
        let last = Arc::clone(&last);
        move |event: &Envelope| {
            (0..fastrand::u32(0..500)).for_each(|_| std::hint::spin_loop());
            let number: u64 = text(event).parse().unwrap();
            let mut last = last.lock().unwrap();
            let before = last.entry(event.aggregate_id().to_string()).or_default();
            assert_eq!(number, *before + 1, "of {}", event.aggregate_id());
            *before = number;
        }
    };
    let listener = bus
        .listen("l")
        .lanes(lanes(4))
        .on("tick.*.a", counted.clone())
        .on("tick.x.*", counted.clone())
        .on("tick.y.b", counted.clone())
        .on("tick.x.b", counted)
        .start()
        .unwrap();
    let publisher = bus_at(&server.url());
    let topics = ["tick.x.a", "tick.x.b", "tick.y.b", "tick.z.a"];
    for key in 0..KEYS {
        for number in 1..=EACH {
            let topic = topics[(number + key) as usize % topics.len()];
            publisher.publish_core(topic, event(key, number)).unwrap();
        }
    }
    publisher.publish_core("tick.z.b", event("nobody", "0")).unwrap();
    done(&listener, KEYS * EACH);
    bus.close(DEADLINE).unwrap();
    assert_eq!(listener.counts().handled, KEYS * EACH, "{:?}", listener.counts());
    assert!(last.lock().unwrap().values().all(|last| *last == EACH));
}

pub(crate) fn what_a_handler_fails_on_is_told_and_not_tried_again(place: Place) {
    let (_server, bus) = with_core(place);
    let (told, failures) = mpsc::channel();
    let reject = |_: &Envelope| Verdict::Reject { reason: "rejected".into() };
    let retry = |_: &Envelope| Verdict::Retry { after: None, reason: "not now".into() };
    let listener = bus
        .listen("l")
        .lanes(lanes(1))
        .order_by(OrderBy::Subject)
        .on_type("tick.*", "Error", |_: &Envelope| Err::<(), _>("an error"))
        .on_type("tick.*", "Retry", retry)
        .on_type("tick.*", "Reject", reject)
        .on_type("tick.*", "Panic", |_: &Envelope| -> Verdict { panic!("as if by accident") })
        .on_type("tick.*", "Fine", |_: &Envelope| {})
        .on_event("tick.*", |_: Ticked, _: &Envelope| {})
        .on_failure(move |event: &RawEvent<'_>, reason: &str| {
            assert_eq!(event.subject(), b"tick.x");
            told.send(reason.to_string()).unwrap();
            assert_ne!(reason, "not now", "on purpose");
        })
        .start()
        .unwrap();
    let newer = Envelope::of(&Ticked(Bytes::new())).unwrap().with_event_version(2);
    bus.publish_core("tick.x", newer).unwrap();
    for kind in ["Fine", "Error", "Retry", "Reject", "Nobody", "Panic", "Fine"] {
        bus.publish_core("tick.x", Envelope::new("a", kind, "")).unwrap();
    }
    bus.client().publish("tick.x", "no event").unwrap();
    for expected in [
        "has version 2",
        "an error",
        "not now",
        "rejected",
        "the handler panicked: as if by accident",
        "the message is no envelope",
    ] {
        let reason = failures.recv_timeout(DEADLINE).unwrap();
        assert!(reason.contains(expected), "{reason}, not {expected}");
    }
    done(&listener, 9);
    let counts = listener.counts();
    assert_eq!((counts.handled, counts.failed, counts.passed_over), (2, 6, 1));
    assert_eq!((counts.panics, bus.client().stats().callback_panics), (1, 1));
    assert!(listener.last_error().unwrap().contains("no envelope"));
    bus.close(DEADLINE).unwrap();
    assert!(failures.try_recv().is_err(), "each once");
}

pub(crate) fn listeners_have_the_handlers_of_subscriptions(place: Place) {
    let (_server, bus) = with_core(place);
    let (seen, events) = mpsc::channel();
    let note = |who: &'static str| {
        let seen = seen.clone();
        move |what: &str| seen.send(format!("{who} {what}")).unwrap()
    };
    let (around, one, typed, later, raw) =
        (note("around"), note("on"), note("typed"), note("async"), note("raw"));
    bus.listen("l")
        .lanes(lanes(3))
        .order_by(OrderBy::Token(0))
        .decompress_up_to(1000)
        .around(move |event, next| {
            around(event.event_type());
            next.run()
        })
        .on_event("tick.typed", move |event: Ticked, _: &Envelope| {
            typed(&String::from_utf8_lossy(&event.0));
        })
        .on("tick.*", move |event: &Envelope| one(event.event_type()))
        .on_async("tick.async.*", move |event: Envelope| {
            later(event.event_type());
            async { Ok::<(), String>(()) }
        })
        .on_raw("tick.raw.>", move |event: &RawEvent<'_>| {
            assert_eq!((event.sequence(), event.delivered()), (0, 1));
            raw(&String::from_utf8_lossy(event.payload()));
        })
        .start()
        .unwrap();
    bus.publish_core("tick.typed", Envelope::of(&Ticked("7".into())).unwrap()).unwrap();
    bus.publish_core("tick.typed", Envelope::new("a", "Other", "")).unwrap();
    bus.publish_core("tick.async.x", Envelope::new("b", "Third", "")).unwrap();
    bus.client().publish("tick.raw.x", "bytes").unwrap();
    let bomb = event("a", "7".repeat(1001)).compressed(&Compress::with(Compression::Lz4).above(9));
    bus.publish_core("tick.x", bomb).unwrap();
    bus.publish_core("tick.x", Envelope::new("c", "Last", "")).unwrap();
    let all: Vec<_> = (0..8).map(|_| events.recv_timeout(DEADLINE).unwrap()).collect();
    let expected = [
        "around Ticked",
        "typed 7",
        "around Other",
        "on Other",
        "around Third",
        "async Third",
        "raw bytes",
        "around Last",
    ];
    assert_eq!(all, expected, "in the order of the subjects' first token");
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn listeners_of_one_name_hear_all_or_share(place: Place) {
    const EVENTS: u64 = 500;
    for shares in [false, true] {
        let (server, publisher) = with_core(place);
        let buses = [EventBus::connect(&server.url()), EventBus::connect(&server.url())];
        let buses = buses.map(Result::unwrap);
        let listeners = buses.each_ref().map(|bus| {
            // These have subjects in common, and no member of the group gets one twice.
            let both = bus.listen("l").on("tick.*.a", |_: &Envelope| {});
            let both = both.on("tick.x.*", |_: &Envelope| {});
            if shares { both.shared() } else { both }.start().unwrap()
        });
        for n in 0..EVENTS {
            publisher.publish_core("tick.x.a", event(n, n)).unwrap();
        }
        let heard = || listeners.each_ref().map(|listener| listener.counts().handled);
        match shares {
            false => listeners.iter().for_each(|listener| done(listener, EVENTS)),
            true => eventually("all are heard", || {
                (heard().iter().sum::<u64>() == EVENTS).then_some(())
            }),
        }
        buses.iter().for_each(|bus| bus.close(DEADLINE).unwrap());
        let heard = heard();
        match shares {
            false => assert_eq!(heard, [EVENTS; 2]),
            true => {
                assert_eq!(heard.iter().sum::<u64>(), EVENTS);
                assert!(heard.iter().all(|&heard| heard > 0), "{heard:?}");
            }
        }
    }
}

pub(crate) fn a_full_queue_drops_what_is_newer_and_tells_so(place: Place) {
    // In events, and in bytes: 20 of these are more than 10 000, and 5 are not.
    for (most_events, most_bytes) in [(5, 1 << 20), (1000, 10_000)] {
        let (server, bus) = with_core(place);
        let mut told = bus.client().events();
        let (handler, begun, release) = gate();
        let listener = bus
            .listen("l")
            .lanes(lanes(1))
            .queue_events(most_events)
            .queue_bytes(most_bytes)
            .on("tick.*", handler)
            .start()
            .unwrap();
        let publisher = bus_at(&server.url());
        let publish = |count: usize| {
            for _ in 0..count {
                publisher.publish_core("tick.x", event("a", "7".repeat(1_700))).unwrap();
            }
        };
        for round in 1..=2 {
            publish(1);
            begun.recv_timeout(DEADLINE).unwrap();
            publish(20);
            eventually("16 are dropped", || {
                (listener.counts().dropped == 16 * round).then_some(())
            });
            next_event(&mut told, "it is slow", |event| match event {
                ConnectionEvent::SlowConsumer { subject, .. } => {
                    assert_eq!(subject, "tick.*");
                    Some(())
                }
                _ => None,
            });
            let health = &bus.health().listeners[0];
            assert_eq!((health.waiting, health.counts.dropped), (5, 16 * round));
            assert!((8_500..10_000).contains(&health.waiting_bytes), "{health:?}");
            let stats = bus.client().stats();
            assert_eq!((stats.dropped, stats.slow_consumers), (16 * round, round));
            for _ in 0..4 {
                release.send(()).unwrap();
                begun.recv_timeout(DEADLINE).unwrap();
            }
            release.send(()).unwrap();
            done(&listener, 6 * round - 1);
            // One that comes while there is room: what is dropped later is told anew.
            release.send(()).unwrap();
            publish(1);
            begun.recv_timeout(DEADLINE).unwrap();
            done(&listener, 6 * round);
        }
        assert_eq!(bus.health().listeners[0].waiting, 0);
        bus.close(DEADLINE).unwrap();
    }
}

pub(crate) fn a_close_handles_what_has_come_and_says_what_it_lost(place: Place) {
    let (server, bus) = with_core(place);
    let slow = |_: &Envelope| std::thread::park_timeout(Duration::from_micros(200));
    let listener = bus.listen("l").on("tick.*", slow).start().unwrap();
    for n in 0..500 {
        bus.publish_core("tick.x", event(n % 7, n)).unwrap();
    }
    bus.close(DEADLINE).unwrap();
    assert_eq!(listener.counts().handled, 500);
    assert_eq!(listener.health().end, Some(CloseReason::Drained));
    listener.stop(DEADLINE).unwrap();

    for stops in [false, true] {
        let (bus, publisher) = (bus_at(&server.url()), bus_at(&server.url()));
        let (handler, begun, _release) = gate();
        let listener = bus.listen("l").lanes(lanes(1)).on("tick.*", handler).start().unwrap();
        for n in 0..10 {
            publisher.publish_core("tick.x", event("a", n)).unwrap();
        }
        begun.recv_timeout(DEADLINE).unwrap();
        eventually("all have come", || (listener.health().waiting == 10).then_some(()));
        let timeout = Duration::from_millis(50);
        let ended = if stops { listener.stop(timeout) } else { bus.close(timeout) };
        let undone = ended.unwrap_err();
        assert_eq!((undone.lost, undone.stuck, undone.returned), (9, 1, 0), "{undone}");
    }
}

pub(crate) fn a_stopped_listener_hears_nothing_more_and_is_forgotten(place: Place) {
    let (_server, bus) = with_core(place);
    let [first, second] = ["first", "second"]
        .map(|name| bus.listen(name).on("tick.*", |_: &Envelope| {}).start().unwrap());
    bus.publish_core("tick.x", event("a", "1")).unwrap();
    first.stop(DEADLINE).unwrap();
    first.stop(DEADLINE).unwrap();
    bus.publish_core("tick.x", event("a", "2")).unwrap();
    done(&second, 2);
    assert_eq!(first.counts().handled, 1);
    let health = bus.health();
    assert!(health.is_ready());
    assert_eq!(health.listeners.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["second"]);
    // It goes with its bus, and does not keep it.
    let client = bus.client().clone();
    let mut events = client.events();
    drop((bus, client));
    next_event(&mut events, "the end", |event| {
        matches!(event, ConnectionEvent::Closed).then_some(())
    });
    second.stop(DEADLINE).unwrap();
}

/// Events that are stored can be heard, too, as they are published; what is redriven is no news, and the mark behind it no event.
pub(crate) fn stored_events_are_heard_and_what_is_redriven_is_no_news(place: Place) {
    let (_server, bus) = with_core(place);
    for topic in ["order.>", "parked.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    let listener = bus.listen("l").on("order.*", |_: &Envelope| {}).start().unwrap();
    let is_well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let handler = {
        let is_well = Arc::clone(&is_well);
        move |_: &Envelope| match is_well.load(std::sync::atomic::Ordering::Relaxed) {
            true => Ok(()),
            false => Err("not yet"),
        }
    };
    let once = NonZeroU32::MIN;
    let subscribe = bus.subscribe("s").parking(Parking::to("parked").attempts(once));
    let subscription = subscribe.on("order.*", handler).start().unwrap();
    for n in 0..3 {
        bus.publish("order.x", event("a", n)).unwrap().wait().unwrap();
    }
    eventually("all are parked", || (subscription.counts().parked == 3).then_some(()));
    is_well.store(true, std::sync::atomic::Ordering::Relaxed);
    let plan = bus.letters("parked").unwrap().plan(&Pick::all().subscription("s")).unwrap();
    assert_eq!(plan.run().unwrap().events, 3);
    eventually("all are handled", || (subscription.counts().handled == 3).then_some(()));
    // Three events again, and the marker behind them.
    done(&listener, 7);
    let counts = listener.counts();
    assert_eq!((counts.handled, counts.passed_over, counts.failed), (3, 4, 0));
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn each_way_not_to_listen_has_its_own_error(place: Place) {
    let (_server, bus) = with_core(place);
    let refused = |name: &str, topic: &str| {
        bus.listen(name).on(topic, |_: &Envelope| {}).shared().start().unwrap_err()
    };
    assert!(matches!(bus.listen("l").start(), Err(ListenError::NoHandler)));
    assert!(matches!(refused("", "tick.x"), ListenError::Name(_)));
    assert!(matches!(refused("a b", "tick.x"), ListenError::Name(_)));
    assert!(
        matches!(refused("l", "tick..x"), ListenError::Topic { topic, .. } if topic == "tick..x")
    );
    assert_eq!(bus.health().listeners.len(), 0);
    bus.close(DEADLINE).unwrap();
    let closed = refused("l", "tick.x");
    assert!(matches!(closed, ListenError::Subscribe(SubscribeError::Closed)), "{closed}");
    assert_eq!(bus.close(DEADLINE), Ok::<(), CloseError>(()));
}

#[test]
fn core_topics_need_no_jetstream() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let bus = bus_at(&server.url());
    let (seen, events) = mpsc::channel();
    let handler = move |event: &Envelope| seen.send(text(event)).unwrap();
    bus.listen("l").on("tick.*", handler).start().unwrap();
    bus.publish_core("tick.x", event("a", "7")).unwrap();
    assert_eq!(events.recv_timeout(DEADLINE).unwrap(), "7");
    bus.close(DEADLINE).unwrap();
}

#[test]
fn a_listener_hears_again_when_the_connection_is_back() {
    let mut server = Server::start().unwrap();
    let bus = bus_at(&server.url());
    let mut events = bus.client().events();
    let listener = bus.listen("l").on("tick.*", |_: &Envelope| {}).start().unwrap();
    server.kill();
    server.restart().unwrap();
    jetlane_tests::next_return(&mut events);
    let publisher = bus_at(&server.url());
    eventually("it hears", || {
        publisher.publish_core("tick.x", event("a", "7")).unwrap();
        (listener.counts().handled > 0).then_some(())
    });
    assert!(bus.health().is_ready());
    bus.close(DEADLINE).unwrap();
}

/// One user, `u` with the password `p`, who may not subscribe to these subjects.
fn denying(subjects: &str) -> String {
    format!(
        "authorization {{ users: [{{ user: u, password: p, permissions: {{ subscribe: {{ deny: [{subjects}] }} }} }}] }}"
    )
}

#[test]
fn a_listener_that_is_not_permitted_is_told_so() {
    let server = Server::builder().config(&denying("\"tick.secret\"")).start().unwrap();
    let options = ConnectOptions::new().user_password("u", "p");
    let bus = EventBus::connect_with(&server.url(), options).unwrap();
    let listen = || bus.listen("l").on("tick.x", |_: &Envelope| {});
    let denied = listen().on("tick.secret", |_: &Envelope| {}).start();
    assert!(matches!(denied, Err(ListenError::Denied)));
    let listener = listen().start().unwrap();
    assert!(bus.health().is_ready());
    // It may be taken away later, too.
    server.reload(&denying("\"tick.>\"")).unwrap();
    eventually("it has ended", || listener.health().end);
    assert_eq!(bus.health().listeners[0].end, Some(CloseReason::Denied));
    assert!(!bus.health().is_ready());
    let client = Client::connect(&format!("nats://u:p@127.0.0.1:{}", server.port())).unwrap();
    client.publish("tick.x", "").unwrap();
    client.flush().wait().unwrap();
    bus.close(DEADLINE).unwrap();
}
