//! How often memory is allocated a message: by all threads of this process, counted by its allocator. A test binary of its
//! own with one test in it, so that nothing else is counted.

use std::alloc::System;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use jetlane::client::{Client, Subject};
use jetlane::jetstream::{ConsumerConfig, JetStream, Settle, StreamConfig, Ticket};
use jetlane::{Bytes, Envelope, EventBus, Strategy};
use jetlane_testkit::Server;
use jetlane_tests::DEADLINE;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Messages of one measurement.
const COUNT: u64 = 50_000;

/// What may be allocated in the whole of one, for a flush, a timer, or a buffer that grows a last time.
const NONE: f64 = 100.0 / COUNT as f64;

/// What is taken by the block, for hundreds of messages each.
const AMORTISED: f64 = 0.01;

/// Allocations a message in `work`, once it has been done before and all buffers have grown.
fn allocations(mut work: impl FnMut()) -> f64 {
    work();
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / COUNT as f64
}

/// Waits until `count` has come to `expected`.
fn reach(count: &AtomicU64, expected: u64) {
    let deadline = Instant::now() + DEADLINE;
    while count.load(SeqCst) < expected {
        assert!(Instant::now() < deadline, "{} of {expected}", count.load(SeqCst));
        thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn messages_cost_no_more_allocations_than_promised() {
    let server = Server::start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let js = JetStream::new(client.clone()).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s")).wait().unwrap();
    for (what, most, seen) in [
        ("publish", NONE, publish(&client)),
        ("publish, receive inline", NONE, receive_inline(&client)),
        ("publish, receive queued", AMORTISED, receive_queued(&client)),
        ("publish with acknowledgement", NONE, publish_async(&js)),
        ("consume inline", NONE, consume_inline(&js)),
        ("consume queued", AMORTISED, consume_queued(&js)),
        ("publish an event", NONE, publish_events(&js)),
        ("handle an event", 1.0 + NONE, handle_events(&js)),
        ("publish and hear an event", 5.0 * AMORTISED, hear_events(&js)),
    ] {
        println!("{what}: {seen:.4} allocations a message");
        assert!(seen <= most, "{what}: {seen:.4} allocations a message, at most {most:.4} allowed");
    }
}

fn publish(client: &Client) -> f64 {
    let subject = Subject::new("nobody").unwrap();
    allocations(|| {
        for _ in 0..COUNT {
            client.publish(&subject, b"0123456789abcdef").unwrap();
        }
        client.flush().wait().unwrap();
    })
}

fn receive_inline(client: &Client) -> f64 {
    let received = Arc::<AtomicU64>::default();
    let count = Arc::clone(&received);
    let subscription = client.subscription("inline").inline(move |message| {
        assert_eq!(message.payload(), b"0123456789abcdef");
        count.fetch_add(1, SeqCst);
    });
    let _subscription = subscription.unwrap();
    let mut expected = 0;
    allocations(|| {
        for _ in 0..COUNT {
            client.publish("inline", b"0123456789abcdef").unwrap();
        }
        expected += COUNT;
        reach(&received, expected);
    })
}

fn receive_queued(client: &Client) -> f64 {
    let mut messages = client.subscribe("queued").unwrap();
    allocations(|| {
        for _ in 0..COUNT {
            client.publish("queued", b"0123456789abcdef").unwrap();
        }
        for _ in 0..COUNT {
            let message = messages.next_timeout(DEADLINE).expect("it comes");
            assert_eq!(message.payload(), b"0123456789abcdef");
        }
    })
}

fn publish_async(js: &JetStream) -> f64 {
    let subject = Subject::new("s").unwrap();
    let mut tickets: VecDeque<Ticket> = VecDeque::with_capacity(2001);
    allocations(|| {
        for _ in 0..COUNT {
            tickets.push_back(js.publish(&subject, b"0123456789abcdef").unwrap());
            if tickets.len() > 2000 {
                tickets.pop_front().unwrap().wait().unwrap();
            }
        }
        tickets.drain(..).for_each(|ticket| assert!(ticket.wait().is_ok()));
    })
}

/// What was published with acknowledgement before: twice `COUNT` messages.
fn consume_inline(js: &JetStream) -> f64 {
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("inline")).wait().unwrap();
    let received = Arc::<AtomicU64>::default();
    let count = Arc::clone(&received);
    let consumption = js.consume(&consumer).inline(move |_, _| {
        count.fetch_add(1, SeqCst);
        Settle::Ack
    });
    let _consumption = consumption.unwrap();
    let mut expected = 0;
    allocations(|| {
        expected += COUNT;
        reach(&received, expected);
    })
}

fn consume_queued(js: &JetStream) -> f64 {
    let consumer = js.create_consumer("S", &ConsumerConfig::durable("queued")).wait().unwrap();
    let mut messages = js.consume(&consumer).queued().unwrap();
    allocations(|| {
        for _ in 0..COUNT {
            messages.next_timeout(DEADLINE).expect("it comes").ack();
        }
    })
}

fn publish_events(js: &JetStream) -> f64 {
    let bus = EventBus::on(js.clone());
    bus.topic("paid").ensure(Strategy::CreateOnly).unwrap();
    let (subject, event) = (Subject::new("paid").unwrap(), Envelope::new("a", "Paid", "{}"));
    let mut tickets: VecDeque<Ticket> = VecDeque::with_capacity(2001);
    allocations(|| {
        for _ in 0..COUNT {
            tickets.push_back(bus.publish(&subject, &event).unwrap());
            if tickets.len() > 2000 {
                tickets.pop_front().unwrap().wait().unwrap();
            }
        }
        tickets.drain(..).for_each(|ticket| assert!(ticket.wait().is_ok()));
    })
}

/// Of a core topic, which no stream stores.
fn hear_events(js: &JetStream) -> f64 {
    let bus = EventBus::on(js.clone());
    bus.topic("tick.>").core().ensure(Strategy::CreateOnly).unwrap();
    let event = Envelope::new("order-42", "Ticked", "{\"total\":17}");
    let subject = Subject::new("tick.x").unwrap();
    let heard = Arc::<AtomicU64>::default();
    let count = Arc::clone(&heard);
    let handler = move |event: &Envelope| {
        assert_eq!(event.event_type(), "Ticked");
        count.fetch_add(1, SeqCst);
    };
    let listen = bus.listen("screen").lanes(NonZeroUsize::MIN).on("tick.*", handler);
    let listener = listen.start().unwrap();
    let mut expected = 0;
    let allocations = allocations(|| {
        for _ in 0..COUNT {
            bus.publish_core(&subject, &event).unwrap();
        }
        expected += COUNT;
        reach(&heard, expected);
    });
    assert_eq!(listener.counts().dropped, 0);
    allocations
}

/// Of events that are in the stream before.
fn handle_events(js: &JetStream) -> f64 {
    let bus = EventBus::on(js.clone());
    bus.topic("order.created").stream("EVENTS").ensure(Strategy::CreateOnly).unwrap();
    let body = Bytes::from_static(b"{\"total\":17}");
    let mut tickets = VecDeque::new();
    for n in 0..2 * COUNT {
        let event = Envelope::new(format!("order-{}", n % 1000), "OrderCreated", body.clone());
        tickets.push_back(bus.publish("order.created", &event).unwrap());
        if tickets.len() > 2000 {
            tickets.pop_front().unwrap().wait().unwrap();
        }
    }
    tickets.drain(..).for_each(|ticket| assert!(ticket.wait().is_ok()));
    let handled = Arc::<AtomicU64>::default();
    let count = Arc::clone(&handled);
    let handler = move |event: &Envelope| {
        assert_eq!(event.event_type(), "OrderCreated");
        count.fetch_add(1, SeqCst);
    };
    let subscription =
        bus.subscribe("billing").lanes(NonZeroUsize::MIN).on("order.created", handler);
    let _subscription = subscription.start().unwrap();
    let mut expected = 0;
    allocations(|| {
        expected += COUNT;
        reach(&handled, expected);
    })
}
