//! What can be seen of a bus: its metrics, and its health.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use jetlane::{
    CircuitBreaker, DeadLetters, Envelope, EventBus, Parking, Strategy, Subscribe, Verdict,
};
use jetlane_client::State;
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// A recorder of one test: counters are registered where a bus is connected and a subscription started, by this thread.
fn recorded<T>(run: impl FnOnce() -> T) -> (Snapshotter, T) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let made = metrics::with_local_recorder(&recorder, run);
    (snapshotter, made)
}

/// Adds up what was seen since the last look: a look takes what it sees. Of histograms it is how many values they have.
fn look(snapshotter: &Snapshotter, sums: &mut BTreeMap<String, f64>) {
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
        let labels: Vec<_> = labels.collect();
        let name = format!("{}{{{}}}", key.key().name(), labels.join(","));
        let sum = sums.entry(name).or_default();
        match value {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            DebugValue::Counter(count) => *sum += count as f64,
            DebugValue::Gauge(change) => *sum += change.into_inner(),
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            DebugValue::Histogram(values) => {
                assert!(values.iter().all(|seconds| (0.0..30.0).contains(&seconds.into_inner())));
                *sum += values.len() as f64;
            }
        }
    }
}

/// What `subscribe` handles, with a topic, dead letters and a parking place.
fn with_letters(bus: &EventBus) -> Subscribe {
    for topic in ["order.>", "dead.>", "parked.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    let twice = NonZeroU32::new(2).unwrap();
    bus.subscribe("billing")
        .retry(Duration::from_millis(1), Duration::from_millis(1))
        .dead_letters(DeadLetters::to("dead"))
        .parking(Parking::to("parked").attempts(twice))
}

#[test]
fn what_listeners_hear_fail_on_and_drop_is_counted() {
    let server = Server::start().unwrap();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let (snapshotter, (bus, listener)) = recorded(|| {
        let bus = EventBus::connect(&server.url()).unwrap();
        bus.topic("tick.>").core().ensure(Strategy::CreateOnly).unwrap();
        let listen = bus.listen("screen").lanes(NonZeroUsize::MIN).queue_events(4);
        let listen = listen
            .on_type("tick.x", "Fine", move |_: &Envelope| {
                let _ = gate.lock().unwrap().recv();
            })
            .on_type("tick.x", "Fails", |_: &Envelope| Err::<(), _>("no"));
        (bus.clone(), listen.start().unwrap())
    });
    for event_type in ["Fine", "Fine", "Fails", "Nobody", "Dropped", "Dropped"] {
        bus.publish_core("tick.x", Envelope::new("a", event_type, "{}")).unwrap();
    }
    eventually("two are dropped", || (listener.counts().dropped == 2).then_some(()));
    let mut sums = BTreeMap::new();
    look(&snapshotter, &mut sums);
    assert_eq!(sums["jetlane_events_held{subscription=screen}"], 4.0);
    drop(release);
    eventually("the lanes are empty", || {
        look(&snapshotter, &mut sums);
        (sums["jetlane_events_held{subscription=screen}"] == 0.0).then_some(())
    });
    let screen =
        |outcome: &str| format!("jetlane_events_total{{subscription=screen,outcome={outcome}}}");
    for (name, expected) in [
        (screen("handled"), 2.0),
        (screen("failed"), 1.0),
        (screen("passed_over"), 1.0),
        (screen("dropped"), 2.0),
        ("jetlane_handler_panics_total{subscription=screen}".into(), 0.0),
        ("jetlane_handler_seconds{subscription=screen}".into(), 3.0),
        // Nothing was stored, so nothing has an age.
        ("jetlane_event_age_seconds{subscription=screen}".into(), 0.0),
    ] {
        assert_eq!(sums.get(&name), Some(&expected), "{name} of {sums:#?}");
    }
    bus.close(DEADLINE).unwrap();
}

#[test]
fn everything_that_becomes_of_events_is_counted() {
    let server = Server::start().unwrap();
    let (snapshotter, (bus, subscription)) = recorded(|| {
        let bus = EventBus::connect(&server.url()).unwrap();
        let subscribe = with_letters(&bus).on_type("order.x", "Panic", |_: &Envelope| -> Verdict {
            panic!("a handler of a test");
        });
        let subscribe = subscribe
            .on_type("order.x", "Reject", |_: &Envelope| Verdict::Reject { reason: "no".into() });
        let subscription = subscribe.on_type("order.x", "Fine", |_: &Envelope| {}).start().unwrap();
        (bus, subscription)
    });
    for (aggregate, event_type) in [
        ("a", "Fine"),
        ("b", "Fine"),
        ("b", "Nobody"),
        ("c", "Reject"),
        // Twice, and then it is parked, and what comes behind it as well.
        ("d", "Panic"),
        ("d", "Fine"),
    ] {
        let event = Envelope::new(aggregate, event_type, "{}");
        bus.publish("order.x", event).unwrap().wait().unwrap();
    }
    let event = Envelope::new("a", "Fine", "{}");
    for _ in 0..2 {
        bus.publish("order.x", &event).unwrap().wait().unwrap();
    }
    bus.publish("nowhere", &event).unwrap().wait().unwrap_err();
    eventually("all are done", || {
        let counts = subscription.counts();
        let done = counts.handled + counts.passed_over + counts.dead_lettered + counts.parked;
        (done == 7).then_some(())
    });
    let mut sums = BTreeMap::new();
    eventually("the lanes are empty", || {
        look(&snapshotter, &mut sums);
        (sums["jetlane_events_held{subscription=billing}"] == 0.0).then_some(())
    });
    let billing =
        |outcome: &str| format!("jetlane_events_total{{subscription=billing,outcome={outcome}}}");
    for (name, expected) in [
        // Nine of ours, and the letters.
        ("jetlane_published_total{}".into(), 12.0),
        ("jetlane_publish_outcomes_total{outcome=stored}".into(), 10.0),
        ("jetlane_publish_outcomes_total{outcome=duplicate}".into(), 1.0),
        ("jetlane_publish_outcomes_total{outcome=rejected}".into(), 1.0),
        ("jetlane_publish_outcomes_total{outcome=unknown}".into(), 0.0),
        ("jetlane_publishes_pending{}".into(), 0.0),
        (billing("handled"), 3.0),
        (billing("passed_over"), 1.0),
        (billing("rejected"), 1.0),
        (billing("dead_lettered"), 1.0),
        (billing("retried"), 1.0),
        (billing("parked"), 2.0),
        ("jetlane_handler_panics_total{subscription=billing}".into(), 2.0),
        // Three fine ones, a rejected one, and two panics. Nobody is called for the one of nobody's type.
        ("jetlane_handler_seconds{subscription=billing}".into(), 6.0),
        ("jetlane_event_age_seconds{subscription=billing}".into(), 6.0),
    ] {
        assert_eq!(sums.get(&name), Some(&expected), "{name} of {sums:#?}");
    }
    bus.close(DEADLINE).unwrap();
}

#[test]
fn publishes_without_an_ack_are_counted_as_unknown() {
    let mut server = Server::start().unwrap();
    let (snapshotter, bus) = recorded(|| EventBus::connect(&server.url()).unwrap());
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    // Nobody but a stream answers, and there it is not.
    let silent = bus.client().subscribe("silent").unwrap();
    let ticket = bus.publish("silent", Envelope::new("a", "T", "{}")).unwrap();
    let mut sums = BTreeMap::new();
    look(&snapshotter, &mut sums);
    assert_eq!(sums["jetlane_publishes_pending{}"], 1.0);
    bus.client().flush().wait().unwrap();
    server.kill();
    ticket.wait().unwrap_err();
    look(&snapshotter, &mut sums);
    assert_eq!(sums["jetlane_publish_outcomes_total{outcome=unknown}"], 1.0);
    assert_eq!(sums["jetlane_publishes_pending{}"], 0.0);
    drop(silent);
}

#[test]
fn events_on_the_lanes_are_seen_and_forgotten_with_them() {
    let server = Server::start().unwrap();
    let gates = [(); 2].map(|()| std::sync::mpsc::channel::<()>());
    let [(release, gate), (release_too, gate_too)] = gates;
    let handler = |gate: std::sync::mpsc::Receiver<()>| {
        let gate = std::sync::Mutex::new(gate);
        move |_: &Envelope| {
            // Ends when the test lets go of its end.
            let _ = gate.lock().unwrap().recv();
        }
    };
    let (snapshotter, bus) = recorded(|| {
        let bus = EventBus::connect(&server.url()).unwrap();
        bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
        let subscribe = bus.subscribe("billing").lanes(NonZeroUsize::MIN);
        subscribe.on("order.>", handler(gate)).start().unwrap();
        let listen = bus.listen("screen").lanes(NonZeroUsize::MIN);
        listen.on("order.>", handler(gate_too)).start().unwrap();
        bus.subscribe("swift").on("order.>", |_: &Envelope| {}).start().unwrap();
        bus
    });
    for _ in 0..5 {
        bus.publish("order.x", Envelope::new("a", "T", "{}")).unwrap().wait().unwrap();
    }
    let mut sums = BTreeMap::new();
    eventually("five are held of each, but of that which is done with them", || {
        look(&snapshotter, &mut sums);
        let names = ["billing", "screen", "swift"];
        let held = names.map(|name| sums[&format!("jetlane_events_held{{subscription={name}}}")]);
        (held == [5.0, 5.0, 0.0]).then_some(())
    });
    let undone = bus.close(Duration::from_millis(50)).unwrap_err();
    assert_eq!((undone.stuck, undone.returned, undone.lost), (2, 4, 4));
    drop((release, release_too));
    look(&snapshotter, &mut sums);
    let names = ["billing", "screen", "swift"];
    let held = names.map(|name| sums[&format!("jetlane_events_held{{subscription={name}}}")]);
    assert_eq!(held, [0.0; 3], "{sums:?}");
}

#[test]
fn the_health_of_a_bus_is_that_of_all_its_parts() {
    let mut server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    assert!(bus.health().is_ready());
    let breaker = CircuitBreaker::after(NonZeroU32::MIN)
        .pause(Duration::from_secs(60), Duration::from_secs(60));
    let fails = |_: &Envelope| Err::<(), _>("never");
    bus.subscribe("first").on("order.x", |_: &Envelope| {}).start().unwrap();
    let second =
        bus.subscribe("second").circuit_breaker(breaker).on("order.y", fails).start().unwrap();
    let health = bus.health();
    assert!(health.is_ready(), "{health:?}");
    assert_eq!((health.state, health.pending_acks), (State::Connected, 0));
    let names: Vec<_> = health.subscriptions.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    bus.publish("order.y", Envelope::new("a", "T", "{}")).unwrap().wait().unwrap();
    eventually("the breaker opens", || (!bus.health().is_ready()).then_some(()));
    second.stop(Duration::from_millis(100)).unwrap_err();
    assert!(bus.health().is_ready());
    assert_eq!(bus.health().subscriptions.len(), 1);
    bus.jetstream().delete_consumer("order_ALL", "first").wait().unwrap();
    eventually("the consumer is missed", || (!bus.health().is_ready()).then_some(()));
    server.kill();
    eventually("the connection is missed", || {
        let state = bus.client().state();
        (state == State::Reconnecting).then_some(())
    });
    assert!(!EventBus::health(&bus).is_ready());
}
