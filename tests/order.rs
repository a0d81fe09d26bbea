//! The promise: events of one aggregate are handled in order, whatever happens. At full width.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use jetlane::jetstream::Storage;
use jetlane::{Envelope, EventBus, Pick, Strategy};
use jetlane_testkit::{End, Proxy, Server};
use jetlane_tests::eventually;

const KEYS: usize = 1000;
const EVENTS: usize = 200;
/// The event of each key that no handler can handle.
const POISON: usize = 77;
/// `Limits::consumer_messages`: a process holds no more than that.
const WINDOW: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(150);

/// A process that handles events.
struct Handler {
    child: Child,
    lines: Receiver<String>,
}

impl Handler {
    fn start(url: &str, settlement: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_victim"))
            .args(["handle", url, settlement])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok);
            lines.map(|line| send.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Self { child, lines }
    }

    /// Kills it, and reads what it has said to the end.
    fn kill(mut self, seen: &mut Seen) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines.iter().for_each(|line| seen.note(&line));
    }

    /// Reads what it says until so many attempts were seen in all.
    fn watch(&self, seen: &mut Seen, attempts: usize) {
        let deadline = Instant::now() + PATIENCE;
        while seen.attempts < attempts {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect("it goes on");
            seen.note(&line);
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What handlers have said.
#[derive(Default)]
struct Seen {
    attempts: usize,
    /// The highest event of each key that was begun, and how many were begun behind a higher one.
    begun: HashMap<usize, usize>,
    known: HashSet<(usize, usize)>,
    inversions: usize,
    done: HashMap<(usize, usize), usize>,
    failed: usize,
    panicked: usize,
}

impl Seen {
    fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<usize>().unwrap();
        let event @ (key, number) = (number(), number());
        self.attempts += 1;
        if self.known.insert(event) {
            let highest = self.begun.entry(key).or_default();
            self.inversions += usize::from(number < *highest);
            *highest = number.max(*highest);
        }
        match words.next().unwrap() {
            "done" => *self.done.entry(event).or_default() += 1,
            "panic" => self.panicked += 1,
            _ => self.failed += 1,
        }
    }
}

fn publish(bus: &EventBus) {
    let mut tickets = Vec::new();
    for number in 0..EVENTS {
        for key in 0..KEYS {
            let kind = if number == POISON { "Poison" } else { "Counted" };
            let event = Envelope::new(key.to_string(), kind, number.to_string());
            tickets.push(bus.publish("order.counted", event).unwrap());
        }
        // A window of publishes is on its way; each must be stored.
        if tickets.len() >= 8 * KEYS {
            tickets.drain(..).for_each(|ticket| assert!(ticket.wait().is_ok()));
        }
    }
    tickets.drain(..).for_each(|ticket| assert!(ticket.wait().is_ok()));
}

fn check(settlement: &str) {
    let server = Server::start().unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("order.>").storage(Storage::Memory).ensure(Strategy::CreateOnly).unwrap();
    bus.topic("dead.>").ensure(Strategy::CreateOnly).unwrap();
    let publisher = thread::spawn({
        let bus = bus.clone();
        move || publish(&bus)
    });
    let (mut seen, all) = (Seen::default(), KEYS * EVENTS);
    let first = Handler::start(&proxy.url(), settlement);
    first.watch(&mut seen, all / 6);
    proxy.cut(End::Rst);
    first.watch(&mut seen, all / 3);
    first.kill(&mut seen);
    let second = Handler::start(&proxy.url(), settlement);
    second.watch(&mut seen, all * 2 / 3);
    proxy.cut(End::Fin);
    second.watch(&mut seen, all);
    publisher.join().unwrap();
    eventually("all is settled", || {
        let info = bus.jetstream().consumer_info("order_ALL", "s").wait().unwrap();
        (info.num_pending + info.num_ack_pending == 0).then_some(())
    });
    second.kill(&mut seen);
    let dead: HashSet<(usize, usize)> = bus
        .letters("dead")
        .unwrap()
        .read(&Pick::all())
        .map(|letter| {
            let letter = letter.unwrap();
            let number = str::from_utf8(letter.payload.as_deref().unwrap()).unwrap();
            (letter.key.unwrap().parse().unwrap(), number.parse().unwrap())
        })
        .collect();
    let lost = (0..KEYS).flat_map(|key| (0..EVENTS).map(move |number| (key, number)));
    let lost = lost.filter(|event| !seen.done.contains_key(event) && !dead.contains(event)).count();
    let twice = seen.done.values().filter(|&&times| times > 1).count();
    let poison = (0..KEYS).filter(|&key| dead.contains(&(key, POISON))).count();
    println!(
        "{settlement}: {all} events, {} attempts, {} failed, {} panicked, {} handled, {} dead letters ({poison} poison), \
         {twice} handled twice, {lost} lost, {} inversions",
        seen.attempts,
        seen.failed,
        seen.panicked,
        seen.done.len(),
        dead.len(),
        seen.inversions
    );
    assert_eq!((lost, seen.inversions, poison), (0, 0, KEYS));
    // Those handled and not yet acknowledged when the process was killed; the connections that were cut cost none.
    assert!(twice <= WINDOW, "{twice} handled twice");
    assert!(seen.failed > all / 25 && seen.panicked > 50, "they did fail");
}

#[test]
fn order_holds_through_failures_panics_reconnects_and_death_by_explicit_acks() {
    check("each");
}

#[test]
fn order_holds_through_failures_panics_reconnects_and_death_by_watermark() {
    check("watermark");
}
