//! Pull consumption: settlement, redelivery, stopping, bounds.

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use jetlane_client::{Client, ConnectOptions, Limits};
use jetlane_jetstream::{
    AckPolicy, ConsumerConfig, EndReason, Held, JetStream, JsMessage, Messages, Settle,
    StreamConfig, Taker,
};
use jetlane_testkit::{Cluster, End, Proxy, Server};
use jetlane_tests::place::Place;
use jetlane_tests::stream::{
    all_acknowledged, handle_in_order, impatient_consumer, jetstream, publish_more,
    publish_numbers, with_stream, with_stream_at,
};
use jetlane_tests::{DEADLINE, eventually};

pub(crate) fn all_messages_are_consumed_in_order_under_each_settlement(place: Place) {
    const COUNT: u64 = 20_000;
    let (_server, js) = with_stream_at(place);
    publish_numbers(&js, COUNT);
    for (name, policy) in
        [("each", AckPolicy::Explicit), ("mark", AckPolicy::All), ("none", AckPolicy::None)]
    {
        let config = ConsumerConfig::durable(name).ack(policy).max_ack_pending(2000);
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        for n in 1..=COUNT {
            let message = messages.next_timeout(DEADLINE).unwrap_or_else(|| panic!("{name}: {n}"));
            assert_eq!(message.delivery().stream_sequence, n, "{name}");
            assert_eq!(message.payload(), n.to_string().as_bytes(), "{name}");
            message.ack();
        }
        assert!(messages.try_next().is_none());
        eventually("everything is acknowledged", || {
            let info = js.consumer_info("S", name).wait().unwrap();
            let floor = info.ack_floor.stream_seq == COUNT || policy == AckPolicy::None;
            (floor && info.num_ack_pending == 0 && info.num_redelivered == 0).then_some(())
        });
    }
}

pub(crate) fn what_is_given_back_or_dropped_comes_again_and_what_is_terminated_does_not(
    place: Place,
) {
    for policy in [AckPolicy::Explicit, AckPolicy::All] {
        let (_server, js) = with_stream_at(place);
        publish_numbers(&js, 4);
        let config = ConsumerConfig::durable("C").ack(policy).ack_wait(Duration::from_secs(1));
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        let mut next = || messages.next_timeout(DEADLINE).unwrap();
        let (one, two, three, four) = (next(), next(), next(), next());
        four.ack();
        three.term("never");
        two.nak(Duration::from_millis(1));
        drop(one);
        let two = next();
        assert_eq!(
            (two.delivery().stream_sequence, two.delivery().delivered),
            (2, 2),
            "{policy:?}"
        );
        two.ack();
        let one = next();
        assert_eq!(
            (one.delivery().stream_sequence, one.delivery().delivered),
            (1, 2),
            "{policy:?}"
        );
        one.ack();
        eventually("everything is settled", || {
            let info = js.consumer_info("S", "C").wait().unwrap();
            (info.ack_floor.stream_seq == 4 && info.num_ack_pending == 0).then_some(())
        });
        assert!(messages.try_next().is_none());
    }
}

pub(crate) fn what_is_held_beyond_the_ack_wait_is_kept_alive(place: Place) {
    for policy in [AckPolicy::Explicit, AckPolicy::All] {
        let (_server, js) = with_stream_at(place);
        publish_numbers(&js, 10);
        let ack_wait = Duration::from_millis(400);
        let config = ConsumerConfig::durable("C").ack(policy).ack_wait(ack_wait);
        let consumer = js.create_consumer("S", &config).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        let held: Vec<_> = (0..10).map(|_| messages.next_timeout(DEADLINE).unwrap()).collect();
        assert!(messages.next_timeout(ack_wait * 4).is_none(), "{policy:?}");
        held.into_iter().for_each(|message| message.ack());
        eventually("everything is acknowledged", || {
            let info = js.consumer_info("S", "C").wait().unwrap();
            (info.num_ack_pending == 0 && info.num_redelivered == 0).then_some(())
        });
    }
}

#[test]
fn consuming_goes_on_after_the_server_was_killed() {
    let (mut server, js) = with_stream();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    let mut last = 0;
    for round in 1..=3 {
        let tickets: Vec<_> = (0..1000).map(|_| js.publish("s.n", "x").unwrap()).collect();
        tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
        while last < round * 1000 {
            let message = messages.next_timeout(DEADLINE).expect("consuming goes on");
            // What was acknowledged right before the kill may come again.
            last = last.max(message.delivery().stream_sequence);
            message.ack();
        }
        server.kill();
        server.restart().unwrap();
        eventually("the connection is back", || {
            (js.client().stats().reconnects >= round).then_some(())
        });
    }
}

pub(crate) fn a_stopped_consumption_gives_back_what_still_arrives(place: Place) {
    let (_server, js) = with_stream_at(place);
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let mut first = js.consume(&consumer).queued().unwrap();
    publish_numbers(&js, 1);
    first.next_timeout(DEADLINE).unwrap().ack();
    first.stop();
    // The pull of the first is still open in the server, and takes what comes; it must come to the second all the same.
    let mut second = js.consume(&consumer).queued().unwrap();
    for _ in 0..100 {
        js.publish("s.n", "x").unwrap().wait().unwrap();
    }
    for _ in 0..100 {
        second.next_timeout(DEADLINE).expect("given back at once").ack();
    }
    assert!(first.try_next().is_none());
}

#[test]
fn a_cluster_stores_and_delivers_while_the_leader_changes() {
    let mut cluster = Cluster::start(3).unwrap();
    let js = jetstream(&cluster.nodes()[0]);
    let config = StreamConfig::new("S").subject("s.>").replicas(3);
    js.create_stream(&config).wait().unwrap();
    // What a killed leader had under way comes again after the ack wait.
    let config = ConsumerConfig::durable("C").ack_wait(Duration::from_secs(2));
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    let mut stored = Vec::new();
    for killed in [None, Some(1), Some(2)] {
        if let Some(node) = killed {
            cluster.node_mut(node).kill();
        }
        let mut confirmed = 0;
        // Without a leader a publish is rejected or not answered: it is published again, until a hundred are stored.
        eventually("a hundred are stored", || {
            let tickets: Vec<_> =
                (confirmed..100).map(|_| js.publish("s.n", "x").unwrap()).collect();
            for ticket in tickets {
                if let Ok(ack) = ticket.wait() {
                    stored.push(ack.sequence);
                    confirmed += 1;
                }
            }
            (confirmed == 100).then_some(())
        });
        if let Some(node) = killed {
            cluster.node_mut(node).restart().unwrap();
            cluster.wait_for_leader().unwrap();
        }
    }
    assert!(stored.is_sorted(), "one publisher's messages are stored in order");
    let mut missing: HashSet<_> = stored.into_iter().collect();
    while !missing.is_empty() {
        let message = messages.next_timeout(DEADLINE).expect("all that is stored is delivered");
        missing.remove(&message.delivery().stream_sequence);
        message.ack();
    }
}

pub(crate) fn a_deleted_consumer_ends_the_messages(place: Place) {
    let (_server, js) = with_stream_at(place);
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    publish_more(&js, 3);
    let first = messages.next_timeout(DEADLINE).unwrap();
    assert_eq!((first.delivery().stream_sequence, messages.end_reason()), (1, None));
    eventually("all are delivered", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.delivered.stream_seq == 3).then_some(())
    });
    js.delete_consumer("S", "C").wait().unwrap();
    assert_eq!(count_to_end(messages), (2, EndReason::Gone { reason: "Consumer Deleted".into() }));
}

/// Reads on until the iterator ends, on a thread, as it might never.
fn count_to_end(mut messages: Messages) -> (usize, EndReason) {
    let (done, counted) = mpsc::channel();
    thread::spawn(move || {
        let count = messages.by_ref().map(JsMessage::ack).count();
        done.send((count, messages.end_reason().unwrap())).unwrap();
    });
    counted.recv_timeout(DEADLINE).expect("the iterator ends")
}

#[test]
fn a_stopped_or_closed_iterator_ends_once_it_is_read() {
    let (_server, js) = with_stream();
    for end in
        [EndReason::Stopped, EndReason::Closed(jetlane_client::CloseReason::ConnectionClosed)]
    {
        let js = jetstream(&_server);
        let name = if end == EndReason::Stopped { "stopped" } else { "closed" };
        let consumer = js.create_consumer("S", &ConsumerConfig::durable(name)).wait().unwrap();
        let mut messages = js.consume(&consumer).queued().unwrap();
        publish_more(&js, 3);
        let last = js.stream_info("S").wait().unwrap().state.last_seq;
        while messages.next_timeout(DEADLINE).unwrap().delivery().stream_sequence < last {}
        match end {
            EndReason::Stopped => messages.stop(),
            _ => js.client().close(DEADLINE).unwrap(),
        }
        assert_eq!(count_to_end(messages), (0, end));
    }
    drop(js);
}

pub(crate) fn a_message_is_acknowledged_after_its_messages_were_dropped(place: Place) {
    let (_server, js) = with_stream_at(place);
    let consumer = impatient_consumer(&js, AckPolicy::Explicit);
    publish_more(&js, 3);
    let mut messages = js.consume(&consumer).queued().unwrap();
    let first = messages.next_timeout(DEADLINE).unwrap();
    eventually("all are delivered", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.delivered.stream_seq == 3).then_some(())
    });
    drop(messages);
    eventually("nothing is pulled any more", || {
        (js.consumer_info("S", "C").wait().unwrap().num_waiting == 0).then_some(())
    });
    // What was not read comes again after the ack wait, though the first is still held.
    let mut others = js.consume(&consumer).queued().unwrap();
    for _ in 0..2 {
        let other = others.next_timeout(DEADLINE).unwrap();
        assert!(other.delivery().stream_sequence > 1);
        other.ack();
    }
    first.ack();
    all_acknowledged(&js, 3);
    assert_eq!(js.consumer_info("S", "C").wait().unwrap().num_redelivered, 0);
}

#[test]
fn a_stopped_consumption_takes_nothing_on_a_new_connection() {
    let (server, js) = with_stream();
    let proxy = Proxy::start(server.port()).unwrap();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let through = JetStream::new(Client::connect(&proxy.url()).unwrap()).unwrap();
    let mut first = through.consume(&consumer).queued().unwrap();
    publish_more(&js, 1);
    first.next_timeout(DEADLINE).unwrap().ack();
    all_acknowledged(&js, 1);
    first.stop();
    through.client().flush().wait().unwrap();
    proxy.cut(End::Fin);
    eventually("the connection is back", || {
        (through.client().stats().reconnects == 1).then_some(())
    });
    through.client().flush().wait().unwrap();
    // The pull of the first is still open in the server; somebody must listen for it to be served.
    let mut second = js.consume(&consumer).queued().unwrap();
    publish_more(&js, 100);
    for _ in 0..100 {
        second.next_timeout(DEADLINE).expect("the first takes none").ack();
    }
    assert!(first.try_next().is_none());
}

pub(crate) fn no_pull_asks_for_more_bytes_than_the_consumer_allows(place: Place) {
    let (_server, js) = with_stream_at(place);
    let mut config = ConsumerConfig::durable("C");
    config.other.insert("max_bytes".into(), 1000.into());
    let consumer = js.create_consumer("S", &config).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    publish_more(&js, 100);
    js.publish("s.n", vec![b'x'; 5000]).unwrap().wait().unwrap();
    handle_in_order(&mut messages, 0, 101, "small and large");
}

/// Settles each message a moment after it came, and keeps account of the bytes that are here.
struct Weigher {
    weights: mpsc::Sender<(Held, usize)>,
    held_bytes: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Taker for Weigher {
    fn take(&mut self, held: Held) {
        let bytes = held.message.wire_len();
        let now = self.held_bytes.fetch_add(bytes, SeqCst) + bytes;
        self.most.fetch_max(now, SeqCst);
        // The test may be over.
        let _ = self.weights.send((held, bytes));
    }
}

#[test]
fn no_more_bytes_are_held_than_the_bound_and_one_message() {
    const COUNT: usize = 300;
    let server = Server::start().unwrap();
    let limits = Limits { consumer_bytes: 1 << 20, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let js = JetStream::new(client).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s.>")).wait().unwrap();
    let tickets: Vec<_> =
        (0..COUNT).map(|_| js.publish("s.n", vec![b'x'; 100_000]).unwrap()).collect();
    tickets.into_iter().for_each(|ticket| assert!(ticket.wait().is_ok()));
    // One that fits into no pull.
    js.publish("s.n", vec![b'x'; (1 << 20) - 100]).unwrap().wait().unwrap();
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("C")).wait().unwrap();
    let (weights, taken) = mpsc::channel();
    let (held_bytes, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let weigher = Weigher { weights, held_bytes: Arc::clone(&held_bytes), most: Arc::clone(&most) };
    let consumption = js.consume(&consumer).taker(weigher).unwrap();
    let settler = consumption.settler();
    let mut waiting = Vec::new();
    for n in 1..=COUNT + 1 {
        waiting.push(taken.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{n} comes")));
        // Some stay a while, so that the bound is met; none for ever.
        if waiting.len() >= 6 || n >= COUNT - 6 {
            for (held, bytes) in waiting.drain(..) {
                held_bytes.fetch_sub(bytes, SeqCst);
                settler.settle(held.receipt, Settle::Ack);
            }
        }
    }
    all_acknowledged(&js, COUNT as u64 + 1);
    let most = most.load(SeqCst);
    assert!(most <= (1 << 20) + 100_200, "{most}");
    println!("at most {most} bytes were held");
}
