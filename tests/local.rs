//! `LocalClient`: the caller drives the connection. And what event loops do when there is nothing to do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jetlane_client::{
    Client, CloseError, ConnectError, ConnectOptions, FlushError, Idle, Limits, LocalClient,
    RequestError, State,
};
use jetlane_jetstream::{JetStream, PublishError, StreamConfig};
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};

fn core_server() -> Server {
    Server::builder().without_jetstream().start().unwrap()
}

/// Turns until `done`.
fn turn_until(local: &mut LocalClient, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        local.turn(Duration::from_millis(100));
    }
}

#[test]
fn one_thread_publishes_receives_and_asks() {
    let server = core_server();
    let mut local = LocalClient::connect(&server.url()).unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let _numbers = local
        .client()
        .subscription("n")
        .inline(move |message| {
            let number: u64 = std::str::from_utf8(message.payload()).unwrap().parse().unwrap();
            assert_eq!(counter.fetch_add(1, Ordering::Relaxed), number, "in order");
        })
        .unwrap();
    for n in 0..10_000 {
        local.publish("n", format!("{n}")).unwrap();
    }
    turn_until(&mut local, "all messages come", || seen.load(Ordering::Relaxed) == 10_000);
    assert_eq!(local.request("nobody", b"", DEADLINE).unwrap_err(), RequestError::NoResponders);
    local.flush().unwrap();
    local.close(DEADLINE).unwrap();
}

#[test]
fn what_is_larger_than_the_write_queue_goes_out_in_turns() {
    let server = core_server();
    let limits = Limits { write_queue_bytes: 4096, ..Limits::default() };
    let mut local = ConnectOptions::new().limits(limits).connect_local(&server.url()).unwrap();
    let other = Client::connect(&server.url()).unwrap();
    let mut all = other.subscribe("n").unwrap();
    other.flush().wait().unwrap();
    for _ in 0..1000 {
        local.publish("n", [7; 1000]).unwrap();
    }
    local.close(DEADLINE).unwrap();
    for _ in 0..1000 {
        assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), [7; 1000]);
    }
}

#[test]
fn jetstream_works_on_it_one_message_at_a_time() {
    let server = Server::start().unwrap();
    let limits = Limits { pending_acks: 2, ..Limits::default() };
    let mut local = ConnectOptions::new().limits(limits).connect_local(&server.url()).unwrap();
    let js = JetStream::new(local.client().clone()).unwrap();
    local.wait(js.create_stream(&StreamConfig::new("S").subject("s.*"))).unwrap();
    for sequence in 1..=100 {
        let ticket = js.publish("s.a", b"x").unwrap();
        assert_eq!(local.wait(ticket).unwrap().sequence, sequence);
    }
    // A full window is told at once: nobody but this thread could open it.
    let tickets = [js.publish("s.a", b"x").unwrap(), js.publish("s.a", b"x").unwrap()];
    let asked = Instant::now();
    assert_eq!(js.publish("s.a", b"x").unwrap_err(), PublishError::Window { limit: 2 });
    assert!(asked.elapsed() < Duration::from_secs(1));
    for ticket in tickets {
        local.wait(ticket).unwrap();
    }
}

#[test]
fn other_threads_use_its_handle_and_wake_it() {
    let server = core_server();
    let mut local = LocalClient::connect(&server.url()).unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let _sub = local.client().subscription("n").inline(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let client = local.client().clone();
    let publisher = thread::spawn(move || {
        for _ in 0..1000 {
            client.publish("n", b"x").unwrap();
        }
        // Driven by the other thread, this one may wait.
        client.flush().wait_timeout(DEADLINE).unwrap().unwrap();
    });
    turn_until(&mut local, "all messages come", || {
        seen.load(Ordering::Relaxed) == 1000 && publisher.is_finished()
    });
    publisher.join().unwrap();
}

#[test]
fn something_of_another_thread_ends_a_wait() {
    let server = core_server();
    let mut local = LocalClient::connect(&server.url()).unwrap();
    let (sender, receiver) = smol::channel::bounded(1);
    let other = thread::spawn(move || {
        thread::park_timeout(Duration::from_millis(50));
        sender.send_blocking(7).unwrap();
    });
    assert_eq!(local.wait(receiver.recv()), Ok(7));
    other.join().unwrap();
}

#[test]
fn it_connects_anew_and_says_what_failed() {
    let mut server = core_server();
    let url = server.url();
    let mut local = LocalClient::connect(&url).unwrap();
    server.kill();
    let request = local.client().request("x", b"", DEADLINE).unwrap();
    let error = local.wait(request).unwrap_err();
    assert!(matches!(error, RequestError::Disconnected | RequestError::NoResponders), "{error:?}");
    eventually("the loss is seen", || {
        (local.turn(Duration::from_millis(20)) == State::Reconnecting).then_some(())
    });
    server.restart().unwrap();
    eventually("it is connected again", || {
        (local.turn(Duration::from_millis(20)) == State::Connected).then_some(())
    });
    local.flush().unwrap();
    drop(server);
    assert!(matches!(
        LocalClient::connect(&url),
        Err(ConnectError::Refused { .. } | ConnectError::Io { .. })
    ));
}

#[test]
fn a_dropped_one_writes_what_it_can_and_ends_all_that_waits() {
    let server = core_server();
    let other = Client::connect(&server.url()).unwrap();
    let mut all = other.subscribe("n").unwrap();
    other.flush().wait().unwrap();
    let mut local = LocalClient::connect(&server.url()).unwrap();
    local.publish("n", b"last").unwrap();
    let client = local.client().clone();
    let mut unread = client.subscribe("n").unwrap();
    let flushed = client.flush();
    drop(local);
    assert_eq!(all.next_timeout(DEADLINE).unwrap().payload(), b"last");
    // A quick server answers in that one turn.
    assert!(matches!(flushed.wait(), Ok(()) | Err(FlushError::Closed)));
    assert!(unread.next().is_none());
    assert_eq!(client.state(), State::Closed);
}

#[test]
fn a_close_that_can_not_write_says_so() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let options = ConnectOptions::new().connect_timeout(Duration::from_millis(100));
    assert!(matches!(options.connect_local(&url), Err(ConnectError::TimedOut { .. })));

    let server = core_server();
    let mut local = LocalClient::connect(&server.url()).unwrap();
    server.pause();
    let limits = local.client().limits().clone();
    let filled = Instant::now();
    // More than the kernel takes, until the write queue stays full.
    while local.client().try_publish("n", [7; 60_000]).is_ok() && filled.elapsed() < DEADLINE {
        local.turn(Duration::ZERO);
    }
    let CloseError { unwritten, .. } = local.close(Duration::from_millis(50)).unwrap_err();
    assert!(unwritten > limits.write_queue_bytes / 2, "{unwritten}");
    server.resume();
}

#[test]
fn every_idle_strategy_moves_messages_both_ways_and_wakes_for_both() {
    let server = core_server();
    for idle in [Idle::Park, Idle::Spin(Duration::from_millis(2)), Idle::Busy] {
        let client = ConnectOptions::new().idle(idle).connect(&server.url()).unwrap();
        let echo = client.clone();
        let _echo = client
            .subscription("echo")
            .inline(move |message| {
                let reply = String::from_utf8(message.reply().unwrap().to_vec()).unwrap();
                echo.try_publish(reply, message.payload()).unwrap();
            })
            .unwrap();
        for n in 0..100u32 {
            if n % 10 == 0 {
                // Long enough for a spinning loop to have fallen asleep.
                thread::park_timeout(Duration::from_millis(5));
            }
            let answer = client.request("echo", n.to_le_bytes(), DEADLINE).unwrap();
            assert_eq!(answer.wait().unwrap().payload(), n.to_le_bytes(), "{idle:?}");
        }
        client.close(DEADLINE).unwrap();

        let mut local = ConnectOptions::new().idle(idle).connect_local(&server.url()).unwrap();
        let (begun, most) = (Instant::now(), Duration::from_millis(20));
        while begun.elapsed() < most {
            local.turn(most.saturating_sub(begun.elapsed()));
        }
        assert!(begun.elapsed() < DEADLINE, "{idle:?}: a turn ends in time");
        local.flush().unwrap();
    }
}

#[test]
fn publishers_of_many_threads_keep_the_order_of_each() {
    let server = core_server();
    let client = Client::connect(&server.url()).unwrap();
    let (seen, inbox) = mpsc::channel();
    let mut next = [0u64; 4];
    let _sub = client
        .subscription("t.*")
        .inline(move |message| {
            let thread = usize::from(message.subject()[2] - b'0');
            let number = u64::from_le_bytes(message.payload().try_into().unwrap());
            assert_eq!(number, next[thread], "thread {thread}");
            next[thread] += 1;
            if next == [20_000; 4] {
                seen.send(()).unwrap();
            }
        })
        .unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let client = &client;
            scope.spawn(move || {
                let subject = format!("t.{thread}");
                for n in 0..20_000u64 {
                    client.publish(subject.as_str(), n.to_le_bytes()).unwrap();
                }
            });
        }
    });
    inbox.recv_timeout(DEADLINE).unwrap();
    assert_eq!(client.stats().callback_panics, 0);
}
