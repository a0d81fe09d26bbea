//! How connections end: by a panic, a drop, a close, a drain, each at the worst moment.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use jetlane_client::{
    Client, CloseReason, ConnectOptions, Event, FlushError, HeaderBlock, Limits, MessageRef, Out,
    Overflow, PublishError, RequestError, Sink, State,
};
use jetlane_testkit::{Scripted, Server};
use jetlane_tests::{DEADLINE, eventually};

fn server() -> Server {
    Server::builder().without_jetstream().start().unwrap()
}

/// Waits until it is closed, and says how long that took.
fn ends(client: &Client) -> Duration {
    let started = Instant::now();
    eventually("it is closed", || (client.state() == State::Closed).then_some(()));
    started.elapsed()
}

/// X1.
#[test]
fn panics_of_callbacks_are_contained_and_nobody_else_misses_anything() {
    struct Panicking;
    impl HeaderBlock for Panicking {
        fn encoded_len(&self) -> usize {
            panic!("on purpose")
        }
        fn encode(&self, _: &mut Vec<u8>) {}
    }
    let mut server = server();
    let client = ConnectOptions::new()
        .on_event(|_| panic!("on purpose"))
        .reconnect_delay(|_| panic!("on purpose"))
        .connect(&server.url())
        .unwrap();
    let mut events = client.events();
    let mut all = client.subscribe("a").unwrap();
    let _inline = client.subscription("a").inline(|_| panic!("on purpose")).unwrap();
    for n in 0..100 {
        client.publish("a", n.to_string()).unwrap();
    }
    for n in 0..100 {
        let message = all.next_timeout(DEADLINE).expect("others get it");
        assert_eq!(message.payload(), n.to_string().as_bytes());
    }
    let block = std::panic::AssertUnwindSafe(|| client.publish_with("a", None, &Panicking, ""));
    assert!(std::panic::catch_unwind(block).is_err());
    client.flush().wait().unwrap();
    server.kill();
    server.restart().unwrap();
    while !matches!(events.next_timeout(DEADLINE).unwrap(), Event::Disconnected { .. }) {}
    while !matches!(events.next_timeout(DEADLINE).unwrap(), Event::Reconnected { .. }) {}
    client.publish("a", "after").unwrap();
    assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), b"after");
    client.flush().wait().unwrap();
    client.close(DEADLINE).unwrap();
    assert_eq!(events.next_timeout(DEADLINE), Some(Event::Closed), "told in spite of the panic");
    assert_eq!(events.next_timeout(DEADLINE), None);
    let panics = client.stats().callback_panics;
    println!("X1: {panics} panics of callbacks contained");
    assert!(panics >= 104, "{panics}");
}

/// X1, X2.
#[test]
fn the_death_of_the_loop_is_told_to_everybody_who_waits() {
    #[derive(Clone, Copy, Debug)]
    enum When {
        Message,
        TurnEnd,
        Closed,
        Drop,
    }
    struct Panicking(When, bool);
    impl Sink for Panicking {
        fn message(&mut self, _: &MessageRef<'_>, _: &mut Out<'_>) {
            self.1 = true;
            assert!(!matches!(self.0, When::Message), "on purpose");
        }
        fn turn_end(&mut self, _: &mut Out<'_>) {
            assert!(!self.1, "on purpose");
        }
        fn closed(&mut self, _: CloseReason) {
            assert!(!matches!(self.0, When::Closed), "on purpose");
        }
    }
    impl Drop for Panicking {
        fn drop(&mut self) {
            assert!(!matches!(self.0, When::Drop), "on purpose");
        }
    }
    let server = server();
    let mut worst = Duration::ZERO;
    for when in [When::Message, When::TurnEnd, When::Closed, When::Drop] {
        let client = Client::connect(&server.url()).unwrap();
        let mut events = client.events();
        // Before and behind the one that panics.
        let mut waiting = vec![client.subscribe("w").unwrap()];
        let handle = client.subscription("p").sink(Panicking(when, false)).unwrap();
        waiting.push(client.subscription("w").overflow(Overflow::Conflate).queued().unwrap());
        let _silent = client.subscribe("silent").unwrap();
        let request = client.request("silent", "", DEADLINE).unwrap();
        client.flush().wait().unwrap();
        let started = Instant::now();
        client.publish("p", "x").unwrap();
        let flush = client.flush();
        assert!(request.wait().is_err(), "{when:?}");
        let _ = flush.wait();
        for subscription in &mut waiting {
            assert!(subscription.next_timeout(DEADLINE).is_none(), "{when:?}");
            assert!(subscription.close_reason().is_some(), "{when:?}");
        }
        while events.next_timeout(DEADLINE).is_some() {}
        ends(&client);
        worst = worst.max(started.elapsed());
        assert_eq!(client.publish("p", "x"), Err(PublishError::Closed));
        assert_eq!(client.close(DEADLINE), Ok(()), "{when:?}");
        drop(handle);
    }
    println!("X2: 4 ways for a sink to panic, everybody told after {worst:?} at most");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

/// D8.
#[test]
fn dropping_and_closing_in_any_way_ends_soon_and_brings_everything_out() {
    let server = server();
    let witness = Client::connect(&server.url()).unwrap();
    let arrived = Arc::<AtomicU64>::default();
    let counter = Arc::clone(&arrived);
    let counts = witness.subscription("w").inline(move |_| {
        counter.fetch_add(1, Relaxed);
    });
    let _counts = counts.unwrap();
    witness.flush().wait().unwrap();
    let mut expected = 0;
    let mut publish = |client: &Client| {
        (0..1000).for_each(|_| client.publish("w", "x").unwrap());
        expected += 1000;
        expected
    };
    let all_come = |expected| {
        eventually("all has come", || (arrived.load(Relaxed) == expected).then_some(()));
    };

    // Dropped without a close.
    let client = Client::connect(&server.url()).unwrap();
    let expected = publish(&client);
    drop(client);
    all_come(expected);

    // The last handle dropped in a callback, with its own subscription.
    let client = Client::connect(&server.url()).unwrap();
    let mut events = client.events();
    let expected = publish(&client);
    let own = Arc::new(Mutex::new(None));
    let held = Arc::clone(&own);
    let handle = client.subscription("own").inline(move |_| drop(held.lock().unwrap().take()));
    let handle = handle.unwrap();
    let mut all = client.subscribe("own").unwrap();
    client.flush().wait().unwrap();
    let trigger = Client::connect(&server.url()).unwrap();
    let mut place = own.lock().unwrap();
    *place = Some((client, handle));
    drop(place);
    trigger.publish("own", "").unwrap();
    all.next_timeout(DEADLINE).unwrap();
    drop(all);
    while events.next_timeout(DEADLINE).expect("it ends") != Event::Closed {}
    all_come(expected);

    // Twice at once, from two threads, then again.
    let client = Client::connect(&server.url()).unwrap();
    let expected = publish(&client);
    let (one, two) = (client.clone(), client.clone());
    let closing = std::thread::spawn(move || one.close(DEADLINE));
    assert_eq!(two.close(DEADLINE), Ok(()));
    assert_eq!(closing.join().unwrap(), Ok(()));
    assert_eq!((client.close(Duration::ZERO), client.drain(Duration::ZERO)), (Ok(()), Ok(())));
    all_come(expected);

    // Closed in a callback.
    let client = Client::connect(&server.url()).unwrap();
    let expected = publish(&client);
    let inner = client.clone();
    let handle = client.subscription("c").inline(move |_| {
        assert_eq!(inner.close(DEADLINE), Ok(()), "only begins");
        assert_eq!(inner.drain(DEADLINE), Ok(()));
    });
    let handle = handle.unwrap();
    client.publish("c", "").unwrap();
    ends(&client);
    drop(handle);
    all_come(expected);
    println!(
        "D8: dropped, dropped in a callback, closed twice, closed in a callback: {expected} of {expected} arrived"
    );
}

/// D8.
#[test]
fn closing_without_a_connection_takes_no_longer_than_it_may() {
    let mut server = server();
    let url = server.url();
    let client = Client::connect(&url).unwrap();
    let mut all = client.subscribe("a").unwrap();
    server.kill();
    eventually("noticed", || (client.state() == State::Reconnecting).then_some(()));
    client.publish("a", "never").unwrap();
    let (flush, started) = (client.flush(), Instant::now());
    let error = client.close(Duration::from_millis(100)).unwrap_err();
    assert!(error.unwritten > 0);
    assert_eq!(flush.wait(), Err(FlushError::Closed));
    assert!(all.next().is_none());
    let while_reconnecting = started.elapsed();

    // During the first connect, which goes on behind: refused at once; silent; stuck in a lookup.
    let silent = Scripted::start().unwrap();
    let urls = [url, silent.url(), "lookup.example".into()];
    let mut worst = Duration::ZERO;
    for url in &urls {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let client = ConnectOptions::new()
            .retry_on_failed_connect()
            .connect_timeout(Duration::from_millis(100))
            .reconnect_delay(|_| Duration::from_millis(1))
            .resolver(move |_, _| {
                let _ = held.lock().unwrap().recv_timeout(DEADLINE);
                Ok(Vec::new())
            })
            .connect(url)
            .unwrap();
        assert_eq!(client.state(), State::Connecting, "{url}");
        client.publish("a", "never").unwrap();
        let started = Instant::now();
        assert!(client.close(Duration::from_millis(100)).is_err(), "{url}");
        worst = worst.max(started.elapsed());
        assert_eq!(client.state(), State::Closed);
        drop(release);
    }
    println!(
        "D8: close while reconnecting {while_reconnecting:?}, during the first connect {worst:?}, of 100 ms allowed"
    );
    assert!(while_reconnecting.max(worst) < Duration::from_millis(600));
}

/// D8.
#[test]
fn a_drain_brings_everything_in_and_out_and_then_closes() {
    const COUNT: usize = 2000;
    let server = server();
    let witness = Client::connect(&server.url()).unwrap();
    let mut out = witness.subscribe("out").unwrap();
    witness.flush().wait().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    let answering = client.clone();
    let mut queued = client.subscribe("in").unwrap();
    let blocking = client.subscription("in").overflow(Overflow::Block).queue_messages(10);
    let mut blocking = blocking.queued().unwrap();
    let handle = client.subscription("in").inline(move |message| {
        answering.publish("out", message.payload()).unwrap();
    });
    let handle = handle.unwrap();
    client.flush().wait().unwrap();
    (0..COUNT).for_each(|n| witness.publish("in", n.to_string()).unwrap());
    witness.flush().wait().unwrap();
    let draining = client.clone();
    let drained = std::thread::spawn(move || draining.drain(DEADLINE));
    let blocked = std::thread::spawn(move || blocking.by_ref().count());
    assert_eq!(queued.by_ref().count(), COUNT, "all that the server had came");
    assert_eq!(blocked.join().unwrap(), COUNT);
    assert_eq!(drained.join().unwrap(), Ok(()));
    assert_eq!(queued.close_reason(), Some(CloseReason::Drained));
    assert_eq!(client.state(), State::Closed);
    for n in 0..COUNT {
        let message = out.next_timeout(DEADLINE).expect("all that was published goes out");
        assert_eq!(message.payload(), n.to_string().as_bytes());
    }
    println!("D8: drain: {COUNT} of {COUNT} in, by 3 subscriptions, {COUNT} of {COUNT} out");
    drop(handle);
}

/// D8.
#[test]
fn a_drain_that_nobody_reads_or_whose_server_stands_still_ends_by_its_deadline() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut never_read = client.subscribe("a").unwrap();
    (0..10).for_each(|_| client.publish("a", "x").unwrap());
    client.flush().wait().unwrap();
    let started = Instant::now();
    let drained = client.drain(Duration::from_millis(200)).unwrap_err();
    assert!(drained.undrained && drained.unwritten == 0, "all is written, and not read: {drained}");
    let unread = started.elapsed();
    assert_eq!(never_read.by_ref().count(), 10, "it can still be read");

    let limits = Limits { publish_wait: Duration::from_millis(50), ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let _waiting = client.subscribe("b").unwrap();
    client.flush().wait().unwrap();
    server.pause();
    while client.publish("c", [0; 100_000]).is_ok() {}
    let started = Instant::now();
    let drained = client.drain(Duration::from_millis(200));
    let stands = started.elapsed();
    server.resume();
    println!(
        "D8: drain without a reader {unread:?}, of a server that stands still {stands:?}, of 200 ms allowed"
    );
    assert!(drained.unwrap_err().unwritten > 0);
    assert!(unread.max(stands) < Duration::from_secs(1));
}

/// D8.
#[test]
fn a_flush_behind_a_drain_does_not_end_it_before_the_last_message() {
    let peer = Scripted::start().unwrap();
    let url = peer.url();
    let (go, told) = mpsc::channel::<()>();
    let serving = std::thread::spawn(move || {
        let mut socket = peer.accept().unwrap();
        socket.line_starting("SUB a 1").unwrap();
        told.recv().unwrap();
        let mut lines = Vec::new();
        // The server has much to say before it comes to the UNSUB.
        while lines.last().is_none_or(|line| line != "UNSUB 1") {
            let line = socket.line().unwrap();
            if line == "PING" {
                socket.send("PONG\r\n").unwrap();
            }
            lines.push(line);
        }
        socket.send("MSG a 1 4\r\nlast\r\n").unwrap();
        socket.line_starting("PING").unwrap();
        socket.send("PONG\r\n").unwrap();
        let _ = socket.rest();
        lines
    });
    let client = Client::connect(&url).unwrap();
    let mut all = client.subscribe("a").unwrap();
    // Both in one turn: from a callback, whose turn they wait for.
    let (inner, (tell, flushed)) = (client.clone(), mpsc::channel());
    let reader = std::thread::spawn(move || {
        let last = all.next_timeout(DEADLINE).map(|message| message.payload().to_vec());
        (last, all.next_timeout(DEADLINE).is_none(), all.close_reason())
    });
    let nudge = client.subscription("nudge").sink(InTurn(Some(Box::new(move || {
        inner.drain(DEADLINE).unwrap();
        tell.send(inner.flush()).unwrap();
    }))));
    let nudge = nudge.unwrap();
    nudge.nudge();
    assert_eq!(flushed.recv_timeout(DEADLINE).unwrap().wait_timeout(Duration::ZERO), None);
    go.send(()).unwrap();
    let (last, ended, reason) = reader.join().unwrap();
    assert_eq!(last.as_deref(), Some(&b"last"[..]));
    assert_eq!((ended, reason), (true, Some(CloseReason::Drained)));
    ends(&client);
    drop(nudge);
    assert!(serving.join().unwrap().contains(&"UNSUB 1".to_owned()));
}

/// Does something on the thread of the loop, once.
struct InTurn(Option<Box<dyn FnOnce() + Send>>);

impl Sink for InTurn {
    fn message(&mut self, _: &MessageRef<'_>, _: &mut Out<'_>) {}
    fn turn_end(&mut self, _: &mut Out<'_>) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

/// D8.
#[test]
fn a_drained_subscription_ends_behind_its_last_message_also_when_the_connection_is_lost() {
    let mut server = server();
    let limits = Limits { publish_wait: Duration::from_millis(50), ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let mut all = client.subscribe("a").unwrap();
    (0..100).for_each(|_| client.publish("a", "x").unwrap());
    all.drain();
    assert_eq!(all.by_ref().count(), 100);
    assert_eq!(all.close_reason(), Some(CloseReason::Drained));
    client.publish("a", "nobody's").unwrap();
    client.flush().wait().unwrap();
    // Made and drained while the socket stands still, which ends with the connection.
    server.pause();
    while client.publish("c", [0; 100_000]).is_ok() {}
    let mut late = client.subscribe("late").unwrap();
    late.drain();
    server.kill();
    server.restart().unwrap();
    assert!(late.next_timeout(DEADLINE).is_none());
    assert_eq!(late.close_reason(), Some(CloseReason::Drained));
    println!(
        "D8: a subscription drained: 100 of 100; one drained as its connection is lost: ended"
    );
}

/// D8, M2.
#[test]
fn a_close_that_waits_for_a_blocked_reader_ends_when_it_has_read() {
    let server = server();
    let client = Client::connect(&server.url()).unwrap();
    let mut slow =
        client.subscription("a").overflow(Overflow::Block).queue_messages(1).queued().unwrap();
    client.flush().wait().unwrap();
    (0..5).for_each(|_| client.publish("a", "x").unwrap());
    eventually("it is blocked", || (slow.stats().waiting > 0).then_some(()));
    let (closing, started) = (client.clone(), Instant::now());
    let closed = std::thread::spawn(move || closing.close(DEADLINE));
    eventually("it closes", || {
        (client.publish("a", "") == Err(PublishError::Closed)).then_some(())
    });
    while slow.next_timeout(DEADLINE).is_some() {}
    assert_eq!(closed.join().unwrap(), Ok(()));
    println!("D8: a close behind a blocked reader took {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// M4.
#[test]
fn requests_that_nobody_answers_leave_nothing_behind() {
    const ROUNDS: usize = 20;
    let server = server();
    let limits = Limits { requests: 64, ..Limits::default() };
    let client = ConnectOptions::new().limits(limits).connect(&server.url()).unwrap();
    let mut silent = client.subscribe("silent").unwrap();
    let (mut timed_out, mut late) = (0, Duration::ZERO);
    let timeout = Duration::from_millis(20);
    let ask = || client.request("silent", "", timeout).expect("the slots of earlier ones are free");
    for round in 0..ROUNDS {
        let started = Instant::now();
        let requests: Vec<_> = (0..64).map(|_| ask()).collect();
        if round % 2 == 0 {
            // Given up: their slots come back by their timeout.
            drop(requests);
            continue;
        }
        for request in requests {
            assert_eq!(request.wait().unwrap_err(), RequestError::TimedOut);
            timed_out += 1;
        }
        late = late.max(started.elapsed().saturating_sub(timeout));
    }
    // As many at once as ever.
    let all: Vec<_> = (0..64).map(|_| ask()).collect();
    drop(all);
    while silent.try_next().is_some() {}
    println!(
        "M4: {} requests without a reply, {timed_out} told by {late:?} after their timeout",
        ROUNDS * 64
    );
    assert!(late < Duration::from_millis(500), "told {late:?} after their timeout");
}
