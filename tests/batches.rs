//! Handlers that take several events of one aggregate at once.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use jetlane::jetstream::ConsumerConfig;
use jetlane::{
    Counts, DeadLetters, Envelope, EventBus, Parking, Pick, Settlement, Strategy, Subscription,
    Verdict,
};
use jetlane_tests::place::{Place, Started};
use jetlane_tests::{DEADLINE, eventually};

/// What was handled, by aggregate: the numbers of each batch.
type Log = Arc<Mutex<HashMap<String, Vec<Vec<i64>>>>>;

fn with_topics(place: Place) -> (Started, EventBus) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "dead.>", "parked.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    (server, bus)
}

fn most(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn publish(bus: &EventBus, numbers: std::ops::Range<i64>, keys: &[&str]) {
    let mut tickets = Vec::new();
    for number in numbers {
        for key in keys {
            let event = Envelope::new(*key, "Tested", "x").with_event_version(number);
            tickets.push(bus.publish("order.x", &event).unwrap());
        }
    }
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
}

fn note(log: &Log, events: &[Envelope]) {
    let key = events[0].aggregate_id();
    assert!(events.iter().all(|event| event.aggregate_id() == key), "one aggregate at a time");
    let numbers = events.iter().map(Envelope::event_version).collect();
    log.lock().unwrap().entry(key.into()).or_default().push(numbers);
}

fn counted(subscription: &Subscription, wanted: impl Fn(Counts) -> bool) {
    eventually("so much is done", || wanted(subscription.counts()).then_some(()));
}

fn flat(log: &Log, key: &str) -> Vec<i64> {
    log.lock().unwrap().get(key).into_iter().flatten().flatten().copied().collect()
}

fn all_settled(bus: &EventBus) {
    eventually("all is settled", || {
        let info = bus.jetstream().consumer_info("order_ALL", "s").wait().unwrap();
        (info.num_pending + info.num_ack_pending == 0).then_some(())
    });
}

pub(crate) fn events_that_come_together_are_handled_together_and_in_order(place: Place) {
    const EVENTS: i64 = 2000;
    for settlement in [Settlement::Each, Settlement::Watermark] {
        let (_server, bus) = with_topics(place);
        publish(&bus, 0..EVENTS, &["a", "b", "c"]);
        let log = Log::default();
        let seen = Arc::clone(&log);
        let subscription = bus
            .subscribe("s")
            .settlement(settlement)
            .on_batch("order.*", most(7), move |events: &[Envelope]| note(&seen, events))
            .start()
            .unwrap();
        counted(&subscription, |counts| counts.handled == 3 * EVENTS as u64);
        for key in ["a", "b", "c"] {
            assert_eq!(flat(&log, key), (0..EVENTS).collect::<Vec<_>>(), "{key} {settlement:?}");
            let log = log.lock().unwrap();
            let sizes: Vec<usize> = log[key].iter().map(Vec::len).collect();
            assert!(sizes.iter().all(|size| (1..=7).contains(size)), "{sizes:?}");
            assert!(sizes.contains(&7), "they do come together: {sizes:?}");
        }
        all_settled(&bus);
        bus.close(DEADLINE).unwrap();
    }
}

/// A batch that fails is tried again as it is; then one by one, and only the one that is wrong goes.
pub(crate) fn of_a_batch_that_fails_only_the_wrong_one_is_given_up(place: Place) {
    for settlement in [Settlement::Each, Settlement::Watermark] {
        for rejects in [false, true] {
            let (_server, bus) = with_topics(place);
            publish(&bus, 0..20, &["a", "b"]);
            let log = Log::default();
            let seen = Arc::clone(&log);
            let subscription = bus
                .subscribe("s")
                .settlement(settlement)
                .retry(Duration::from_millis(1), Duration::from_millis(1))
                .dead_letters(DeadLetters::to("dead").attempts(NonZeroU32::new(2).unwrap()))
                .on_batch("order.*", most(50), move |events: &[Envelope]| {
                    let is_wrong = |event: &Envelope| {
                        event.aggregate_id() == "a" && event.event_version() == 13
                    };
                    if events.iter().any(is_wrong) {
                        let reason = "one is wrong".to_string();
                        return match rejects {
                            true => Verdict::Reject { reason },
                            false => Verdict::Retry { after: None, reason },
                        };
                    }
                    note(&seen, events);
                    Verdict::Done
                })
                .start()
                .unwrap();
            counted(&subscription, |counts| (counts.handled, counts.dead_lettered) == (39, 1));
            let others: Vec<_> = (0..20).filter(|number| *number != 13).collect();
            assert_eq!(flat(&log, "a"), others);
            assert_eq!(flat(&log, "b"), (0..20).collect::<Vec<_>>());
            let letters = bus.letters("dead").unwrap();
            let letter = letters.read(&Pick::all()).next().unwrap().unwrap();
            assert_eq!((letter.event_sequence, letter.key.as_deref()), (27, Some("a")));
            all_settled(&bus);
            assert!(subscription.health().stalled.is_empty());
        }
    }
}

/// When one of a batch parks its aggregate, those behind it are parked with it, in order; and what can not be read goes alone.
pub(crate) fn a_batch_can_be_parked_and_goes_on_where_it_stopped(place: Place) {
    let (_server, bus) = with_topics(place);
    publish(&bus, 0..10, &["a"]);
    let (log, is_down) = (Log::default(), Arc::new(Mutex::new(true)));
    let (seen, down) = (Arc::clone(&log), Arc::clone(&is_down));
    let subscription = bus
        .subscribe("s")
        .retry(Duration::from_millis(1), Duration::from_millis(1))
        .parking(Parking::to("parked").attempts(NonZeroU32::new(2).unwrap()))
        .on_batch("order.*", most(50), move |events: &[Envelope]| {
            let is_wrong = |event: &Envelope| event.event_version() == 3;
            if *down.lock().unwrap() && events.iter().any(is_wrong) {
                return Err("not now");
            }
            note(&seen, events);
            Ok(())
        })
        .start()
        .unwrap();
    counted(&subscription, |counts| (counts.handled, counts.parked) == (3, 7));
    *is_down.lock().unwrap() = false;
    let plan = bus.letters("parked").unwrap().plan(&Pick::all()).unwrap();
    assert_eq!(plan.run().unwrap().events, 7);
    counted(&subscription, |counts| counts.handled == 10);
    publish(&bus, 10..15, &["a"]);
    counted(&subscription, |counts| counts.handled + counts.parked >= 22);
    assert_eq!(flat(&log, "a"), (0..15).collect::<Vec<_>>());
}

/// The first of a batch was delivered too often: it goes, by itself.
pub(crate) fn of_a_batch_only_the_one_that_was_delivered_too_often_goes(place: Place) {
    let (_server, bus) = with_topics(place);
    let config = ConsumerConfig::durable("s").filter("order.*").ack_wait(Duration::from_secs(1));
    let consumer = bus.jetstream().create_consumer("order_ALL", &config).wait().unwrap();
    publish(&bus, 0..1, &["a"]);
    let mut other = bus.jetstream().consume(&consumer).window(1).queued().unwrap();
    other.next_timeout(DEADLINE).unwrap().nak(Duration::ZERO);
    drop(other);
    publish(&bus, 1..10, &["a"]);
    let log = Log::default();
    let seen = Arc::clone(&log);
    let subscription = bus
        .subscribe("s")
        .ack_wait(Duration::from_secs(1))
        .dead_letters(DeadLetters::to("dead").deliveries(1))
        .on_batch("order.*", most(50), move |events: &[Envelope]| note(&seen, events))
        .start()
        .unwrap();
    counted(&subscription, |counts| (counts.dead_lettered, counts.handled) == (1, 9));
    assert_eq!(flat(&log, "a"), (1..10).collect::<Vec<_>>());
    all_settled(&bus);
}

/// A batch whose handler does not return when the time is up goes back whole, before those behind it.
pub(crate) fn a_batch_that_is_stuck_is_given_back_whole(place: Place) {
    let (server, bus) = with_topics(place);
    publish(&bus, 0..30, &["a"]);
    let (begun, beginning) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    bus.subscribe("s")
        .on_batch("order.*", most(10), move |events: &[Envelope]| {
            begun.send(events.len()).unwrap();
            let _ = gate.lock().unwrap().recv();
        })
        .start()
        .unwrap();
    let size = beginning.recv_timeout(DEADLINE).unwrap();
    let undone = bus.close(Duration::from_millis(50)).unwrap_err();
    assert_eq!((undone.stuck, undone.returned), (1, 30 - size));
    let next = EventBus::connect(&server.url()).unwrap();
    let log = Log::default();
    let seen = Arc::clone(&log);
    let handler = move |events: &[Envelope]| note(&seen, events);
    let subscription = next.subscribe("s").on_batch("order.*", most(10), handler).start().unwrap();
    // Well within the ack wait of ten seconds.
    let patience = std::time::Instant::now() + Duration::from_secs(5);
    counted(&subscription, |counts| counts.handled >= 30 || std::time::Instant::now() > patience);
    assert_eq!(flat(&log, "a"), (0..30).collect::<Vec<_>>());
    drop(go);
}
