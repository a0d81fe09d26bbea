//! What a core client does with messages: asking, answering, batches, groups, limits, ends; the same for threads and executors.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use jetlane_client::{
    BatchError, Client, CloseReason, ConnectOptions, Event, Headers, Limits, Message, Overflow,
    PublishError, RequestError, Subscription,
};
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};

fn server() -> Server {
    Server::builder().without_jetstream().start().unwrap()
}

fn payloads(messages: impl Iterator<Item = Message>) -> Vec<String> {
    messages.map(|message| String::from_utf8_lossy(message.payload()).into_owned()).collect()
}

/// Answers every request on `subject` with `answers`, in order.
fn answer(
    client: &Client,
    subject: &str,
    answers: &'static [&'static str],
) -> jetlane_client::SinkHandle {
    let responder = client.clone();
    let handle = client
        .subscription(subject)
        .inline(move |request| {
            for answer in answers {
                responder.respond(request, answer).unwrap();
            }
        })
        .unwrap();
    client.flush().wait().unwrap();
    handle
}

#[test]
fn a_request_is_answered_and_its_headers_arrive() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut requests = client.subscribe("ask").unwrap();
    let headers = Headers::new().with("A", "1").unwrap();
    let request = client.request_with("ask", &headers, "?", DEADLINE).unwrap();
    let asked = requests.next_timeout(DEADLINE).unwrap();
    assert_eq!(asked.headers().unwrap().get("A"), Some(&b"1"[..]));
    client.respond_with(&asked, &headers, "!").unwrap();
    let reply = request.wait().unwrap();
    assert_eq!(reply.payload(), b"!");
    assert_eq!(reply.headers().unwrap().get("A"), Some(&b"1"[..]));
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(&inbox).unwrap();
    client.publish_with_reply("ask", &*inbox, "?").unwrap();
    client.respond(&requests.next_timeout(DEADLINE).unwrap(), "!!").unwrap();
    assert_eq!(answers.next_timeout(DEADLINE).unwrap().payload(), b"!!");
    let long = "x".repeat(2500);
    let error = client.publish_with_reply(&*long, &*long, "").unwrap_err();
    assert!(matches!(error, PublishError::Subject(_)), "{error}");
    client.publish("ask", "no answer wanted").unwrap();
    let plain = requests.next_timeout(DEADLINE).unwrap();
    assert_eq!(client.respond(&plain, "!"), Err(PublishError::NoReply));
}

#[test]
fn each_end_of_a_request_is_told_from_the_others() {
    let mut server =
        Server::builder().without_jetstream().config("max_payload: 1000").start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let _silent = client.subscribe("silent").unwrap();
    let end = |subject: &str, size: usize| {
        client
            .request(subject, vec![0; size], Duration::from_millis(50))
            .and_then(|request| request.wait())
            .unwrap_err()
    };
    assert_eq!(end("nobody", 1), RequestError::NoResponders);
    assert_eq!(end("silent", 1), RequestError::TimedOut);
    let too_large = PublishError::TooLarge { size: 1001, max: 1000 };
    assert_eq!(end("silent", 1001), RequestError::Publish(too_large));
    let lost = client.request("silent", "", DEADLINE).unwrap();
    client.flush().wait().unwrap();
    server.kill();
    assert_eq!(lost.wait().unwrap_err(), RequestError::Disconnected);
    let closed = client.request("silent", "", DEADLINE).unwrap();
    let _ = client.close(Duration::ZERO);
    assert_eq!(closed.wait().unwrap_err(), RequestError::Closed);
}

#[test]
fn many_answers_end_by_count_stall_sentinel_time_or_nobody() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let _three = answer(&client, "three", &["a", "b", "c"]);
    let _ended = answer(&client, "ended", &["a", "b", "", "never"]);
    let _silent = client.subscribe("silent").unwrap();
    let ms = Duration::from_millis;

    let mut by_count = client.request_many("three", b"").max_messages(2).send().unwrap();
    assert_eq!(payloads(by_count.by_ref()), ["a", "b"]);
    assert_eq!(by_count.close_reason(), Some(CloseReason::Complete));

    let mut by_sentinel = client.request_many("ended", b"").until_empty().send().unwrap();
    assert_eq!(payloads(by_sentinel.by_ref()), ["a", "b"]);
    assert_eq!(by_sentinel.close_reason(), Some(CloseReason::Complete));

    let started = Instant::now();
    let mut by_stall =
        client.request_many("three", b"").stall(ms(50)).timeout(DEADLINE).send().unwrap();
    assert_eq!(payloads(by_stall.by_ref()), ["a", "b", "c"]);
    assert_eq!(by_stall.close_reason(), Some(CloseReason::Complete));
    assert!(started.elapsed() >= ms(50) && started.elapsed() < DEADLINE);

    let mut by_time =
        client.request_many("silent", b"").stall(ms(1)).timeout(ms(80)).send().unwrap();
    let started = Instant::now();
    assert!(by_time.next().is_none(), "the first answer has all the time there is");
    assert!(started.elapsed() >= ms(60));
    assert_eq!(by_time.close_reason(), Some(CloseReason::TimedOut));

    let mut nobody = client.request_many("nobody", b"").send().unwrap();
    assert!(nobody.next().is_none());
    assert_eq!(nobody.close_reason(), Some(CloseReason::NoResponders));
}

#[test]
fn many_answers_end_with_the_connection_they_were_asked_on() {
    let mut server = server();
    let client = Client::connect(&server.url()).unwrap();
    let _silent = client.subscribe("silent").unwrap();
    let mut asked = client.request_many("silent", b"").timeout(DEADLINE).send().unwrap();
    client.flush().wait().unwrap();
    server.kill();
    assert!(asked.next().is_none());
    assert_eq!(asked.close_reason(), Some(CloseReason::Disconnected));
    server.restart().unwrap();
    let mut closed = client.request_many("silent", b"").timeout(DEADLINE).send().unwrap();
    client.close(DEADLINE).unwrap();
    assert!(closed.next().is_none());
    assert_eq!(closed.close_reason(), Some(CloseReason::ConnectionClosed));
}

#[test]
fn a_batch_is_queued_in_order_up_to_what_is_wrong_with_it() {
    let server = server();
    let limits = Limits { write_queue_bytes: 4096, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let mut all = client.subscribe("b.>").unwrap();
    let batch = (0..5000).map(|n| (format!("b.{}", n % 7), n.to_string()));
    assert_eq!(client.publish_batch(batch), Ok(5000));
    for n in 0..5000 {
        let message = all.next_timeout(DEADLINE).unwrap();
        assert_eq!(message.payload(), n.to_string().as_bytes());
        assert_eq!(message.subject(), format!("b.{}", n % 7));
    }
    let mixed = [("b.1", vec![1]), ("b.2", vec![2]), ("b.*", vec![3]), ("b.4", vec![4])];
    let BatchError { queued, error } = client.publish_batch(mixed).unwrap_err();
    assert!(matches!(error, PublishError::Subject(_)), "{error}");
    assert_eq!(queued, 2);
    let large = [("b.1", vec![1]), ("b.2", vec![0; client.max_payload() + 1]), ("b.3", vec![3])];
    assert_eq!(client.publish_batch(large).unwrap_err().queued, 1);
    client.publish("b.last", "last").unwrap();
    let left: Vec<_> = all
        .by_ref()
        .map(|message| message.payload().to_vec())
        .take_while(|payload| payload != b"last")
        .collect();
    assert_eq!(left, [vec![1], vec![2], vec![1]]);
    assert_eq!(client.publish_batch::<&str, &str>([]), Ok(0));
    assert_eq!(client.stats().messages_out, 5000 + 2 + 1 + 1);
}

#[test]
fn a_queue_group_shares_and_its_members_get_different_messages() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut members: Vec<_> =
        (0..3).map(|_| client.subscription("work").queue_group("g").queued().unwrap()).collect();
    for n in 0..300 {
        client.publish("work", n.to_string()).unwrap();
    }
    client.flush().wait().unwrap();
    let shares: Vec<Vec<String>> = members
        .iter_mut()
        .map(|member| payloads(std::iter::from_fn(|| member.try_next())))
        .collect();
    assert!(
        shares.iter().all(|share| share.len() > 30),
        "{:?}",
        shares.iter().map(Vec::len).collect::<Vec<_>>()
    );
    let mut all: Vec<_> = shares.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 300);
}

#[test]
fn a_subscription_ends_after_as_many_messages_as_it_asked_for_also_over_a_reconnect() {
    let mut server = server();
    let client = Client::connect(&server.url()).unwrap();
    let ten = NonZeroU64::new(10).unwrap();
    let mut some = client.subscription("n").max_messages(ten).queued().unwrap();
    let later = client.subscribe("n").unwrap();
    for n in 0..6 {
        client.publish("n", n.to_string()).unwrap();
    }
    client.flush().wait().unwrap();
    server.kill();
    server.restart().unwrap();
    later.unsubscribe_after(8);
    for n in 6..30 {
        client.publish("n", n.to_string()).unwrap();
    }
    let expected: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(payloads(some.by_ref()), expected);
    assert_eq!(some.close_reason(), Some(CloseReason::Complete));
    assert_eq!(payloads(later), expected[..8]);
    client.flush().wait().unwrap();
    let received = client.stats().messages_in;
    client.publish("n", "nobody listens any more").unwrap();
    client.flush().wait().unwrap();
    assert_eq!(client.stats().messages_in, received, "the server knows it, too");
}

#[test]
fn a_drained_subscription_brings_all_that_was_published_before() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let drained = client.subscribe("d").unwrap();
    let batch = (0..10_000).map(|n| ("d", n.to_string()));
    client.publish_batch(batch).unwrap();
    drained.drain();
    let mut count = 0;
    let mut drained = drained;
    for (n, message) in drained.by_ref().enumerate() {
        assert_eq!(message.payload(), n.to_string().as_bytes());
        count += 1;
    }
    assert_eq!((count, drained.close_reason()), (10_000, Some(CloseReason::Drained)));
    client.publish("d", "late").unwrap();
    client.flush().wait().unwrap();
    assert_eq!(client.state(), jetlane_client::State::Connected);
}

#[test]
fn a_drained_connection_reads_everything_answers_it_and_then_closes() {
    let server = server();
    let (client, witness) =
        (Client::connect(&server.url()).unwrap(), Client::connect(&server.url()).unwrap());
    let mut answers = witness.subscribe("answers").unwrap();
    witness.flush().wait().unwrap();
    let mut work = client.subscribe("work").unwrap();
    client.flush().wait().unwrap();
    witness.publish_batch((0..5000).map(|n| ("work", n.to_string()))).unwrap();
    witness.flush().wait().unwrap();
    let worker = {
        let client = client.clone();
        std::thread::spawn(move || {
            let mut done = 0;
            for message in work.by_ref() {
                client.publish("answers", message.payload()).unwrap();
                done += 1;
            }
            (done, work.close_reason())
        })
    };
    client.drain(DEADLINE).unwrap();
    assert_eq!(worker.join().unwrap(), (5000, Some(CloseReason::Drained)));
    assert_eq!(client.publish("answers", ""), Err(PublishError::Closed));
    for n in 0..5000 {
        assert_eq!(answers.next_timeout(DEADLINE).unwrap().payload(), n.to_string().as_bytes());
    }
}

#[test]
fn a_drain_that_nobody_reads_ends_by_its_deadline() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let _unread = client.subscribe("u").unwrap();
    client.publish("u", "x").unwrap();
    client.flush().wait().unwrap();
    let started = Instant::now();
    let drained = client.drain(Duration::from_millis(200)).unwrap_err();
    assert!(drained.undrained, "{drained}");
    assert!(started.elapsed() >= Duration::from_millis(90) && started.elapsed() < DEADLINE);
}

#[test]
fn a_full_queue_does_what_it_was_told() {
    const SENT: usize = 5000;
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let publisher = Client::connect(&server.url()).unwrap();
    let subscribe = |overflow| {
        client.subscription("q.*").queue_messages(100).overflow(overflow).queued().unwrap()
    };
    let read = |subscription: &mut Subscription| -> Vec<usize> {
        let text = payloads(std::iter::from_fn(|| subscription.try_next()));
        text.iter().map(|text| text.parse().unwrap()).collect()
    };
    let send = || {
        client.flush().wait().unwrap();
        publisher
            .publish_batch((0..SENT).map(|n| (format!("q.{}", n % 10), n.to_string())))
            .unwrap();
        publisher.flush().wait().unwrap();
        client.flush().wait().unwrap();
    };
    let mut events = client.events();
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Conflate] {
        let mut queue = subscribe(overflow);
        send();
        let (stats, numbers) = (queue.stats(), read(&mut queue));
        let expected: Vec<usize> = match overflow {
            Overflow::DropNewest => (0..100).collect(),
            Overflow::DropOldest => (SENT - 100..SENT).collect(),
            _ => (SENT - 10..SENT).collect(),
        };
        assert_eq!(numbers, expected, "{overflow:?}");
        assert_eq!(stats.dropped as usize, SENT - numbers.len(), "{overflow:?}: {stats:?}");
        assert_eq!(
            (stats.waiting, stats.most_waiting),
            (numbers.len(), numbers.len()),
            "{overflow:?}"
        );
        let slow = events.find(|event| matches!(event, Event::SlowConsumer { .. }));
        assert!(matches!(slow, Some(Event::SlowConsumer { subject, .. }) if subject == "q.*"));
    }
    assert_eq!(client.stats().slow_consumers, 3);
}

#[test]
fn a_queue_that_blocks_loses_nothing_and_the_connection_goes_on() {
    const SENT: usize = 200_000;
    let server = server();
    // PINGs come often: who does not read must not take the server for dead.
    let client = ConnectOptions::new()
        .ping_interval(Duration::from_millis(20))
        .connect(&server.url())
        .unwrap();
    let publisher = Client::connect(&server.url()).unwrap();
    let mut queue =
        client.subscription("q").queue_messages(100).overflow(Overflow::Block).queued().unwrap();
    let mut other = client.subscribe("other").unwrap();
    client.flush().wait().unwrap();
    publisher.publish_batch((0..SENT).map(|n| ("q", n.to_string()))).unwrap();
    publisher.publish("other", "x").unwrap();
    publisher.flush().wait().unwrap();
    assert!(other.next_timeout(Duration::from_millis(100)).is_none(), "nothing is read behind it");
    for n in 0..SENT {
        let message = queue.next_timeout(DEADLINE).unwrap();
        assert_eq!(message.payload(), n.to_string().as_bytes());
    }
    assert_eq!(other.next_timeout(DEADLINE).unwrap().payload(), b"x");
    let stats = queue.stats();
    assert_eq!((stats.dropped, client.stats().reconnects), (0, 0));
    let two_turns = 2 * (Limits::default().turn_bytes + (128 << 10));
    assert!(stats.most_waiting_bytes < two_turns + 10_000, "{stats:?}");
    drop(queue);
    client.flush().wait().unwrap();
}

#[test]
fn a_blocking_queue_that_is_dropped_full_blocks_nobody() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let queue =
        client.subscription("q").queue_messages(1).overflow(Overflow::Block).queued().unwrap();
    client.publish_batch((0..1000).map(|_| ("q", "x"))).unwrap();
    eventually("it is full", || (queue.stats().waiting > 0).then_some(()));
    drop(queue);
    client.flush().wait().unwrap();
}

#[test]
fn echo_can_be_turned_off() {
    let server = server();
    let client =
        ConnectOptions::new().no_echo().verbose().pedantic().connect(&server.url()).unwrap();
    let other = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("e").unwrap();
    client.publish("e", "mine").unwrap();
    client.flush().wait().unwrap();
    other.publish("e", "other").unwrap();
    assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), b"other");
}

#[test]
fn a_round_trip_takes_some_time() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let time = client.rtt().wait().unwrap();
    assert!(time > Duration::ZERO && time < DEADLINE, "{time:?}");
    server.pause();
    let mut paused = client.rtt();
    assert!(paused.wait_timeout(Duration::from_millis(100)).is_none());
    server.resume();
    assert!(paused.wait().unwrap() >= Duration::from_millis(90));
}

#[test]
fn statistics_count_what_is_on_the_wire() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut all = client.subscribe("s").unwrap();
    client.flush().wait().unwrap();
    let before = client.stats();
    let headers = Headers::new().with("A", "1").unwrap();
    client.publish("s", "12345").unwrap();
    client.publish_with("s", None, &headers, "12345").unwrap();
    client.flush().wait().unwrap();
    all.next_timeout(DEADLINE).unwrap();
    let after = client.stats();
    let out = "PUB s 5\r\n12345\r\nHPUB s 18 23\r\nNATS/1.0\r\nA: 1\r\n\r\n12345\r\nPING\r\n".len();
    let back =
        "MSG s 1 5\r\n12345\r\nHMSG s 1 18 23\r\nNATS/1.0\r\nA: 1\r\n\r\n12345\r\nPONG\r\n".len();
    assert_eq!(after.bytes_out - before.bytes_out, out as u64);
    assert_eq!(after.bytes_in - before.bytes_in, back as u64);
    assert_eq!(
        (after.messages_out - before.messages_out, after.messages_in - before.messages_in),
        (2, 2)
    );
}
