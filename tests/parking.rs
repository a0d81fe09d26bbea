//! An aggregate that can not go on is parked: its events wait elsewhere, in order, and others go on.

use jetlane::{
    Counts, DeadLetters, Envelope, EventBus, Parking, Settlement, Strategy, SubscribeError,
    Subscription, Verdict,
};
use jetlane_testkit::Server;
use jetlane_tests::parked::{Log, parked, publish, with_topics};
use jetlane_tests::place::Place;
use jetlane_tests::{DEADLINE, eventually};

fn counted(subscription: &Subscription, wanted: impl Fn(Counts) -> bool) -> Counts {
    eventually("so much is done", || Some(subscription.counts()).filter(|counts| wanted(*counts)))
}

pub(crate) fn an_aggregate_is_parked_in_order_over_a_restart_and_others_go_on(place: Place) {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let (_server, bus) = with_topics(place);
        let log = Log::down();
        let first = log.subscribe(&bus).settlement(settlement).start().unwrap();
        publish(&bus, 0..5);
        let counts = counted(&first, |counts| counts.handled == 7 && counts.parked == 3);
        assert_eq!((counts.retried, counts.dead_lettered), (1, 0));
        assert_eq!(first.health().parked_keys, 1);
        first.stop(DEADLINE).unwrap();
        // Who comes next knows it from the stream, and does not even try: the dependency is up again.
        log.up();
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

pub(crate) fn what_is_rejected_parks_its_aggregate_unless_there_are_dead_letters(place: Place) {
    for with_dead in [false, true] {
        let (_server, bus) = with_topics(place);
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

pub(crate) fn what_has_no_aggregate_is_parked_by_itself(place: Place) {
    let (_server, bus) = with_topics(place);
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
    let shared = Log::default().subscribe(&bus).shared().start();
    assert!(matches!(shared, Err(SubscribeError::SharedParking)), "{shared:?}");
    let bad = bus.subscribe("s").parking(Parking::to("par ked")).on("order.*", |_: &Envelope| {});
    assert!(
        matches!(bad.start(), Err(SubscribeError::Topic { topic, .. }) if topic == "par ked.>")
    );
}
