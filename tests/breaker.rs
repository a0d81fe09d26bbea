//! The circuit breaker: while nothing works, nothing is tried in vain, by nobody.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetlane::{
    BreakerState, CircuitBreaker, DeadLetters, Envelope, EventBus, Strategy, Subscription,
};
use jetlane_tests::parked::Log;
use jetlane_tests::place::Place;
use jetlane_tests::{DEADLINE, eventually};

fn start(bus: &EventBus, log: &Log, calls: &Arc<AtomicU64>, pause: Duration) -> Subscription {
    let (log, calls) = (log.clone(), Arc::clone(calls));
    let breaker = CircuitBreaker::after(NonZeroU32::new(3).unwrap());
    bus.subscribe("s")
        .shared()
        .retry(Duration::from_millis(1), Duration::from_millis(1))
        .dead_letters(DeadLetters::to("dead").attempts(NonZeroU32::new(4).unwrap()))
        .circuit_breaker(breaker.pause(pause, 4 * pause))
        .on("order.*", move |event: &Envelope| {
            calls.fetch_add(1, Relaxed);
            if log.fails(0) {
                return Err("the database is down");
            }
            log.note(event);
            Ok(())
        })
        .start()
        .unwrap()
}

fn is_paused(bus: &EventBus) -> bool {
    bus.jetstream().consumer_info("order_ALL", "s").wait().unwrap().paused
}

pub(crate) fn while_nothing_works_nothing_is_tried_and_afterwards_all_is_handled_in_order(
    place: Place,
) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "dead.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    let (log, calls) = (Log::default(), Arc::default());
    log.fail(0..1);
    let subscription = start(&bus, &log, &calls, Duration::from_millis(100));
    let breaker = || subscription.health().breaker.unwrap();
    assert_eq!(breaker(), BreakerState::Closed);
    for number in 0..20 {
        for key in ["a", "b", "c"] {
            let event = Envelope::new(key, "Tested", "x").with_event_version(number);
            bus.publish("order.x", &event).unwrap().wait().unwrap();
        }
    }
    // Paused on the server: nobody else gets anything either.
    eventually("the consumer is paused", || is_paused(&bus).then_some(()));
    assert_ne!(breaker(), BreakerState::Closed);
    assert!(!subscription.health().stalled.is_empty());
    // Many tries later: each after a longer pause, one event each, and none has lost its chances.
    eventually("it was tried", || (calls.load(Relaxed) >= 10).then_some(()));
    let counts = subscription.counts();
    assert_eq!((counts.dead_lettered, counts.handled), (0, 0));
    assert!(calls.load(Relaxed) <= 14, "{calls:?}: as many as lanes, and one at a time");
    log.up();
    eventually("all are handled", || (subscription.counts().handled == 60).then_some(()));
    for key in ["a", "b", "c"] {
        assert_eq!(log.of(key), (0..20).collect::<Vec<_>>(), "{key}");
    }
    eventually("it goes on", || (!is_paused(&bus)).then_some(()));
    let health = subscription.health();
    assert_eq!((health.breaker, health.stalled.len()), (Some(BreakerState::Closed), 0));
    assert_eq!(subscription.counts().dead_lettered, 0);
    bus.close(DEADLINE).unwrap();
}

pub(crate) fn another_process_gets_nothing_while_the_circuit_is_open(place: Place) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "dead.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    let (log, calls) = (Log::default(), Arc::default());
    log.fail(0..1);
    let subscription = start(&bus, &log, &calls, Duration::from_secs(3));
    bus.publish("order.x", Envelope::new("a", "Tested", "x")).unwrap().wait().unwrap();
    eventually("the consumer is paused", || is_paused(&bus).then_some(()));
    let other = EventBus::connect(&server.url()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    // As paused as it is, the consumer is not let go on by who joins.
    other
        .subscribe("s")
        .shared()
        .dead_letters(DeadLetters::to("dead"))
        .on("order.*", move |event: &Envelope| theirs.lock().unwrap().push(event.clone()))
        .start()
        .unwrap();
    bus.publish("order.x", Envelope::new("b", "Tested", "x")).unwrap().wait().unwrap();
    let info = bus.jetstream().consumer_info("order_ALL", "s").wait().unwrap();
    assert_eq!((info.paused, info.num_pending), (true, 1), "who joins lets nothing go on");
    assert_eq!(seen.lock().unwrap().len(), 0);
    log.up();
    eventually("both are handled", || {
        let theirs = seen.lock().unwrap().len() as u64;
        (subscription.counts().handled + theirs == 2).then_some(())
    });
}

/// Among those that wait are many that no handler is for: to let one of them go decides nothing, and holds up nothing.
pub(crate) fn events_of_other_types_do_not_keep_the_circuit_open(place: Place) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    let log = Log::default();
    log.fail(0..1);
    let breaker = CircuitBreaker::after(NonZeroU32::MIN);
    let seen = log.clone();
    let subscription = bus
        .subscribe("s")
        .retry(Duration::from_millis(1), Duration::from_millis(1))
        .circuit_breaker(breaker.pause(Duration::from_millis(50), Duration::from_millis(50)))
        .on_type("order.*", "Work", move |event: &Envelope| {
            if seen.fails(0) {
                return Err("the database is down");
            }
            seen.note(event);
            Ok(())
        })
        .start()
        .unwrap();
    // At once, so that they are here before the circuit opens.
    let mut tickets = Vec::new();
    for number in 0..100 {
        let kind = if number % 10 == 0 { "Work" } else { "Other" };
        let event = Envelope::new(format!("key-{number}"), kind, "x");
        tickets.push(bus.publish("order.x", event).unwrap());
    }
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
    eventually("it is open", || is_paused(&bus).then_some(()));
    log.up();
    eventually("all are done", || {
        let counts = subscription.counts();
        ((counts.handled, counts.passed_over) == (10, 90)).then_some(())
    });
    bus.close(DEADLINE).unwrap();
}
