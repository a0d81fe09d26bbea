//! Leaving a server that is about to stop, under load: nothing is lost, nothing comes twice, and the order stays.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jetlane_client::{Client, Event, Message};
use jetlane_jetstream::{ConsumerConfig, JetStream, JsMessage, Storage, StreamConfig};
use jetlane_testkit::Cluster;
use jetlane_tests::{DEADLINE, eventually};

const PATIENT: &str = "lame_duck_duration: \"30s\", lame_duck_grace_period: \"3s\"";

/// A cluster whose servers give their clients some seconds to leave.
fn cluster() -> Cluster {
    Cluster::builder(3).config(PATIENT).start().unwrap()
}

/// The node that `client` is connected to.
fn node_of(client: &Client) -> usize {
    let name = client.server_info().server_name.clone();
    (0..3).find(|index| format!("n{}", index + 1) == name).expect("a node of this cluster")
}

/// Waits until the client has moved. Returns how long it took.
fn wait_for_move(events: &mut jetlane_client::Events, since: Instant) -> Duration {
    loop {
        match events.next_timeout(DEADLINE).expect("it moves") {
            Event::Moved { .. } => return since.elapsed(),
            Event::Disconnected { reason, .. } => panic!("it was disconnected: {reason}"),
            _ => {}
        }
    }
}

/// Publishes numbers to `subject` until it is stopped; says how many it has published.
fn count_up(client: &Client, subject: &'static str, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (client, stop) = (client.clone(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut number = 0;
        while !stop.load(Relaxed) {
            client.publish(subject, number.to_string()).unwrap();
            number += 1;
            if number % 10 == 0 {
                // At a pace that a loaded machine can bear: a flush takes a round trip.
                client.flush().wait().unwrap();
            }
        }
        client.publish(subject, "end").unwrap();
        client.flush().wait().unwrap();
        number
    })
}

fn number(message: &Message) -> Option<u64> {
    std::str::from_utf8(message.payload()).unwrap().parse().ok()
}

/// Reads numbers until the end. Returns how many there were; they must be in order, and each of them once.
fn read_up(numbers: impl Iterator<Item = Message>) -> u64 {
    let mut expected = 0;
    for message in numbers {
        match number(&message) {
            Some(number) => assert_eq!(number, expected, "the next one"),
            None => return expected,
        }
        expected += 1;
    }
    panic!("it ended behind {expected}");
}

/// Waits until all that `publisher` sends arrives, for a while: until the whole cluster knows the subscription, and the servers of a young
/// cluster have agreed on their routes (those they give up lose messages, whoever the client is).
fn wait_until_all_arrives(publisher: &Client, numbers: &mut jetlane_client::Subscription) {
    const STEADY: Duration = Duration::from_millis(500);
    let mut steady_since = Instant::now();
    eventually("all arrives", || {
        (0..100).for_each(|_| publisher.publish("n", "begin").unwrap());
        publisher.flush().wait().unwrap();
        let arrived = (0..100).all(|_| numbers.next_timeout(Duration::from_millis(100)).is_some());
        if !arrived {
            steady_since = Instant::now();
        }
        (steady_since.elapsed() > STEADY).then_some(())
    });
}

#[test]
fn a_subscriber_leaves_a_lame_duck_and_misses_nothing() {
    let cluster = cluster();
    let subscriber = Client::connect(&cluster.urls().join(",")).unwrap();
    let mut events = subscriber.events();
    let mut numbers = subscriber.subscribe("n").unwrap();
    let mut times = Vec::new();
    let mut messages = 0;
    // Each server that was left is lame from then on. The last one has the publisher.
    let last = (node_of(&subscriber) + 2) % 3;
    let publisher = Client::connect(&cluster.nodes()[last].url()).unwrap();
    for _ in 0..2 {
        let lame = node_of(&subscriber);
        if lame == last {
            break;
        }
        wait_until_all_arrives(&publisher, &mut numbers);
        let reader = std::thread::spawn(move || {
            let count = read_up(numbers.by_ref());
            (numbers, count)
        });
        let stop = Arc::<AtomicBool>::default();
        let counting = count_up(&publisher, "n", &stop);
        let since = Instant::now();
        cluster.nodes()[lame].lame_duck().unwrap();
        times.push(wait_for_move(&mut events, since));
        assert_ne!(node_of(&subscriber), lame);
        stop.store(true, Relaxed);
        let published = counting.join().unwrap();
        let (back, received) = reader.join().unwrap();
        numbers = back;
        assert_eq!((received, numbers.dropped()), (published, 0));
        messages += received;
    }
    assert_eq!(subscriber.stats().reconnects, 0);
    println!("C7: {} moves, {messages} messages, each once and in order; {times:?}", times.len());
}

/// Publishes until all of it is stored. Returns how many messages that took.
fn wait_until_all_is_stored(js: &JetStream) -> u64 {
    let mut published = 0;
    eventually("the stream stores", || {
        published += 100;
        let tickets: Vec<_> =
            (0..100).map(|_| js.publish("s", "probe")).collect::<Result<_, _>>().ok()?;
        tickets.into_iter().all(|ticket| ticket.wait().is_ok()).then_some(published)
    })
}

#[test]
fn a_publisher_leaves_a_lame_duck_and_all_is_stored_once_and_in_order() {
    let cluster = cluster();
    let publisher = Client::connect(&cluster.urls().join(",")).unwrap();
    let js = JetStream::new(publisher.clone()).unwrap();
    let stream = StreamConfig::new("S").subject("s").storage(Storage::Memory).replicas(3);
    js.create_stream(&stream).wait().unwrap();
    let mut events = publisher.events();
    // A young stream has to be known everywhere before anything is measured.
    wait_until_all_is_stored(&js);
    let first = js.publish("s", "first").unwrap().wait().unwrap().sequence + 1;
    let stop = Arc::<AtomicBool>::default();
    let good = Arc::<AtomicU64>::default();
    let publishing = {
        let (js, stop, good) = (js.clone(), Arc::clone(&stop), Arc::clone(&good));
        std::thread::spawn(move || {
            let (mut waiting, mut stored) = (VecDeque::new(), Vec::new());
            for number in 0u64.. {
                if stop.load(Relaxed) {
                    break;
                }
                waiting.push_back(js.publish("s", number.to_string()).unwrap());
                if waiting.len() == 100 {
                    let outcome = waiting.pop_front().map(jetlane_jetstream::Ticket::wait);
                    good.fetch_add(u64::from(matches!(outcome, Some(Ok(_)))), Relaxed);
                    stored.push(outcome);
                }
            }
            stored.extend(waiting.into_iter().map(|ticket| Some(ticket.wait())));
            stored
        })
    };
    let lame = node_of(&publisher);
    let since = Instant::now();
    cluster.nodes()[lame].lame_duck().unwrap();
    let time = wait_for_move(&mut events, since);
    let probes = wait_until_all_is_stored(&js);
    let before = good.load(Relaxed);
    eventually("it goes on", || (good.load(Relaxed) > before + 1000).then_some(()));
    stop.store(true, Relaxed);
    let stored = publishing.join().unwrap();
    // Where the server that leaves has led the stream, its followers elect another leader meanwhile: what was on its way then is
    // rejected or unknown, and said to be.
    let outcomes: Vec<_> = stored.into_iter().flatten().collect();
    let sequences: Vec<_> = outcomes.iter().flatten().map(|stored| stored.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "stored in the order published");
    let last = js.publish("s", "last").unwrap().wait().unwrap().sequence;
    let (stored, failed) = (sequences.len(), outcomes.len() - sequences.len());
    let in_stream = last - first;
    let most = outcomes.len() as u64 + probes;
    assert!(
        in_stream >= stored as u64 && in_stream <= most,
        "each stored once at most: {in_stream} in the stream, {stored} known to be, {most} published"
    );
    println!(
        "C7: a publisher moved in {time:?}; {stored} stored in order, {failed} rejected or unknown"
    );
}

#[test]
fn a_consumer_leaves_a_lame_duck_and_handles_everything_in_order() {
    let cluster = cluster();
    let client = Client::connect(&cluster.urls().join(",")).unwrap();
    let lame = node_of(&client);
    let js = JetStream::new(client.clone()).unwrap();
    let other = Client::connect(&cluster.nodes()[(lame + 1) % 3].url()).unwrap();
    let publisher = JetStream::new(other).unwrap();
    let stream = StreamConfig::new("S").subject("s").storage(Storage::Memory).replicas(3);
    js.create_stream(&stream).wait().unwrap();
    wait_until_all_is_stored(&publisher);
    let config =
        ConsumerConfig::durable("C").ack_wait(Duration::from_secs(2)).max_ack_pending(10_000);
    let consumer = eventually("the consumer", || js.create_consumer("S", &config).wait().ok());
    let mut messages = js.consume(&consumer).in_order().queued().unwrap();
    let mut events = client.events();
    let stop = Arc::<AtomicBool>::default();
    let publishing = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut last = 0;
            while !stop.load(Relaxed) {
                // At the pace of the stream, and again after what an election has rejected.
                if let Ok(stored) = publisher.publish("s", "x").unwrap().wait() {
                    last = stored.sequence;
                }
            }
            last
        })
    };
    let since = Instant::now();
    cluster.nodes()[lame].lame_duck().unwrap();
    let (mut moved, mut end) = (None, None);
    let (mut expected, mut redelivered) = (1, 0);
    let mut handle = |message: JsMessage| {
        if message.delivery().stream_sequence < expected {
            redelivered += 1;
        } else {
            assert_eq!(message.delivery().stream_sequence, expected, "none is left out");
            expected += 1;
        }
        message.ack();
        expected
    };
    let mut handled = 1;
    eventually("all is handled", || {
        // All there is: one at a time it would take as many looks as there are messages.
        while let Some(message) = messages.next_timeout(Duration::from_millis(10)) {
            handled = handle(message);
            if moved.is_none() || !stop.load(Relaxed) {
                break;
            }
        }
        if let Some(Event::Moved { .. }) = events.try_next() {
            moved = Some(since.elapsed());
        }
        if moved.is_some() && handled > 1000 {
            stop.store(true, Relaxed);
        }
        if end.is_none() && publishing.is_finished() {
            end = Some(js.stream_info("S").wait().unwrap().state.last_seq);
        }
        end.filter(|last| handled > *last)
    });
    publishing.join().unwrap();
    println!(
        "C7: a consumer moved in {moved:?}; {} handled in order, {redelivered} again",
        expected - 1
    );
    // What a leader had not passed on of our acks when it stepped down comes again, as JetStream promises.
    assert_eq!(client.stats().reconnects, 0);
}

#[test]
fn what_begins_ends_and_repeats_itself_in_a_move_is_right_afterwards() {
    let cluster = cluster();
    let client = Client::connect(&cluster.urls().join(",")).unwrap();
    let lame = node_of(&client);
    let publisher = Client::connect(&cluster.nodes()[(lame + 1) % 3].url()).unwrap();
    let mut group = client.subscription("n").queue_group("g").queued().unwrap();
    let mut ended = client.subscribe("n").unwrap();
    wait_until_all_arrives(&publisher, &mut group);
    let received = Arc::<AtomicU64>::default();
    let counter = Arc::clone(&received);
    drop(group);
    // All messages are the same, and large enough to be cut anywhere by reads.
    let _group = client
        .subscription("n")
        .queue_group("g")
        .inline(move |message| {
            counter.fetch_add(u64::from(message.payload().len() == 20_000), Relaxed);
        })
        .unwrap();
    client.flush().wait().unwrap();
    let mut events = client.events();
    let stop = Arc::<AtomicBool>::default();
    let publishing = {
        let (publisher, stop) = (publisher.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut published = 0u64;
            while !stop.load(Relaxed) {
                publisher.publish("n", [b'x'; 20_000]).unwrap();
                publisher.flush().wait().unwrap();
                published += 1;
            }
            published
        })
    };
    cluster.nodes()[lame].lame_duck().unwrap();
    // While it moves: some begin, and one ends.
    let mut begun = Vec::new();
    loop {
        match events.next_timeout(Duration::from_millis(20)) {
            Some(Event::Moved { .. }) => break,
            Some(Event::Disconnected { reason, .. }) => panic!("{reason}"),
            _ => begun.push(client.subscribe(&format!("begun.{}", begun.len())).unwrap()),
        }
        ended.drain();
    }
    while ended.next().is_some() {}
    stop.store(true, Relaxed);
    let published = publishing.join().unwrap();
    eventually("all have come", || (received.load(Relaxed) >= published).then_some(()));
    client.flush().wait().unwrap();
    assert_eq!(
        received.load(Relaxed),
        published,
        "none is taken for another, and none comes twice"
    );
    for (number, subscription) in begun.iter_mut().enumerate() {
        let heard = || {
            publisher.publish(format!("begun.{number}"), "x").ok()?;
            subscription.next_timeout(Duration::from_millis(100))
        };
        eventually("what has begun in a move is heard", heard);
    }
    println!(
        "C7: {published} equal messages to a group, each once; {} subscriptions begun",
        begun.len()
    );
}
