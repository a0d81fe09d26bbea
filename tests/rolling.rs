//! A cluster whose servers are stopped and started again one after the other, as for an update, under load: what was acknowledged is in
//! the stream and is consumed, and all is in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jetlane_client::{Client, ConnectOptions};
use jetlane_jetstream::{ConsumerConfig, JetStream, NotStored, Outcome, StreamConfig, Ticket};
use jetlane_testkit::Cluster;
use jetlane_tests::{eventually, rounds};

/// How many publishers there are, each with a subject of its own.
const PUBLISHERS: usize = 2;

/// Publishes that wait for their acks, of one publisher.
const WINDOW: usize = 100;

/// A restart is under load if so much more is stored before the next one.
const LOAD: u64 = 500;

/// A node is stopped and started: it may have to hand over what it leads, and to catch up.
const PATIENCE: Duration = Duration::from_secs(60);

fn subject(publisher: usize) -> String {
    format!("s.{publisher}")
}

fn connect(cluster: &Cluster) -> Client {
    let soon = ConnectOptions::new().reconnect_delay(|_| Duration::from_millis(20));
    soon.connect(&cluster.urls().join(",")).unwrap()
}

/// Publishes numbers until it is stopped. Returns the outcome of each.
fn publish(
    client: Client,
    publisher: usize,
    stop: Arc<AtomicBool>,
    stored: Arc<AtomicU64>,
) -> JoinHandle<Vec<Outcome>> {
    thread::spawn(move || {
        let js = JetStream::new(client).unwrap();
        let (mut waiting, mut outcomes) = (VecDeque::<Ticket>::new(), Vec::new());
        for number in 0u64.. {
            if stop.load(Relaxed) {
                break;
            }
            waiting.push_back(js.publish(subject(publisher), number.to_string()).unwrap());
            if waiting.len() == WINDOW {
                let outcome = waiting.pop_front().map(Ticket::wait).unwrap();
                match outcome {
                    Ok(_) => _ = stored.fetch_add(1, Relaxed),
                    // Servers that elect a leader need the processor more than we do.
                    Err(_) => thread::park_timeout(Duration::from_millis(1)),
                }
                outcomes.push(outcome);
            }
        }
        outcomes.extend(waiting.into_iter().map(Ticket::wait));
        outcomes
    })
}

/// What a consumer has handled.
struct Handled {
    /// Publisher and number of each message of the stream, in its order from the first one.
    messages: Vec<(usize, u64)>,
    again: usize,
}

/// Handles everything in order, none left out, until the message `last`, which has no number.
fn consume(js: JetStream) -> JoinHandle<Handled> {
    thread::spawn(move || {
        let config =
            ConsumerConfig::durable("C").ack_wait(Duration::from_secs(2)).max_ack_pending(10_000);
        let consumer = eventually("the consumer", || js.create_consumer("S", &config).wait().ok());
        let mut messages = js.consume(&consumer).in_order().queued().unwrap();
        let mut handled = Handled { messages: Vec::new(), again: 0 };
        loop {
            let message = messages.next_timeout(PATIENCE).expect("the next message");
            let (next, sequence) =
                (handled.messages.len() as u64 + 1, message.delivery().stream_sequence);
            if sequence < next {
                handled.again += 1;
                message.ack();
                continue;
            }
            assert_eq!(sequence, next, "none is left out");
            let publisher = message.subject().strip_prefix("s.").map(str::to_owned).unwrap();
            let payload = String::from_utf8(message.payload().to_vec()).unwrap();
            message.ack();
            match (publisher.parse(), payload.parse()) {
                (Ok(publisher), Ok(number)) => handled.messages.push((publisher, number)),
                _ => return handled,
            }
        }
    })
}

/// Stops a node as an operator would, in one of the two ways, and starts it again.
fn restart(cluster: &mut Cluster, node: usize, as_lame_duck: bool) {
    if as_lame_duck {
        cluster.nodes()[node].lame_duck().unwrap();
        cluster.node_mut(node).wait_until_ended().unwrap();
    } else {
        cluster.node_mut(node).quit().unwrap();
    }
    cluster.node_mut(node).restart().unwrap();
    cluster.wait_for_leader().unwrap();
}

/// How many of the outcomes there are of each kind.
#[derive(Debug, Default)]
struct Counts {
    stored: usize,
    rejected: usize,
    unknown: usize,
    unknown_and_there: usize,
}

/// Compares what the publishers were told with what is in the stream.
fn account(told: &[Vec<Outcome>], stream: &[(usize, u64)]) -> Counts {
    let mut counts = Counts::default();
    for (publisher, outcomes) in told.iter().enumerate() {
        let own = || stream.iter().filter(|(of, _)| *of == publisher).map(|(_, number)| *number);
        let disorder = own().zip(own().skip(1)).find(|(one, next)| one >= next);
        assert_eq!(disorder, None, "publisher {publisher}: in order, and each once at most");
        let there: std::collections::HashSet<u64> = own().collect();
        for (number, outcome) in (0u64..).zip(outcomes) {
            let is_there = there.contains(&number);
            match outcome {
                Ok(stored) => {
                    let place = usize::try_from(stored.sequence).unwrap() - 1;
                    let found = stream.get(place);
                    assert_eq!(found, Some(&(publisher, number)), "what was stored is there");
                    counts.stored += 1;
                }
                Err(NotStored::Rejected(why)) => {
                    assert!(!is_there, "{number} of publisher {publisher} is there: {why}");
                    counts.rejected += 1;
                }
                Err(NotStored::Unknown(_)) => {
                    counts.unknown += 1;
                    counts.unknown_and_there += usize::from(is_there);
                }
            }
        }
    }
    counts
}

/// C14.
#[test]
fn a_cluster_that_is_restarted_node_by_node_loses_nothing_that_was_acknowledged() {
    // A lame duck that gives its clients a moment to leave.
    const LAME_DUCK: &str = "lame_duck_duration: \"30s\", lame_duck_grace_period: \"1s\"";
    let mut cluster = Cluster::builder(3).config(LAME_DUCK).start().unwrap();
    let js = JetStream::new(connect(&cluster)).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s.*").replicas(3)).wait().unwrap();
    let handling = consume(js.clone());
    let (stop, stored) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let clients: Vec<_> = (0..PUBLISHERS).map(|_| connect(&cluster)).collect();
    let publishing: Vec<_> = (0..PUBLISHERS)
        .map(|n| publish(clients[n].clone(), n, Arc::clone(&stop), Arc::clone(&stored)))
        .collect();
    let under_load = || {
        let before = stored.load(Relaxed);
        eventually("it stores", || (stored.load(Relaxed) > before + LOAD).then_some(()));
    };
    let (rounds, mut times) = (rounds(1), Vec::new());
    for restarted in 0..3 * rounds {
        under_load();
        let started = Instant::now();
        // In two rounds each node is stopped in both ways.
        restart(&mut cluster, restarted % 3, restarted % 2 == 0);
        times.push(started.elapsed());
    }
    under_load();
    stop.store(true, Relaxed);
    let told: Vec<_> = publishing.into_iter().map(|it| it.join().unwrap()).collect();
    eventually("the last one is stored", || js.publish("s.end", "end").ok()?.wait().ok());
    let handled = handling.join().unwrap();
    let counts = account(&told, &handled.messages);
    let reconnects: u64 = clients.iter().map(|client| client.stats().reconnects).sum();
    let published = told.iter().map(Vec::len).sum::<usize>();
    println!(
        "C14: {} nodes stopped and started, each in {:?} at most; {published} published: {counts:?}; {} handled in order, \
         {} again; publishers reconnected {reconnects} times",
        times.len(),
        times.iter().max().unwrap(),
        handled.messages.len(),
        handled.again
    );
    assert_eq!(published, counts.stored + counts.rejected + counts.unknown);
    assert_eq!(handled.messages.len(), counts.stored + counts.unknown_and_there);
    assert!(counts.stored as u64 > LOAD);
}
