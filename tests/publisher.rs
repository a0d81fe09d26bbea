//! Publishers: outcomes in a row, the order of a key when a publish fails, the rate, close.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jetlane::jetstream::{BatchGet, Discard, JetStream, JetStreamOptions, StreamConfig};
use jetlane::{
    ConnectOptions, Envelope, EventBus, Form, KeyOrder, Limits, NotPublished, OrderBy, Outcomes,
    PublishError, Published, Publisher, Rate, RawEvent, Stored, Strategy, Unknown,
};
use jetlane_client::Client;
use jetlane_testkit::{Direction, End, Proxy, Server};
use jetlane_tests::{DEADLINE, eventually, rounds};

const ORDERS: [KeyOrder; 3] = [KeyOrder::Free, KeyOrder::Wait, KeyOrder::Fail];

fn config() -> StreamConfig {
    StreamConfig::new("S").subject("s.>").allow_direct()
}

/// A server with a stream `S` of the subjects `s.>`, and a bus on it.
fn with_stream(config: &StreamConfig) -> (Server, EventBus) {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.jetstream().create_stream(config).wait().unwrap();
    (server, bus)
}

fn event(key: impl ToString, payload: impl ToString) -> Envelope {
    Envelope::new(key.to_string(), "Tested", payload.to_string())
}

/// Takes outcomes until there are so many.
fn collect<T>(outcomes: &mut Outcomes<T>, count: usize) -> Vec<Published<T>> {
    let mut all = Vec::new();
    while all.len() < count {
        let burst = outcomes.next_timeout(DEADLINE);
        all.extend(burst.unwrap_or_else(|| panic!("{} of {count} outcomes came", all.len())));
    }
    assert_eq!(all.len(), count);
    all
}

/// The aggregate and the payload of every event of the stream, in its order.
fn stored(bus: &EventBus) -> Vec<(String, u64)> {
    let (mut events, mut next) = (Vec::new(), 1);
    loop {
        let before = events.len();
        let batch = bus.jetstream().direct_get_batch("S", &BatchGet::next(">", next, 500)).unwrap();
        for message in batch.map_while(Result::ok) {
            next = message.sequence + 1;
            let key = message.headers().unwrap().get("X-Aggregate-ID").unwrap().to_vec();
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            events.push((String::from_utf8(key).unwrap(), payload.parse().unwrap()));
        }
        if events.len() == before {
            return events;
        }
    }
}

/// Every aggregate has its events 0, 1, 2 … up to `each`, in order and once.
fn assert_in_order(events: &[(String, u64)], keys: usize, each: u64) {
    let mut next: HashMap<&str, u64> = HashMap::new();
    for (key, number) in events {
        let expected = next.entry(key).or_default();
        assert_eq!(number, expected, "of {key}");
        *expected += 1;
    }
    assert_eq!(next.len(), keys);
    assert!(next.values().all(|&count| count == each), "{next:?}");
}

fn sequence(outcome: &Result<Stored, NotPublished>) -> u64 {
    outcome.as_ref().unwrap().sequence
}

#[test]
fn no_outcome_is_dropped_however_slow_the_reader() {
    // Fewer tickets and acks than events, and fewer outcomes at a time, too.
    const EVENTS: u64 = 5000;
    for order in ORDERS {
        let server = Server::start().unwrap();
        let limits = Limits { pending_acks: 64, tickets: 300, ..Limits::default() };
        let options = ConnectOptions::new().limits(limits);
        let bus = EventBus::connect_with(&server.url(), options).unwrap();
        bus.jetstream().create_stream(&config()).wait().unwrap();
        let builder = bus.publisher::<u64>().order(order).most(200);
        let (publisher, mut outcomes) = builder.start().unwrap();
        let reader = thread::spawn(move || {
            let mut seen = Vec::new();
            for burst in outcomes.by_ref() {
                assert!((1..=200).contains(&burst.len()));
                seen.extend(burst.iter().map(|one| (one.token, sequence(&one.outcome))));
                thread::park_timeout(Duration::from_micros(300));
            }
            assert!(outcomes.has_ended());
            seen
        });
        for n in 0..EVENTS {
            publisher.publish("s.x", event(n % 100, n / 100), n).unwrap();
        }
        publisher.close(DEADLINE).unwrap();
        let mut seen = reader.join().unwrap();
        seen.sort_unstable();
        assert!(seen.iter().map(|(token, _)| *token).eq(0..EVENTS), "{order:?}");
        let mut sequences: Vec<_> = seen.iter().map(|(_, sequence)| *sequence).collect();
        sequences.sort_unstable();
        assert!(sequences.into_iter().eq(1..=EVENTS));
        assert_in_order(&stored(&bus), 100, EVENTS / 100);
    }
}

#[test]
fn outcomes_stay_until_they_are_taken_and_come_in_one_burst() {
    let (_server, bus) = with_stream(&config());
    for order in ORDERS {
        let (publisher, mut outcomes) = bus.publisher().order(order).most(100).start().unwrap();
        assert!(outcomes.try_next().is_none());
        for n in 0..100 {
            publisher.publish("s.x", event(n, 0), n).unwrap();
        }
        eventually("all have an outcome", || (publisher.unpublished() == 0).then_some(()));
        let full = PublishError::Outcomes { most: 100 };
        assert_eq!(publisher.try_publish("s.x", event("a", 0), 100), Err(full));
        let burst = outcomes.try_next().unwrap();
        assert_eq!(burst.len(), 100, "{order:?}");
        assert!(outcomes.try_next().is_none());
        publisher.try_publish("s.x", event("a", 0), 100).unwrap();
        // As a stream, and without its publisher.
        drop(publisher);
        let ended = pollster::block_on(async {
            let burst = futures_lite::StreamExt::next(&mut outcomes).await.unwrap();
            assert_eq!((burst.len(), burst[0].token), (1, 100));
            outcomes.recv().await.is_none()
        });
        assert!(ended);
    }
}

#[test]
fn who_waits_for_room_goes_on_when_somebody_takes() {
    let (_server, bus) = with_stream(&config());
    for order in ORDERS {
        let (publisher, mut outcomes) = bus.publisher().order(order).most(1).start().unwrap();
        publisher.publish("s.x", event("a", 0), 0).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| publisher.publish("s.x", event("a", 1), 1));
            assert_eq!(collect(&mut outcomes, 1)[0].token, 0);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(collect(&mut outcomes, 1)[0].token, 1);
    }
}

#[test]
fn what_can_never_be_published_is_told_at_once_and_has_no_outcome() {
    let (_server, bus) = with_stream(&config());
    for order in ORDERS {
        let (publisher, outcomes) = bus.publisher().order(order).start().unwrap();
        let huge = event("a", "x".repeat(2 << 20));
        let empty = Envelope::new("", "Tested", "");
        for (topic, event) in [("a b", event("a", 0)), ("s.x", huge), ("s.x", empty)] {
            let error = publisher.publish(topic, event, ()).unwrap_err();
            assert!(!matches!(error, PublishError::Outcomes { .. }), "{error}");
        }
        assert_eq!(publisher.unpublished(), 0);
        publisher.close(DEADLINE).unwrap();
        assert_eq!(outcomes.count(), 0);
        let closed = publisher.publish("s.x", event("a", 0), ()).unwrap_err();
        assert!(closed.to_string().contains("closed"), "{closed}");
    }
}

/// Of each form what a publisher sends is what `publish_as` does, and a subscription reads it; what the form can not hold is told at once.
#[test]
fn every_form_is_sent_as_by_the_bus_itself() {
    const FORMS: [Form; 4] =
        [Form::Header, Form::Json, Form::CloudEventsBinary, Form::CloudEventsStructured];
    let (_server, bus) = with_stream(&config());
    // What was stored once is not stored again: the two go to streams of their own.
    bus.topic("t.>").ensure(Strategy::CreateOnly).unwrap();
    let raw = |name: &str, topic: &str| {
        let (seen, messages) = mpsc::channel();
        let raw = move |message: &RawEvent<'_>| {
            let block = message.headers().unwrap().as_bytes().to_vec();
            seen.send((block, message.payload().to_vec())).unwrap();
        };
        let one_by_one = bus.subscribe(name).order_by(OrderBy::Subject);
        one_by_one.on_raw(topic, raw).start().unwrap();
        messages
    };
    let (by_publisher, by_bus) = (raw("by_publisher", "s.x"), raw("by_bus", "t.x"));
    let (seen, events) = mpsc::channel();
    let read = move |event: &Envelope| seen.send(event.clone()).unwrap();
    bus.subscribe("read").on("s.x", read).start().unwrap();
    for form in FORMS {
        for (order, rate) in [
            (KeyOrder::Free, None),
            (KeyOrder::Free, Some(Rate::per_second(1000))),
            (KeyOrder::Wait, None),
            (KeyOrder::Fail, None),
        ] {
            let case = format!("{form:?} {order:?} {rate:?}");
            let event = event("a", "7").with_source("/s");
            bus.publish_as(form, "t.x", &event).unwrap().wait().unwrap();
            let builder = bus.publisher().form(form).order(order);
            let builder = match rate {
                Some(rate) => builder.rate(rate),
                None => builder,
            };
            let (publisher, mut outcomes) = builder.start().unwrap();
            publisher.publish("s.x", &event, ()).unwrap();
            let sent = by_publisher.recv_timeout(DEADLINE).unwrap();
            assert_eq!(sent, by_bus.recv_timeout(DEADLINE).unwrap(), "{case}");
            let read = events.recv_timeout(DEADLINE).unwrap();
            assert_eq!((read.event_id(), read.payload()), (event.event_id(), event.payload()));
            assert!(collect(&mut outcomes, 1)[0].outcome.is_ok(), "{case}");
            let text = Envelope::new("a", "Tested", "no JSON");
            let refused = publisher.publish("s.x", text, ());
            assert_eq!(refused.is_err(), form == Form::Json, "{case}: {refused:?}");
            if refused.is_ok() {
                by_publisher.recv_timeout(DEADLINE).unwrap();
                events.recv_timeout(DEADLINE).unwrap();
            }
        }
    }
}

/// A full stream that later gets room: what is refused meanwhile is tried again, and nothing overtakes it.
#[test]
fn with_wait_a_stream_that_is_full_for_a_while_has_every_key_in_order() {
    const KEYS: usize = 20;
    const EACH: u64 = 10;
    let full = config().discard(Discard::New).max_msgs(35);
    let (_server, bus) = with_stream(&full);
    let builder = bus.publisher().order(KeyOrder::Wait);
    let builder = builder.retry_if(|why| why.is_temporary() || why.error_code == 10077);
    let (publisher, mut outcomes) = builder.start().unwrap();
    for n in 0..KEYS as u64 * EACH {
        publisher.publish("s.x", event(n % KEYS as u64, n / KEYS as u64), n).unwrap();
    }
    let first = collect(&mut outcomes, 35);
    assert!(first.iter().all(|one| one.outcome.is_ok()));
    assert!(outcomes.next_timeout(Duration::from_millis(100)).is_none(), "the others wait");
    bus.jetstream().update_stream(&full.max_msgs(1000)).wait().unwrap();
    let rest = collect(&mut outcomes, KEYS * EACH as usize - 35);
    assert!(rest.iter().all(|one| one.outcome.is_ok()));
    let mut tokens: Vec<_> = first.iter().chain(&rest).map(|one| one.token).collect();
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq(0..KEYS as u64 * EACH));
    assert_in_order(&stored(&bus), KEYS, EACH);
}

#[test]
fn with_wait_a_subject_that_nobody_stores_waits_for_its_stream() {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    let (publisher, mut outcomes) = bus.publisher().order(KeyOrder::Wait).start().unwrap();
    for n in 0..30 {
        publisher.publish("s.x", event(n % 3, n / 3), n).unwrap();
    }
    assert!(outcomes.next_timeout(Duration::from_millis(200)).is_none());
    bus.jetstream().create_stream(&config()).wait().unwrap();
    assert!(collect(&mut outcomes, 30).iter().all(|one| one.outcome.is_ok()));
    assert_in_order(&stored(&bus), 3, 10);
}

#[test]
fn patience_ends_and_those_behind_fail_with_it() {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    let builder = bus.publisher().order(KeyOrder::Wait).patience(Duration::from_millis(200));
    let (publisher, mut outcomes) = builder.start().unwrap();
    let start = Instant::now();
    let first = event("a", 0);
    publisher.publish("s.x", &first, 0).unwrap();
    publisher.publish("s.x", event("a", 1), 1).unwrap();
    let ended = collect(&mut outcomes, 2);
    assert!(start.elapsed() > Duration::from_millis(50), "it was tried more than once");
    assert!(matches!(&ended[0].outcome, Err(NotPublished::Rejected(why)) if why.code == 503));
    assert_behind(&ended[1], 1, &first);
}

#[track_caller]
fn assert_behind<T: PartialEq + std::fmt::Debug>(one: &Published<T>, token: T, failed: &Envelope) {
    let event_id = failed.event_id().unwrap().to_string().into();
    assert_eq!(one.token, token);
    assert_eq!(one.outcome, Err(NotPublished::Behind { event_id }));
}

/// What a final rejection does, by policy.
#[test]
fn a_rejection_for_good_is_overtaken_only_where_that_was_asked_for() {
    for order in ORDERS {
        // Events of more than 300 bytes of payload are refused.
        let (_server, bus) = with_stream(&config().max_msg_size(800));
        let (publisher, mut outcomes) = bus.publisher().order(order).start().unwrap();
        let bad = event("a", "9".repeat(700));
        publisher.publish("s.x", event("a", 0), 0).unwrap();
        publisher.publish("s.x", &bad, 1).unwrap();
        publisher.publish("s.x", event("a", 1), 2).unwrap();
        publisher.publish("s.x", event("b", 0), 3).unwrap();
        publisher.publish("s.x", event("a", 2), 4).unwrap();
        eventually("all have an outcome", || (publisher.unpublished() == 0).then_some(()));
        // Accepted after the failure, but before anybody was told.
        publisher.publish("s.x", event("a", 3), 5).unwrap();
        let mut ended = collect(&mut outcomes, 6);
        ended.sort_by_key(|one| one.token);
        let refused = |one: &Published<i32>| matches!(&one.outcome, Err(NotPublished::Rejected(why)) if why.error_code == 10054);
        assert!(refused(&ended[1]), "{:?}", ended[1]);
        assert!(ended[0].outcome.is_ok() && ended[3].outcome.is_ok());
        for token in [2, 4, 5] {
            match order {
                KeyOrder::Free => assert!(ended[token as usize].outcome.is_ok()),
                _ => assert_behind(&ended[token as usize], token, &bad),
            }
        }
        // All have been told: the key goes on.
        publisher.publish("s.x", event("a", 1), 6).unwrap();
        let after = collect(&mut outcomes, 1);
        assert!(after[0].outcome.is_ok(), "{order:?}: {after:?}");
        if order != KeyOrder::Free {
            assert_eq!(stored(&bus).len(), 3);
        }
    }
}

#[test]
fn with_fail_a_publish_is_not_repeated() {
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    let (publisher, mut outcomes) = bus.publisher().order(KeyOrder::Fail).start().unwrap();
    let nowhere = event("a", 0);
    publisher.publish("s.x", &nowhere, 0).unwrap();
    publisher.publish("s.x", event("a", 1), 1).unwrap();
    let ended = collect(&mut outcomes, 2);
    assert!(matches!(&ended[0].outcome, Err(NotPublished::Rejected(why)) if why.code == 503));
    assert_behind(&ended[1], 1, &nowhere);
}

/// Connections that are cut while acks are on their way: outcomes are unknown, and the stream has everything in order and once.
#[test]
fn with_wait_lost_acks_cost_neither_order_nor_events() {
    const KEYS: u64 = 50;
    const EACH: u64 = 60;
    let (server, direct) = with_stream(&config());
    let proxy = Proxy::start(server.port()).unwrap();
    let client = Client::connect(&proxy.url()).unwrap();
    let options =
        JetStreamOptions { publish_timeout: Duration::from_secs(1), ..Default::default() };
    let bus = EventBus::on(JetStream::with_options(client, options).unwrap());
    let (publisher, mut outcomes) = bus.publisher().order(KeyOrder::Wait).start().unwrap();
    let duplicates = Arc::new(AtomicUsize::new(0));
    let reader = {
        let duplicates = Arc::clone(&duplicates);
        thread::spawn(move || {
            for burst in outcomes.by_ref() {
                for one in burst {
                    let stored = one.outcome.unwrap_or_else(|error| panic!("{error}"));
                    duplicates.fetch_add(usize::from(stored.duplicate), Relaxed);
                }
            }
        })
    };
    for round in 0..EACH {
        for key in 0..KEYS {
            publisher.publish("s.x", event(key, round), ()).unwrap();
        }
        if round % 20 == 10 {
            // Acks are lost, and then the connection.
            proxy.deafen(Direction::ToClient);
            eventually("acks are lost", || {
                (proxy.lost(Direction::ToClient) > 500 * (round as usize / 20 + 1)).then_some(())
            });
            proxy.cut(End::Rst);
            proxy.hear(Direction::ToClient);
        }
    }
    publisher.close(DEADLINE).unwrap();
    reader.join().unwrap();
    assert!(duplicates.load(Relaxed) > 0, "some were stored whose acks were lost");
    assert_in_order(&stored(&direct), KEYS as usize, EACH);
}

#[test]
fn without_wait_a_lost_ack_is_unknown() {
    for order in [KeyOrder::Free, KeyOrder::Fail] {
        let (server, _direct) = with_stream(&config());
        let proxy = Proxy::start(server.port()).unwrap();
        let bus = EventBus::connect(&proxy.url()).unwrap();
        let (publisher, mut outcomes) = bus.publisher().order(order).start().unwrap();
        proxy.deafen(Direction::ToClient);
        publisher.publish("s.x", event("a", 0), ()).unwrap();
        eventually("the ack is lost", || (proxy.lost(Direction::ToClient) > 0).then_some(()));
        proxy.cut(End::Rst);
        let ended = collect(&mut outcomes, 1);
        assert_eq!(ended[0].outcome, Err(NotPublished::Unknown(Unknown::Disconnected)));
    }
}

#[test]
fn the_rate_is_kept_and_the_caller_does_not_wait() {
    let (_server, bus) = with_stream(&config());
    for order in ORDERS {
        let rate = Rate::per_second(200).burst(10);
        let (publisher, mut outcomes) = bus.publisher().order(order).rate(rate).start().unwrap();
        let start = Instant::now();
        for n in 0..110 {
            publisher.publish("s.x", event(n, 0), n).unwrap();
        }
        assert!(start.elapsed() < Duration::from_millis(400), "{order:?}");
        collect(&mut outcomes, 110);
        let took = start.elapsed();
        // Ten at once, and a hundred in half a second. A machine under load may take longer.
        assert!(took > Duration::from_millis(495), "{order:?}: {took:?}");
        assert!(took < Duration::from_secs(5), "{order:?}: {took:?}");
    }
}

/// A publisher whose events can not be stored, as no stream is there, with one event on the way and others behind it.
fn stuck(bus: &EventBus) -> (Publisher<u32>, Outcomes<u32>) {
    let (publisher, outcomes) = bus.publisher().order(KeyOrder::Wait).start().unwrap();
    (0..5).for_each(|n| publisher.publish("nobody", event("a", n), n).unwrap());
    (publisher, outcomes)
}

#[test]
fn a_close_that_runs_out_of_time_counts_and_every_event_has_its_outcome() {
    let server = Server::start().unwrap();
    let closed = |outcomes: Outcomes<u32>| {
        let mut all: Vec<_> = outcomes.flatten().collect();
        all.sort_by_key(|one| one.token);
        assert!(all.iter().map(|one| one.token).eq(0..5));
        assert!(all[1..].iter().all(|one| one.outcome == Err(NotPublished::Closed)), "{all:?}");
        assert!(all[0].outcome.is_err());
    };
    let bus = EventBus::connect(&server.url()).unwrap();
    let (publisher, outcomes) = stuck(&bus);
    let undone = publisher.close(Duration::from_millis(50)).unwrap_err();
    assert_eq!((undone.unpublished, undone.unacknowledged), (5, 0));
    closed(outcomes);
    publisher.close(DEADLINE).unwrap();

    // The bus closes its publishers, and waits for them.
    let (publisher, outcomes) = stuck(&bus);
    let undone = bus.close(Duration::from_millis(50)).unwrap_err();
    assert_eq!(undone.unpublished, 5, "{undone}");
    assert!(publisher.publish("nobody", event("a", 0), 9).is_err());
    closed(outcomes);
}

#[test]
fn the_bus_waits_for_what_its_publishers_have_accepted() {
    for order in ORDERS {
        let (server, bus) = with_stream(&config());
        let rate = Rate::per_second(1000).burst(1);
        let builder = bus.publisher::<u32>().order(order);
        let builder = if order == KeyOrder::Fail { builder.rate(rate) } else { builder };
        let (publisher, outcomes) = builder.start().unwrap();
        (0..300).for_each(|n| publisher.publish("s.x", event(n % 3, n / 3), n).unwrap());
        bus.close(DEADLINE).unwrap();
        assert!(publisher.publish("s.x", event("a", 0), 300).is_err());
        assert_eq!(outcomes.flatten().filter(|one| one.outcome.is_ok()).count(), 300);
        assert_in_order(&stored(&EventBus::connect(&server.url()).unwrap()), 3, 100);
    }
}

#[test]
fn what_was_accepted_goes_on_when_publisher_bus_and_reader_are_dropped() {
    for order in ORDERS {
        let (server, bus) = with_stream(&config());
        let (publisher, outcomes) = bus.publisher().order(order).most(10).start().unwrap();
        drop(outcomes);
        // Ten times what would fit if somebody had to take outcomes.
        (0..100).for_each(|n| publisher.publish("s.x", event(n % 3, n / 3), n).unwrap());
        drop((publisher, bus));
        let bus = EventBus::connect(&server.url()).unwrap();
        eventually("all are stored", || (stored(&bus).len() == 100).then_some(()));
    }
}

#[test]
fn a_callback_gets_bursts_and_may_publish_and_panic() {
    let (_server, bus) = with_stream(&config());
    for order in ORDERS {
        let (told, bursts) = mpsc::channel();
        let inner: Arc<std::sync::OnceLock<Publisher<u32>>> = Arc::default();
        let publisher = {
            let inner = Arc::clone(&inner);
            bus.publisher().order(order).most(200).on_outcomes(move |burst: &mut Vec<_>| {
                assert_eq!(thread::current().name(), Some("publish"));
                let tokens: Vec<u32> = burst.iter().map(|one: &Published<u32>| one.token).collect();
                let panics = tokens.contains(&7);
                if tokens.contains(&3) {
                    inner.wait().publish("s.x", event("again", 0), 1000).unwrap();
                }
                told.send(tokens).unwrap();
                assert!(!panics, "on purpose");
            })
        };
        let before = bus.client().stats().callback_panics;
        inner.set(publisher.unwrap()).unwrap();
        (0..100).for_each(|n| inner.wait().publish("s.x", event(n, 0), n).unwrap());
        let mut all = Vec::new();
        while all.len() < 101 {
            let burst = bursts.recv_timeout(DEADLINE).unwrap();
            assert!(!burst.is_empty());
            all.extend(burst);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq((0..100).chain([1000])), "{order:?}");
        inner.wait().close(DEADLINE).unwrap();
        assert_eq!(bus.client().stats().callback_panics, before + 1);
    }
}

/// Several threads, several keys each, a server that stops for a while: every key in order, every event once.
#[test]
fn threads_share_a_publisher() {
    let each = rounds(200) as u64;
    let (server, bus) = with_stream(&config());
    let (publisher, outcomes) = bus.publisher().order(KeyOrder::Wait).most(500).start().unwrap();
    let reader = thread::spawn(|| outcomes.flatten().filter(|one| one.outcome.is_ok()).count());
    thread::scope(|scope| {
        for who in 0..4 {
            let publisher = &publisher;
            scope.spawn(move || {
                for n in 0..each {
                    for key in 0..3 {
                        publisher.publish("s.x", event(who * 3 + key, n), n).unwrap();
                    }
                }
            });
        }
        server.pause();
        thread::park_timeout(Duration::from_millis(300));
        server.resume();
    });
    publisher.close(DEADLINE).unwrap();
    assert_eq!(reader.join().unwrap(), 12 * each as usize);
    assert_in_order(&stored(&bus), 12, each);
}
