//! Consumption by a callback on the reactor thread: settled as it comes, and as safe as any other.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use jetlane_client::Client;
use jetlane_jetstream::{AckPolicy, ConsumerConfig, ConsumerInfo, Consumption, JetStream, Settle};
use jetlane_testkit::{Direction::ToClient, End, Proxy};
use jetlane_tests::stream::{
    all_acknowledged, impatient_consumer, publish_more, publish_numbers, swallowed, with_stream,
};
use jetlane_tests::{DEADLINE, eventually};

const POLICIES: [AckPolicy; 2] = [AckPolicy::Explicit, AckPolicy::All];

/// Acknowledges everything, in the order of the stream, and tells which messages those were.
fn acknowledge(js: &JetStream, consumer: &ConsumerInfo) -> (Consumption, Receiver<u64>) {
    let (tell, told) = mpsc::channel();
    let consumption = js.consume(consumer).in_order().inline(move |_, delivery| {
        let _ = tell.send(delivery.stream_sequence);
        Settle::Ack
    });
    (consumption.unwrap(), told)
}

/// Sees that no message is skipped, from the one behind `from` to `last`.
fn told_in_order(told: &Receiver<u64>, from: u64, last: u64, case: &str) {
    let mut handled = from;
    while handled < last {
        let sequence = told.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{case}: {handled}"));
        assert!(sequence <= handled + 1, "{case}: {sequence} after {handled}");
        handled = handled.max(sequence);
    }
}

#[test]
fn all_messages_are_consumed_in_order_under_each_settlement() {
    const COUNT: u64 = 20_000;
    let (_server, js) = with_stream();
    publish_numbers(&js, COUNT);
    for (name, policy) in
        [("each", AckPolicy::Explicit), ("mark", AckPolicy::All), ("none", AckPolicy::None)]
    {
        let config = ConsumerConfig::durable(name).ack(policy).max_ack_pending(2000);
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let (tell, told) = mpsc::channel();
        let mut next = 1;
        let consumption = js.consume(&consumer).inline(move |message, delivery| {
            let right = delivery.stream_sequence == next
                && message.payload() == next.to_string().as_bytes();
            next += 1;
            if !right || next > COUNT {
                let _ = tell.send((right, delivery.stream_sequence));
            }
            Settle::Ack
        });
        let _consumption = consumption.unwrap();
        assert_eq!(told.recv_timeout(DEADLINE), Ok((true, COUNT)), "{name}");
        eventually("everything is acknowledged", || {
            let info = js.consumer_info("S", name).wait().unwrap();
            let floor = info.ack_floor.stream_seq == COUNT || policy == AckPolicy::None;
            (floor && info.num_ack_pending == 0 && info.num_redelivered == 0).then_some(())
        });
    }
}

#[test]
fn what_is_given_back_or_panics_comes_again_and_what_is_terminated_does_not() {
    for policy in POLICIES {
        let (_server, js) = with_stream();
        publish_numbers(&js, 5);
        let consumer = impatient_consumer(&js, policy);
        let (tell, told) = mpsc::channel();
        let consumption = js.consume(&consumer).inline(move |_, delivery| {
            let _ = tell.send((delivery.stream_sequence, delivery.delivered));
            match (delivery.stream_sequence, delivery.delivered) {
                (2, 1) => panic!("on purpose"),
                (3, 1) => Settle::Nak { delay: Duration::from_millis(1) },
                (4, 1) => Settle::Term { reason: "never".into() },
                (5, 1) => Settle::Forget,
                _ => Settle::Ack,
            }
        });
        let _consumption = consumption.unwrap();
        let mut seen: Vec<_> = (0..8).map(|_| told.recv_timeout(DEADLINE).unwrap()).collect();
        assert_eq!(seen[..5], [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)], "{policy:?}");
        seen.sort_unstable();
        assert_eq!(
            seen,
            [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (5, 1), (5, 2)],
            "{policy:?}"
        );
        all_acknowledged(&js, 5);
        assert_eq!(js.client().stats().callback_panics, 1, "{policy:?}");
        // And what comes then is settled at once again.
        publish_more(&js, 3);
        let more: Vec<_> = (0..3).map(|_| told.recv_timeout(DEADLINE).unwrap()).collect();
        assert_eq!(more, [(6, 1), (7, 1), (8, 1)], "{policy:?}");
        all_acknowledged(&js, 8);
    }
}

#[test]
fn what_a_lost_connection_swallowed_is_handled_before_what_is_newer() {
    for policy in POLICIES {
        let case = format!("{policy:?}");
        let (server, js) = with_stream();
        let proxy = Proxy::start(server.port()).unwrap();
        let consumer = impatient_consumer(&js, policy);
        let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
        let (_consumption, told) = acknowledge(&through, &consumer);
        publish_more(&js, 5);
        told_in_order(&told, 0, 5, &case);
        proxy.deafen(ToClient);
        publish_more(&js, 5);
        eventually("five are swallowed", || (swallowed(&proxy) >= 5).then_some(()));
        proxy.hear(ToClient);
        proxy.cut(End::Fin);
        eventually("the connection is back", || {
            (through.client().stats().reconnects == 1).then_some(())
        });
        publish_more(&js, 20);
        told_in_order(&told, 5, 30, &case);
        all_acknowledged(&js, 30);
        publish_more(&js, 200);
        told_in_order(&told, 30, 230, &case);
        all_acknowledged(&js, 230);
    }
}

#[test]
fn a_watermark_stops_at_a_gap_on_a_live_connection() {
    let (server, js) = with_stream();
    let proxy = Proxy::start(server.port()).unwrap();
    let consumer = impatient_consumer(&js, AckPolicy::All);
    let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
    let (_consumption, told) = acknowledge(&through, &consumer);
    publish_more(&js, 5);
    told_in_order(&told, 0, 5, "before");
    proxy.deafen(ToClient);
    publish_more(&js, 5);
    eventually("five are swallowed", || (swallowed(&proxy) >= 5).then_some(()));
    proxy.hear(ToClient);
    publish_more(&js, 10);
    told_in_order(&told, 5, 20, "after");
    all_acknowledged(&js, 20);
    assert_eq!(through.client().stats().reconnects, 0);
}
