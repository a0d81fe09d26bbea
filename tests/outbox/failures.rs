//! What goes wrong around a relay: nothing is lost, nothing is stored twice, others go on, and it says what holds it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jetlane::jetstream::{Discard, Get, PublishHeaders, Purge, StreamConfig};
use jetlane::{Envelope, EventBus, Strategy};
use jetlane_outbox::{Database, Entry, Keep, Relay, Trouble, Upkeep};
use jetlane_tests::eventually;

use crate::service::{End, On, PATIENCE, Service, event};

/// Shorter than anything that a relay waits for.
const SHORT_WINDOW: Duration = Duration::from_millis(100);

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || is_so().then_some(()));
}

/// Stores an event as a relay does which then dies.
fn publish_as_a_relay_does(service: &Service, topic: &str, event: &Envelope) {
    let entry = Entry::new(topic, event).unwrap();
    let js = service.bus.jetstream();
    let headers = event.headers().unwrap();
    js.publish_with(entry.subject(), &headers, event.payload()).unwrap().wait().unwrap();
}

/// Waits until the stream has forgotten the ids of what it has stored: those of a probe that is younger.
fn wait_for_the_window(service: &Service) {
    let js = service.bus.jetstream();
    let probe = PublishHeaders::new().msg_id("probe").unwrap();
    let probe = || js.publish_with("order.probe", &probe, "").unwrap().wait().unwrap();
    assert!(!probe().duplicate);
    until("the stream has forgotten", || !probe().duplicate);
}

pub(crate) fn what_was_stored_before_a_crash_is_found_and_not_stored_again_after_any_pause(on: On) {
    let service = on.with_stream(|topic| topic.duplicate_window(SHORT_WINDOW));
    let events: Vec<_> = ["a", "b", "c", "a"].map(event).into();
    service.add_events(&events, End::Commit);
    // The first of `a`, and that of `c`, were stored; their rows were not taken out.
    for at in [0, 2] {
        publish_as_a_relay_does(&service, events[at].0, &events[at].1);
    }
    wait_for_the_window(&service);
    let relay = service.relay().start().unwrap();
    until("nothing waits", || service.waiting() == 0);
    let ids: Vec<_> = service.stored().into_iter().map(|(_, id)| id).collect();
    let id = |at: usize| events[at].1.event_id().unwrap().to_owned();
    assert_eq!(ids.len(), 4, "each is there once");
    assert_eq!(ids[..2], [id(0), id(2)]);
    assert!(ids.contains(&id(1)) && ids.contains(&id(3)));
    let status = relay.status();
    assert_eq!((status.published, status.found), (4, 2));
    relay.stop(PATIENCE).unwrap();
}

pub(crate) fn of_a_key_that_others_wrote_to_at_once_the_stored_one_is_found_whatever_came_before_it(
    on: On,
) {
    let service = on.with_stream(|topic| topic.duplicate_window(SHORT_WINDOW));
    // The one behind was stored, and the one before it was committed later than that.
    let events: Vec<_> = ["a", "a"].map(event).into();
    service.add_events(&events, End::Commit);
    publish_as_a_relay_does(&service, events[1].0, &events[1].1);
    wait_for_the_window(&service);
    let relay = service.relay().start().unwrap();
    until("nothing waits", || service.waiting() == 0);
    let ids: Vec<_> = service.stored().into_iter().map(|(_, id)| id).collect();
    let expected = [1, 0].map(|at: usize| events[at].1.event_id().unwrap().to_owned());
    assert_eq!(ids, expected);
    relay.stop(PATIENCE).unwrap();
}

pub(crate) fn an_event_that_is_refused_stops_its_key_and_no_other_until_it_is_let_go_on(on: On) {
    let service = on.start();
    let js = service.bus.jetstream();
    let mut config = stream(&service);
    config.max_msg_size = Some(1000);
    js.update_stream(&config).wait().unwrap();
    let large = Envelope::new("a", "OrderChanged", vec![b'x'; 2000]);
    service
        .add_events(&[event("b"), ("order.changed", large), event("a"), event("b")], End::Commit);
    let relay = service.relay().start().unwrap();
    until("a is stopped", || relay.status().stopped == 1);
    until("only a waits", || service.waiting() == 2);
    service.add(&["a", "c"]);
    until("c goes by", || service.waiting() == 3);
    assert_eq!(relay.status().troubles, [], "it is the key that waits, and not the relay");

    let mut upkeep = Upkeep::of(&service.outbox, service.database()).unwrap();
    let stopped = upkeep.stopped().unwrap();
    assert_eq!((&*stopped[0].key, stopped[0].waiting), ("a", 3));
    assert!(stopped[0].reason.contains("message size exceeds"), "{}", stopped[0].reason);
    assert!(upkeep.retry("a").unwrap());
    until("a is stopped again", || relay.status().stopped == 2);

    config.max_msg_size = None;
    js.update_stream(&config).wait().unwrap();
    assert_eq!(upkeep.retry_all().unwrap(), 1);
    until("nothing waits", || service.waiting() == 0);
    let of_a = service.stored().into_iter().filter(|(key, _)| key == "a");
    assert_eq!(of_a.count(), 3);
    assert_eq!(upkeep.stopped().unwrap(), []);
    relay.stop(PATIENCE).unwrap();
}

fn stream(service: &Service) -> StreamConfig {
    let js = service.bus.jetstream();
    let name = js.all_stream_names("order.x").next().unwrap().unwrap();
    js.stream_info(&name).wait().unwrap().config
}

pub(crate) fn a_full_stream_is_waited_for_and_says_so(on: On) {
    let service = on.with_stream(|topic| topic.max_events(10).discard(Discard::New));
    let keys: Vec<_> = (0..30).map(|n| format!("order-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    service.add(&keys);
    let relay = service.relay().start().unwrap();
    until("it is held up", || {
        let troubles = relay.status().troubles;
        troubles.iter().any(|trouble| trouble.to_string().contains("maximum messages exceeded"))
    });
    until("ten are stored", || service.waiting() == 20);
    let mut upkeep = Upkeep::of(&service.outbox, service.database()).unwrap();
    until("others can read it, too", || {
        let relays = upkeep.relays().unwrap();
        relays.iter().any(|relay| relay.trouble.as_ref().is_some_and(|it| it.contains("exceeded")))
    });
    assert_eq!(upkeep.stopped().unwrap(), [], "that is not the fault of any event");
    let mut config = stream(&service);
    config.max_msgs = None;
    service.bus.jetstream().update_stream(&config).wait().unwrap();
    until("nothing waits", || service.waiting() == 0);
    assert_eq!(service.stored().len(), 30);
    until("nothing holds it up", || relay.status().troubles.is_empty());
    relay.stop(PATIENCE).unwrap();
}

pub(crate) fn a_server_that_is_killed_again_and_again_stores_each_event_once(on: On) {
    let mut service = on.with_stream(|topic| topic.duplicate_window(SHORT_WINDOW));
    let keys: Vec<_> = (0..20).map(|n| format!("order-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    let relay = service.relay().start().unwrap();
    for round in 0..5 {
        for _ in 0..10 {
            service.add(&keys);
            service.outbox.wake();
        }
        until("it goes on", || relay.status().published > round * 200 + 20);
        service.server.kill();
        service.server.restart().unwrap();
    }
    until("nothing waits", || service.waiting() == 0);
    let stored = service.stored();
    let mut ids: Vec<_> = stored.iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((stored.len(), ids.len()), (1000, 1000));
    for key in keys {
        let ids: Vec<_> = stored.iter().filter(|(of, _)| of == key).map(|(_, id)| id).collect();
        assert!(ids.is_sorted(), "{key}");
    }
    relay.stop(PATIENCE).unwrap();
}

#[test]
fn a_database_that_is_away_is_waited_for_and_says_so() {
    let service = On::Sqlite.start();
    let is_away = Arc::new(AtomicBool::new(true));
    let path = service.path();
    let away = Arc::clone(&is_away);
    let database = Database::sqlite(move || match away.load(Ordering::Relaxed) {
        true => Err(rusqlite::Error::InvalidQuery),
        false => rusqlite::Connection::open(&path),
    });
    service.add(&["a", "b"]);
    let relay = Relay::of(&service.bus, &service.outbox, database).start().unwrap();
    until("it says so", || matches!(relay.status().troubles[..], [Trouble::Database(_)]));
    is_away.store(false, Ordering::Relaxed);
    until("nothing waits", || service.waiting() == 0);
    assert_eq!(relay.status().troubles, []);
    relay.stop(PATIENCE).unwrap();
}

pub(crate) fn what_one_relay_leaves_another_takes_over_at_once(on: On) {
    let service = on.start();
    let relay = || service.relay().lease_time(Duration::from_secs(3600)).start().unwrap();
    let first = relay();
    until("it has all", || first.status().partitions == 64);
    // With leases of an hour it is the stop that frees them.
    first.stop(PATIENCE).unwrap();
    service.add(&["a", "b", "c"]);
    let second = relay();
    until("nothing waits", || service.waiting() == 0);
    second.stop(PATIENCE).unwrap();
    let mut upkeep = Upkeep::of(&service.outbox, service.database()).unwrap();
    assert_eq!(upkeep.relays().unwrap(), []);
}

pub(crate) fn two_relays_share_and_each_event_is_stored_once_and_in_order_while_they_do(on: On) {
    let service = on.start();
    let keys: Vec<_> = (0..100).map(|n| format!("order-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    let first = service.relay().start().unwrap();
    for _ in 0..10 {
        service.add(&keys);
    }
    let second = service.relay().start().unwrap();
    for _ in 0..10 {
        service.add(&keys);
        service.outbox.wake();
    }
    until("they share", || [&first, &second].iter().all(|relay| relay.status().partitions == 32));
    for _ in 0..10 {
        service.add(&keys);
        service.outbox.wake();
    }
    until("nothing waits", || service.waiting() == 0);
    let stored = service.stored();
    assert_eq!(stored.len(), 3000);
    for key in keys {
        let ids: Vec<_> = stored.iter().filter(|(of, _)| of == key).map(|(_, id)| id).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{key}");
    }
    for relay in [first, second] {
        assert!(relay.status().published > 0);
        relay.stop(PATIENCE).unwrap();
    }
}

pub(crate) fn a_unit_is_stored_as_a_whole_and_in_the_order_of_its_keys(on: On) {
    let mut service = on.with_stream(|topic| topic.atomic());
    service.outbox = service.outbox.clone().undivided();
    for _ in 0..10 {
        service.add_unit("b", &["a", "b", "a", "c"]).unwrap();
    }
    let relay = service.relay().start().unwrap();
    until("nothing waits", || service.waiting() == 0);
    let keys: Vec<_> = service.stored().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["b", "a", "b", "a", "c"].repeat(10));
    relay.stop(PATIENCE).unwrap();
}

pub(crate) fn events_of_a_unit_that_no_one_relay_would_have_are_refused(on: On) {
    let service = on.start();
    let error = service.add_unit("a", &["a", "b"]).unwrap_err();
    assert!(error.to_string().contains("undivided"), "{error}");
    let error = service.add_unit("a", &["a"; 1001]).unwrap_err();
    assert!(error.to_string().contains("more than 1000"), "{error}");
    assert_eq!(service.waiting(), 0);
}

pub(crate) fn what_was_stored_is_kept_as_history_and_pruned_by_age(on: On) {
    let service = on.start();
    let relay = service.relay().keep(Keep::History).start().unwrap();
    let keys: Vec<_> = (0..2500).map(|n| format!("order-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    service.add(&keys);
    until("nothing waits", || service.waiting() == 0);
    relay.stop(PATIENCE).unwrap();
    let mut upkeep = Upkeep::of(&service.outbox, service.database()).unwrap();
    assert_eq!(upkeep.prune(Duration::from_secs(3600)).unwrap(), 0);
    let mut pruned = 0;
    eventually("all are older than nothing", || {
        pruned += upkeep.prune(Duration::ZERO).unwrap();
        (pruned == 2500).then_some(())
    });
}

pub(crate) fn a_clock_that_is_an_hour_off_changes_nothing(on: On) {
    let service = on.start();
    service.add(&["a", "b"]);
    let (hour_on, hour_back) = match on {
        On::Sqlite => ("added_at + 3600000", "added_at - 3600000"),
        On::Postgres => ("added_at + interval '1 hour'", "added_at - interval '1 hour'"),
    };
    for shifted in [hour_on, hour_back] {
        service.run(&format!("UPDATE jetlane_outbox SET added_at = {shifted}"));
        service.add(&["a", "b"]);
    }
    let mut upkeep = Upkeep::of(&service.outbox, service.database()).unwrap();
    let backlog = upkeep.backlog().unwrap();
    assert!(backlog.iter().all(|partition| partition.oldest < Duration::from_secs(2 * 3600)));
    let relay = service.relay().start().unwrap();
    until("nothing waits", || service.waiting() == 0);
    let keys: Vec<_> = service.stored().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 6);
    relay.stop(PATIENCE).unwrap();
}

/// A service whose user may publish all, until [`deny`] says otherwise.
fn with_permissions(on: On) -> Service {
    let config = permissions("nothing");
    let server = jetlane_testkit::Server::builder().config(&config).start().unwrap();
    let service = on.with_server(server, |url| {
        let options = jetlane::ConnectOptions::new().user_password("u", "p");
        EventBus::connect_with(url, options).unwrap()
    });
    service.bus.topic("order.>").stream("ORDERS").ensure(Strategy::CreateOnly).unwrap();
    service
}

/// From now on its user may publish to all subjects but this.
fn deny(service: &Service, subject: &str) {
    service.server.reload(&permissions(subject)).unwrap();
}

fn permissions(denied: &str) -> String {
    format!(
        "authorization {{ users: [\n{{ user: u, password: p, \
         permissions: {{ publish: {{ deny: [\"{denied}\"] }} }} }}\n] }}"
    )
}

pub(crate) fn a_permission_that_is_revoked_is_told_and_nothing_is_lost_when_it_is_given_back(
    on: On,
) {
    let service = with_permissions(on);
    let relay = service.relay().start().unwrap();
    service.add(&["a"]);
    until("nothing waits", || service.waiting() == 0);
    deny(&service, "order.changed.b");
    service.add(&["b", "a", "b"]);
    until("a goes on", || service.waiting() == 2);
    until("it says why", || {
        let troubles = relay.status().troubles;
        troubles.iter().any(|trouble| trouble.to_string().contains("not permitted"))
    });
    deny(&service, "nothing");
    until("nothing waits", || service.waiting() == 0);
    let keys: Vec<_> = service.stored().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "a", "b", "b"]);
    relay.stop(PATIENCE).unwrap();
}

pub(crate) fn a_purged_stream_takes_the_next_events_of_its_keys(on: On) {
    let service = on.start();
    let relay = service.relay().start().unwrap();
    for round in 1..=3 {
        service.add(&["a", "b"]);
        until("nothing waits", || service.waiting() == 0);
        let js = service.bus.jetstream();
        let name = js.all_stream_names("order.x").next().unwrap().unwrap();
        js.purge_stream(&name, &Purge::all()).wait().unwrap();
        assert_eq!(relay.status().published, 2 * round);
    }
    relay.stop(PATIENCE).unwrap();
}

/// A service with a second stream, which takes one event and no more.
fn with_slow_stream(on: On) -> (Service, StreamConfig) {
    let service = on.with_stream(|topic| topic.stream("ORDERS"));
    service.bus.topic("slow.>").stream("SLOW").ensure(Strategy::CreateOnly).unwrap();
    let js = service.bus.jetstream();
    let mut slow = js.stream_info("SLOW").wait().unwrap().config;
    (slow.max_msgs, slow.discard) = (Some(1), Discard::New);
    js.update_stream(&slow).wait().unwrap();
    (service, slow)
}

fn make_room(service: &Service, mut slow: StreamConfig) {
    slow.max_msgs = None;
    service.bus.jetstream().update_stream(&slow).wait().unwrap();
}

/// More events of one key than a relay holds in memory, and none of them can be stored now.
pub(crate) fn a_key_that_is_held_up_leaves_room_for_all_others(on: On) {
    let (mut service, slow) = with_slow_stream(on);
    let relay = service.relay().most(100).start().unwrap();
    let event_of = |key: &str| ("slow.changed", event(key).1);
    let many: Vec<_> = (0..500).map(|_| event_of("slow")).collect();
    service.add_events(&many, End::Commit);
    until("it is held up", || relay.status().troubles.len() == 1);
    let keys: Vec<_> = (0..300).map(|n| format!("order-{n}")).collect();
    let keys: Vec<_> = keys.iter().map(|key| &**key).collect();
    service.add(&keys);
    until("all others are stored", || service.waiting() == 499);
    // It goes on in order, whatever was left in the table meanwhile.
    make_room(&service, slow);
    until("nothing waits", || service.waiting() == 0);
    let js = service.bus.jetstream();
    let ids: Vec<_> = (1..=500)
        .map(|sequence| {
            let message = js.get_message("SLOW", Get::Sequence(sequence)).wait().unwrap();
            message.headers().unwrap().get("X-Event-ID").unwrap().to_vec()
        })
        .collect();
    let added: Vec<_> =
        many.iter().map(|(_, event)| event.event_id().unwrap().as_bytes()).collect();
    assert_eq!(ids, added);
    relay.stop(PATIENCE).unwrap();
    service.server.kill();
}

const MUTE: &str = "$JS.API.STREAM.MSG.GET.MUTE";

/// A service with a second stream, which has an event of each of 200 keys; the next ones of those keys.
fn with_mute_stream(on: On) -> (Service, Vec<(&'static str, Envelope)>) {
    let service = with_permissions(on);
    service.bus.topic("mute.>").stream("MUTE").ensure(Strategy::CreateOnly).unwrap();
    let events =
        || (0..200).map(|n| ("mute.changed", event(&format!("mute-{n}")).1)).collect::<Vec<_>>();
    let relay = service.relay().start().unwrap();
    service.add_events(&events(), End::Commit);
    until("nothing waits", || service.waiting() == 0);
    relay.stop(PATIENCE).unwrap();
    (service, events())
}

fn add_300_orders(service: &Service) {
    let keys: Vec<_> = (0..300).map(|n| format!("order-{n}")).collect();
    service.add(&keys.iter().map(|key| &**key).collect::<Vec<_>>());
}

fn mute_has(service: &Service, events: u64) {
    let info = service.bus.jetstream().stream_info("MUTE").wait().unwrap();
    assert_eq!(info.state.messages, events);
}

/// At the start of a relay, which has to know what is last before it publishes.
pub(crate) fn a_stream_that_is_silent_at_a_takeover_holds_up_no_other(on: On) {
    let (service, events) = with_mute_stream(on);
    deny(&service, MUTE);
    service.add_events(&events, End::Commit);
    let relay = service.relay().most(100).start().unwrap();
    add_300_orders(&service);
    until("all others are stored", || service.waiting() == 200);
    assert_eq!(relay.status().troubles.len(), 1, "{:?}", relay.status());
    // And no other relay: it takes its share while the first still waits for an answer.
    let other = service.relay().most(100).start().unwrap();
    until("it has its share", || other.status().partitions == 32);
    add_300_orders(&service);
    until("all others are stored", || service.waiting() == 200);
    // And what it leaves is taken by one that still waits.
    other.stop(PATIENCE).unwrap();
    add_300_orders(&service);
    until("all others are stored", || service.waiting() == 200);
    deny(&service, "nothing");
    until("nothing waits", || service.waiting() == 0);
    mute_has(&service, 400);
    until("all is well", || relay.status().troubles.is_empty());
    relay.stop(PATIENCE).unwrap();
}

/// Events that may be stored already, and nobody says whether they are: more of them than a relay holds in memory.
pub(crate) fn a_stream_that_falls_silent_holds_up_no_other(on: On) {
    let (service, events) = with_mute_stream(on);
    let relay = service.relay().most(100).start().unwrap();
    until("it has begun", || relay.status().partitions == 64);
    service.add(&["a"]);
    until("nothing waits", || service.waiting() == 0);
    deny(&service, MUTE);
    service.add_events(&events, End::Commit);
    until("it says why", || !relay.status().troubles.is_empty());
    add_300_orders(&service);
    until("all others are stored", || service.waiting() == 200);
    deny(&service, "nothing");
    until("nothing waits", || service.waiting() == 0);
    mute_has(&service, 400);
    until("all is well", || relay.status().troubles.is_empty());
    relay.stop(PATIENCE).unwrap();
}

/// The order of a key is that of all its events, whatever streams they go to.
pub(crate) fn no_event_overtakes_one_of_its_key_that_waits_for_another_stream(on: On) {
    let (service, slow) = with_slow_stream(on);
    let relay = service.relay().start().unwrap();
    let add = |events: &[(&'static str, &str)]| {
        let events: Vec<_> = events.iter().map(|(topic, key)| (*topic, event(key).1)).collect();
        service.add_events(&events, End::Commit);
    };
    add(&[("slow.changed", "x"), ("slow.changed", "y")]);
    until("it is held up", || relay.status().troubles.len() == 1);
    add(&[
        ("order.changed", "a"),
        ("slow.changed", "a"),
        ("order.changed", "a"),
        ("order.changed", "b"),
    ]);
    until("what may go is stored", || service.waiting() == 3);
    let keys = || service.stored().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(), ["a", "b"]);
    make_room(&service, slow);
    until("nothing waits", || service.waiting() == 0);
    assert_eq!(keys(), ["a", "b", "a"]);
    relay.stop(PATIENCE).unwrap();
}

/// Longer than its lease: what it had nobody else has taken, as there is nobody else.
#[test]
fn a_relay_that_could_not_reach_its_database_for_longer_than_its_lease_takes_its_partitions_again()
{
    let service = On::Sqlite.start();
    let path = service.path();
    let database = Database::sqlite(move || {
        let connection = rusqlite::Connection::open(&path)?;
        connection.busy_timeout(Duration::from_millis(10))?;
        Ok(connection)
    });
    let lease_time = Duration::from_millis(200);
    let relay = Relay::of(&service.bus, &service.outbox, database).lease_time(lease_time);
    let relay = relay.poll(Duration::from_millis(20)).start().unwrap();
    service.add(&["a"]);
    until("nothing waits", || service.waiting() == 0);
    let mut connection = service.connect();
    let behavior = rusqlite::TransactionBehavior::Immediate;
    let writer = connection.transaction_with_behavior(behavior).unwrap();
    until("it has lost all", || relay.status().partitions == 0);
    service.outbox.add(&writer, "order.changed", event("a").1).unwrap();
    writer.commit().unwrap();
    until("nothing waits", || service.waiting() == 0);
    assert_eq!((relay.status().partitions, service.stored().len()), (64, 2));
    relay.stop(PATIENCE).unwrap();
}
