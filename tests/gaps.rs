//! What connections swallow and dead processes held: nothing is lost, and nothing overtakes it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use jetlane_client::Client;
use jetlane_jetstream::{
    AckPolicy, Consume, ConsumeError, ConsumerConfig, JetStream, JsMessage, Messages,
};
use jetlane_testkit::Direction::{ToClient, ToServer};
use jetlane_testkit::{End, Proxy};
use jetlane_tests::stream::{
    all_acknowledged, handle_in_order, impatient_consumer, jetstream, publish_more, swallowed,
    with_stream,
};
use jetlane_tests::{DEADLINE, eventually};

#[test]
fn what_a_lost_connection_swallowed_is_handled_before_what_is_newer() {
    for policy in [AckPolicy::All, AckPolicy::Explicit] {
        let case = format!("{policy:?}");
        let (server, js) = with_stream();
        let proxy = Proxy::start(server.port()).unwrap();
        let consumer = impatient_consumer(&js, policy);
        let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
        let mut messages = through.consume(&consumer).in_order().queued().unwrap();
        publish_more(&js, 5);
        handle_in_order(&mut messages, 0, 5, &case);
        proxy.deafen(ToClient);
        publish_more(&js, 5);
        eventually("five are swallowed", || (swallowed(&proxy) >= 5).then_some(()));
        proxy.hear(ToClient);
        proxy.cut(End::Fin);
        eventually("the connection is back", || {
            (through.client().stats().reconnects == 1).then_some(())
        });
        publish_more(&js, 20);
        handle_in_order(&mut messages, 5, 30, &case);
        all_acknowledged(&js, 30);
        // And it goes on as if nothing had been.
        publish_more(&js, 200);
        handle_in_order(&mut messages, 30, 230, &case);
        all_acknowledged(&js, 230);
    }
}

#[test]
fn a_watermark_stops_at_a_gap_on_a_live_connection() {
    passes_a_gap_in_order(AckPolicy::All, Consume::queued);
}

#[test]
fn an_ordered_consumption_waits_at_a_gap_on_a_live_connection() {
    passes_a_gap_in_order(AckPolicy::Explicit, |consume| consume.in_order().queued());
}

fn passes_a_gap_in_order(
    policy: AckPolicy,
    begin: impl FnOnce(Consume) -> Result<Messages, ConsumeError>,
) {
    let (server, js) = with_stream();
    let proxy = Proxy::start(server.port()).unwrap();
    let consumer = impatient_consumer(&js, policy);
    let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
    let mut messages = begin(through.consume(&consumer)).unwrap();
    publish_more(&js, 5);
    handle_in_order(&mut messages, 0, 5, "before");
    proxy.deafen(ToClient);
    publish_more(&js, 5);
    eventually("five are swallowed", || (swallowed(&proxy) >= 5).then_some(()));
    proxy.hear(ToClient);
    publish_more(&js, 10);
    handle_in_order(&mut messages, 5, 20, "after");
    all_acknowledged(&js, 20);
    assert_eq!(through.client().stats().reconnects, 0);
}

#[test]
fn nothing_is_skipped_under_load_while_connections_are_cut() {
    for policy in [AckPolicy::All, AckPolicy::Explicit] {
        let case = format!("{policy:?}");
        let (server, js) = with_stream();
        let proxy = Proxy::start(server.port()).unwrap();
        let consumer = impatient_consumer(&js, policy);
        let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
        let mut messages = through.consume(&consumer).in_order().queued().unwrap();
        let (publisher, stop) = (js.clone(), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&stop);
        let publishing = thread::spawn(move || {
            let mut last = 0;
            while !stopped.load(SeqCst) {
                last = publisher.publish("s.n", "x").unwrap().wait().unwrap().sequence;
                // Slow enough that they can be handled meanwhile.
                thread::park_timeout(Duration::from_micros(200));
            }
            last
        });
        let mut handled = 0;
        for round in 1..=3 {
            let until = handled + 300;
            handle_in_order(&mut messages, handled, until, &case);
            handled = until;
            let before = swallowed(&proxy);
            proxy.deafen(ToClient);
            eventually("some are swallowed", || {
                // What is here must be handled, or nothing more is asked for.
                while let Some(message) = messages.try_next() {
                    let sequence = message.delivery().stream_sequence;
                    assert!(sequence <= handled + 1, "{case}: {sequence} after {handled}");
                    handled = handled.max(sequence);
                    message.ack();
                }
                (swallowed(&proxy) > before).then_some(())
            });
            proxy.cut(End::Fin);
            proxy.hear(ToClient);
            eventually("the connection is back", || {
                (through.client().stats().reconnects >= round).then_some(())
            });
        }
        stop.store(true, SeqCst);
        let last = publishing.join().unwrap();
        handle_in_order(&mut messages, handled, last, &case);
        all_acknowledged(&js, last);
    }
}

#[test]
fn a_successor_handles_first_what_its_predecessor_died_of() {
    for policy in [AckPolicy::All, AckPolicy::Explicit] {
        let (server, js) = with_stream();
        let consumer = impatient_consumer(&js, policy);
        publish_more(&js, 10);
        let predecessor = jetstream(&server);
        let mut messages = predecessor.consume(&consumer).in_order().queued().unwrap();
        let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
        predecessor.client().close(DEADLINE).unwrap();
        let mut messages = js.consume(&consumer).in_order().queued().unwrap();
        publish_more(&js, 10);
        handle_in_order(&mut messages, 0, 20, &format!("{policy:?}"));
        all_acknowledged(&js, 20);
        drop(held);
    }
}

#[test]
fn a_watermark_that_a_connection_has_lost_is_told_again() {
    let (server, js) = with_stream();
    let proxy = Proxy::start(server.port()).unwrap();
    // Longer than this test waits for anything.
    let config = ConsumerConfig::durable("C").ack(AckPolicy::All).ack_wait(2 * DEADLINE);
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
    let mut messages = through.consume(&consumer).queued().unwrap();
    publish_more(&js, 10);
    let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
    proxy.deafen(ToServer);
    held.into_iter().for_each(JsMessage::ack);
    eventually("the ack is lost", || {
        (proxy.lost_lines(ToServer, "PUB $JS.ACK.S.C.") > 0).then_some(())
    });
    proxy.cut(End::Fin);
    proxy.hear(ToServer);
    all_acknowledged(&js, 10);
}

#[test]
fn what_a_predecessor_gave_back_is_not_waited_for() {
    let (_server, js) = with_stream();
    // The ack wait is 30 s, as long as this test waits for anything.
    let config = ConsumerConfig::durable("C").ack(AckPolicy::All);
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    publish_more(&js, 10);
    let mut messages = js.consume(&consumer).queued().unwrap();
    let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
    messages.stop();
    js.client().flush().wait().unwrap();
    held.into_iter().for_each(|message| message.nak(Duration::ZERO));
    drop(messages);
    publish_more(&js, 10);
    let mut messages = js.consume(&consumer).queued().unwrap();
    let started = Instant::now();
    handle_in_order(&mut messages, 0, 20, "given back");
    all_acknowledged(&js, 20);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
