//! Letters go back to where they came from, for the one subscription that could not handle them, in order.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use jetlane::jetstream::Purge;
use jetlane::{
    Counts, DeadLetters, Envelope, EventBus, Letter, LetterKind, LettersError, Parking, Pick,
    Redriven, Settlement, Strategy, Subscription, Verdict,
};
use jetlane_testkit::Server;
use jetlane_tests::parked::{Log, parked, publish, with_topics};
use jetlane_tests::place::Place;
use jetlane_tests::{DEADLINE, eventually};

fn counted(subscription: &Subscription, wanted: impl Fn(Counts) -> bool) {
    eventually("so much is done", || wanted(subscription.counts()).then_some(()));
}

fn redrive(bus: &EventBus, subject: &str, pick: &Pick) -> Redriven {
    bus.letters(subject).unwrap().plan(pick).unwrap().run().unwrap()
}

/// Redrives until nothing is parked, as more may be parked meanwhile.
fn redrive_all(bus: &EventBus, subscription: &Subscription) {
    eventually("nothing is parked", || {
        redrive(bus, "parked", &Pick::all());
        (subscription.health().parked_keys == 0 && parked(bus) == 0).then_some(())
    });
}

pub(crate) fn a_parked_aggregate_goes_on_where_it_stopped(place: Place) {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let (_server, bus) = with_topics(place);
        let log = Log::down();
        let subscription = log.subscribe(&bus).settlement(settlement).start().unwrap();
        publish(&bus, 0..5);
        counted(&subscription, |counts| counts.handled == 7 && counts.parked == 3);
        let letters = bus.letters("parked").unwrap();
        let plan = letters.plan(&Pick::all().key("a")).unwrap();
        let events: Vec<_> = plan.events().map(|letter| letter.event_sequence).collect();
        assert_eq!(events, [5, 7, 9]);
        assert!(plan.to_string().ends_with("3 events, 1 parked aggregates"), "{plan}");
        assert_eq!(parked(&bus), 3, "a plan does nothing");
        log.up();
        let redriven = plan.run().unwrap();
        assert_eq!((redriven.events, redriven.keys, redriven.gone), (3, 1, 0));
        eventually("it is free", || (subscription.health().parked_keys == 0).then_some(()));
        publish(&bus, 5..8);
        counted(&subscription, |counts| counts.handled == 16);
        assert_eq!((log.of("a"), log.of("b")), ((0..8).collect(), (0..8).collect()));
        assert_eq!(parked(&bus), 0);
        bus.close(DEADLINE).unwrap();
    }
}

pub(crate) fn what_comes_meanwhile_stays_behind_what_is_redriven(place: Place) {
    const EVENTS: i64 = 400;
    let (_server, bus) = with_topics(place);
    let log = Log::down();
    let subscription = log.subscribe(&bus).start().unwrap();
    publish(&bus, 0..5);
    counted(&subscription, |counts| counts.parked == 3);
    log.up();
    let publisher = std::thread::spawn({
        let bus = bus.clone();
        move || publish(&bus, 5..EVENTS)
    });
    while !publisher.is_finished() {
        redrive(&bus, "parked", &Pick::all());
    }
    publisher.join().unwrap();
    redrive_all(&bus, &subscription);
    counted(&subscription, |_| log.of("a").len() as i64 >= EVENTS);
    assert_eq!(log.of("a"), (0..EVENTS).collect::<Vec<_>>());
    assert!(subscription.counts().parked > 3, "some were parked meanwhile");
}

pub(crate) fn what_fails_again_is_parked_again_before_those_behind_it(place: Place) {
    let (_server, bus) = with_topics(place);
    let log = Log::down();
    let subscription = log.subscribe(&bus).start().unwrap();
    publish(&bus, 0..5);
    counted(&subscription, |counts| counts.parked == 3);
    let letters = bus.letters("parked").unwrap();
    let plan = letters.plan(&Pick::all()).unwrap();
    // One is parked behind what the plan knows, and stands before those that will be parked again.
    publish(&bus, 5..6);
    counted(&subscription, |counts| counts.parked == 4);
    // The first one fails again; those behind it would not, and must not be handled before it.
    log.fail(2..3);
    assert_eq!(plan.run().unwrap().events, 3);
    counted(&subscription, |counts| counts.parked == 7);
    eventually("the marker has passed", || (parked(&bus) == 4).then_some(()));
    assert_eq!(log.of("a"), [0, 1]);
    publish(&bus, 6..7);
    counted(&subscription, |counts| counts.parked == 8);
    let order = letters.plan(&Pick::all()).unwrap();
    let order: Vec<_> = order.events().map(|letter| letter.event_sequence).collect();
    // The places they had the first time; the three redriven and their marker stand between.
    assert_eq!(order, [5, 7, 9, 11, 17]);
    log.up();
    redrive_all(&bus, &subscription);
    counted(&subscription, |_| log.of("a").len() >= 7);
    assert_eq!(log.of("a"), (0..7).collect::<Vec<_>>());
}

/// The one who redrives dies before the marker, and what was redriven fails again: the next one redrives all of it, and loses nothing,
/// although the stream has published the first letters already.
pub(crate) fn a_redrive_that_was_broken_off_is_done_again(place: Place) {
    let (_server, bus) = with_topics(place);
    let log = Log::down();
    let subscription = log.subscribe(&bus).start().unwrap();
    publish(&bus, 0..5);
    counted(&subscription, |counts| counts.parked == 3);
    subscription.stop(DEADLINE).unwrap();
    assert_eq!(redrive(&bus, "parked", &Pick::all()).events, 3);
    let marker = bus.jetstream().stream_info("order_ALL").wait().unwrap().state.last_seq;
    bus.jetstream().delete_message("order_ALL", marker).wait().unwrap();
    let next = log.subscribe(&bus).start().unwrap();
    counted(&next, |counts| counts.parked == 3);
    log.up();
    assert_eq!(redrive(&bus, "parked", &Pick::all()).events, 3);
    counted(&next, |counts| counts.handled == 3);
    eventually("it is free", || (next.health().parked_keys == 0).then_some(()));
    publish(&bus, 5..6);
    counted(&next, |_| log.of("a").len() >= 6);
    assert_eq!(log.of("a"), (0..6).collect::<Vec<_>>());
    assert_eq!(parked(&bus), 0);
}

pub(crate) fn of_parked_aggregates_all_of_those_picked_are_redriven_and_no_others(place: Place) {
    let (_server, bus) = with_topics(place);
    let log = Log::down();
    let handler = {
        let log = log.clone();
        move |event: &Envelope| {
            if log.fails(2) {
                return Verdict::Reject { reason: format!("no {}", event.event_version()) };
            }
            log.note(event);
            Verdict::Done
        }
    };
    let parking = Parking::to("parked");
    let subscription = bus.subscribe("s").parking(parking).on("order.*", handler).start().unwrap();
    for number in 0..3 {
        for key in ["p.1", "p 2"] {
            let event = Envelope::new(key, "Tested", "x").with_event_version(number);
            bus.publish("order.x", &event).unwrap().wait().unwrap();
        }
    }
    counted(&subscription, |counts| counts.parked == 6);
    log.up();
    let letters = bus.letters("parked").unwrap();
    let third = letters.read(&Pick::all().key("p.1")).last().unwrap().unwrap();
    let redriven = redrive(&bus, "parked", &Pick::all().sequence(third.sequence));
    assert_eq!((redriven.events, redriven.keys), (3, 1));
    counted(&subscription, |counts| counts.handled == 3);
    eventually("one is free", || (subscription.health().parked_keys == 1).then_some(()));
    assert_eq!((log.of("p.1"), log.of("p 2")), (vec![0, 1, 2], vec![]));
    assert_eq!(letters.read(&Pick::all().key("p 2")).count(), 3);
}

pub(crate) fn what_is_redriven_while_nobody_is_there_is_handled_by_who_comes_next(place: Place) {
    let (_server, bus) = with_topics(place);
    let log = Log::down();
    let subscription = log.subscribe(&bus).start().unwrap();
    publish(&bus, 0..5);
    counted(&subscription, |counts| counts.parked == 3);
    subscription.stop(DEADLINE).unwrap();
    publish(&bus, 5..6);
    redrive(&bus, "parked", &Pick::all());
    publish(&bus, 6..8);
    log.up();
    let next = log.subscribe(&bus).start().unwrap();
    // The one before the marker was parked, and stands behind the others; so does what came behind the marker.
    counted(&next, |counts| counts.handled == 6 && counts.parked == 3);
    assert_eq!(log.of("a"), (0..5).collect::<Vec<_>>());
    redrive_all(&bus, &next);
    counted(&next, |_| log.of("a").len() >= 8);
    assert_eq!(log.of("a"), (0..8).collect::<Vec<_>>());
}

pub(crate) fn others_pass_over_what_is_redriven_for_one(place: Place) {
    let (_server, bus) = with_topics(place);
    let (log, other) = (Log::down(), Log::default());
    let subscription = log.subscribe(&bus).start().unwrap();
    let others = other.subscribe_as(&bus, "other").start().unwrap();
    publish(&bus, 0..4);
    counted(&subscription, |counts| counts.parked == 2);
    counted(&others, |counts| counts.handled == 8);
    log.up();
    redrive(&bus, "parked", &Pick::all());
    counted(&others, |counts| counts.passed_over == 3);
    counted(&subscription, |counts| counts.handled == 8);
    assert_eq!((log.of("a"), other.of("a")), ((0..4).collect(), (0..4).collect()));
}

/// A subscription that rejects all it gets while `down`, and keeps dead letters.
fn rejecting(bus: &EventBus, log: &Log) -> Subscription {
    let log = log.clone();
    bus.subscribe("s")
        .dead_letters(DeadLetters::to("dead").attempts(NonZeroU32::MIN))
        .on("order.*", move |event: &Envelope| {
            if log.fails(i64::MAX - 1) {
                let reason = format!("no {}", event.event_type());
                return Verdict::Reject { reason };
            }
            log.note(event);
            Verdict::Done
        })
        .start()
        .unwrap()
}

pub(crate) fn dead_letters_are_read_picked_and_redriven(place: Place) {
    let (_server, bus) = with_topics(place);
    let log = Log::down();
    let subscription = rejecting(&bus, &log);
    for number in 0..6 {
        let kind = if number % 2 == 0 { "Even" } else { "Odd" };
        let key = if number < 3 { "a" } else { "b" };
        let event = Envelope::new(key, kind, "payload").with_event_version(number);
        bus.publish("order.x", &event).unwrap().wait().unwrap();
        // One by one, so that the letters are in this order.
        counted(&subscription, |counts| counts.dead_lettered == number as u64 + 1);
    }
    let letters = bus.letters("dead").unwrap();
    let read = |pick: &Pick| -> Vec<Letter> { letters.read(pick).map(Result::unwrap).collect() };
    let sequences = |pick: &Pick| -> Vec<u64> {
        read(pick).iter().map(|letter| letter.event_sequence).collect()
    };
    let all = read(&Pick::all());
    let letter = &all[0];
    assert_eq!((letter.kind, letter.subscription.as_str()), (LetterKind::Dead, "s"));
    assert_eq!((letter.subject.as_str(), letter.stream.as_str()), ("order.x", "order_ALL"));
    assert_eq!((letter.key.as_deref(), letter.reason.as_str()), (Some("a"), "no Even"));
    assert_eq!((letter.attempts, letter.deliveries), (1, 1));
    assert_eq!(letter.payload.as_deref(), Some(&b"payload"[..]));
    assert_eq!(letter.headers().unwrap().get("X-Event-Type"), Some(&b"Even"[..]));
    let (third, now) = (all[2].time, SystemTime::now() + Duration::from_secs(60));
    for (pick, expected) in [
        (Pick::all(), &[1, 2, 3, 4, 5, 6][..]),
        (Pick::all().key("b"), &[4, 5, 6]),
        (Pick::all().reason("Odd"), &[2, 4, 6]),
        (Pick::all().reason("Odd").key("a"), &[2]),
        (Pick::all().subscription("other"), &[]),
        (Pick::all().kind(LetterKind::Parked), &[]),
        (Pick::all().since(third), &[3, 4, 5, 6]),
        (Pick::all().until(third), &[1, 2]),
        (Pick::all().since(now), &[]),
        (Pick::all().sequence(all[4].sequence), &[5]),
    ] {
        assert_eq!(sequences(&pick), expected, "{pick:?}");
    }
    log.up();
    let redriven = redrive(&bus, "dead", &Pick::all().reason("Odd"));
    assert_eq!((redriven.events, redriven.keys), (3, 0));
    counted(&subscription, |counts| counts.handled == 3);
    assert_eq!((log.of("a"), log.of("b")), (vec![1], vec![3, 5]));
    assert_eq!(sequences(&Pick::all()), [1, 3, 5], "what was redriven is deleted");
    letters.delete(&all[0]).unwrap();
    assert_eq!(sequences(&Pick::all()), [3, 5]);
}

#[test]
fn a_letter_without_its_payload_is_redriven_from_the_stream_if_it_is_there() {
    let config = "max_payload: 4096\n";
    let server = Server::builder().config(config).start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "dead.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    let log = Log::down();
    let subscription = rejecting(&bus, &log);
    for number in 0..2 {
        let event = Envelope::new("a", "Big", vec![b'x'; 3700]).with_event_version(number);
        bus.publish("order.x", &event).unwrap().wait().unwrap();
    }
    counted(&subscription, |counts| counts.dead_lettered == 2);
    let letters = bus.letters("dead").unwrap();
    assert!(letters.read(&Pick::all()).all(|letter| letter.unwrap().payload.is_none()));
    log.up();
    bus.jetstream().purge_stream("order_ALL", &Purge::all().before(2)).wait().unwrap();
    let redriven = redrive(&bus, "dead", &Pick::all());
    assert_eq!((redriven.events, redriven.gone), (1, 1));
    counted(&subscription, |counts| counts.handled == 1);
    assert_eq!(log.of("a"), [1]);
    assert_eq!(letters.read(&Pick::all()).count(), 1, "the one that is gone is kept");
}

pub(crate) fn letters_need_a_stream(place: Place) {
    let (_server, bus) = with_topics(place);
    let nowhere = bus.letters("nowhere").unwrap_err();
    assert!(matches!(nowhere, LettersError::NoStream { topic } if topic == "nowhere.>"));
    assert!(matches!(bus.letters("no where").unwrap_err(), LettersError::Subject(_)));
}
