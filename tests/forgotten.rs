//! A server that is killed forgets what it had not written down of a consumer, and delivers it again as if for the first time. Nothing overtakes
//! that.

use std::ops::RangeInclusive;

use jetlane_client::ConnectOptions;
use jetlane_jetstream::{AckPolicy, JetStream, JsMessage, StreamConfig};
use jetlane_testkit::Server;
use jetlane_tests::stream::{
    all_acknowledged, handle_in_order, impatient_consumer, jetstream, publish_more, with_stream,
};
use jetlane_tests::{DEADLINE, eventually};

const POLICIES: [AckPolicy; 2] = [AckPolicy::All, AckPolicy::Explicit];

/// Kills a server that has written down nothing of its consumer `C`, and starts it again.
fn forget(server: &mut Server, js: &JetStream) {
    server.kill();
    let consumer = server.store().join("jetstream/$G/streams/S/obs/C");
    assert!(consumer.join("meta.inf").exists(), "the consumer is where it is looked for");
    let _ = std::fs::remove_file(consumer.join("o.dat"));
    let reconnects = js.client().stats().reconnects;
    server.restart().unwrap();
    eventually("the connection is back", || {
        (js.client().stats().reconnects > reconnects).then_some(())
    });
}

#[test]
fn what_is_held_back_does_not_overtake_what_the_server_has_forgotten() {
    for policy in POLICIES {
        let (mut server, js) = with_stream();
        let consumer = impatient_consumer(&js, policy);
        publish_more(&js, 10);
        let predecessor = jetstream(&server);
        let mut messages = predecessor.consume(&consumer).in_order().queued().unwrap();
        let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
        predecessor.client().close(DEADLINE).unwrap();
        // What is dropped takes nothing of the window.
        let mut messages = js.consume(&consumer).window(12).in_order().queued().unwrap();
        publish_more(&js, 10);
        eventually("what is new has come, too", || {
            let info = js.consumer_info("S", "C").wait().unwrap();
            (info.num_ack_pending == 20).then_some(())
        });
        forget(&mut server, &js);
        publish_more(&js, 5);
        handle_in_order(&mut messages, 0, 25, &format!("{policy:?}"));
        all_acknowledged(&js, 25);
        drop(held);
    }
}

#[test]
fn what_is_done_again_is_done_again_in_order() {
    for (policy, again) in [(AckPolicy::All, 6..=10), (AckPolicy::Explicit, 1..=10)] {
        let (mut server, js) = with_stream();
        let through = js.clone();
        is_done_again_in_order(&mut server, &js, &through, policy, again);
    }
}

/// Then only the numbers of the deliveries tell.
#[test]
fn what_is_done_again_is_done_again_in_order_where_nobody_may_ask() {
    let config = "authorization { users: [ { user: all, password: p }, { user: some, password: p, \
                  permissions: { publish: { deny: [\"$JS.API.CONSUMER.INFO.>\"] } } } ] }";
    for (policy, again) in [(AckPolicy::All, 6..=10), (AckPolicy::Explicit, 1..=10)] {
        let mut server = Server::builder().config(config).start().unwrap();
        let [js, through] = ["all", "some"].map(|user| {
            let options = ConnectOptions::new().user_password(user, "p");
            JetStream::new(options.connect(&server.url()).unwrap()).unwrap()
        });
        js.create_stream(&StreamConfig::new("S").subject("s.>")).wait().unwrap();
        is_done_again_in_order(&mut server, &js, &through, policy, again);
    }
}

fn is_done_again_in_order(
    server: &mut Server,
    js: &JetStream,
    through: &JetStream,
    policy: AckPolicy,
    again: RangeInclusive<u64>,
) {
    let consumer = impatient_consumer(js, policy);
    publish_more(js, 10);
    let mut messages = through.consume(&consumer).in_order().queued().unwrap();
    handle_in_order(&mut messages, 0, 5, &format!("{policy:?}"));
    let mut next = || messages.next_timeout(DEADLINE).unwrap();
    let sequence = |message: &JsMessage| message.delivery().stream_sequence;
    let held: Vec<_> = (0..5).map(|_| next()).collect();
    eventually("five are acknowledged", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.num_ack_pending == 5).then_some(())
    });
    forget(server, through);
    // Those that are in hand are behind what comes again now: they come once more, in their turn.
    let comes: Vec<_> = again.clone().map(|_| next()).collect();
    assert_eq!(comes.iter().map(sequence).collect::<Vec<_>>(), again.collect::<Vec<_>>());
    held.into_iter().chain(comes).for_each(JsMessage::ack);
    all_acknowledged(js, 10);
}
