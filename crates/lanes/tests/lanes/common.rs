//! A worker made of closures, and what else all the tests need.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use jetlane_lanes::{Config, Feeder, Key, Refused, Step, Worker};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// A retry that no test lives to see.
pub(crate) const NEVER: Step = Step::Again { after: Duration::MAX };

type Run<J> = Box<dyn FnMut(&mut J, u32) -> Step + Send>;
type Panicked<J> = Box<dyn FnMut(&mut J, u32, &str) -> Step + Send>;
type Call = Box<dyn FnMut() + Send>;

pub(crate) struct Handler<J> {
    run: Run<J>,
    panicked: Panicked<J>,
    pause: Call,
    end: Call,
}

impl<J> Handler<J> {
    pub(crate) fn new(run: impl FnMut(&mut J, u32) -> Step + Send + 'static) -> Handler<J> {
        Handler {
            run: Box::new(run),
            panicked: Box::new(|_, _, message| panic!("unexpected: {message}")),
            pause: Box::new(|| ()),
            end: Box::new(|| ()),
        }
    }

    pub(crate) fn on_panic(
        mut self,
        panicked: impl FnMut(&mut J, u32, &str) -> Step + Send + 'static,
    ) -> Self {
        self.panicked = Box::new(panicked);
        self
    }

    pub(crate) fn on_pause(mut self, pause: impl FnMut() + Send + 'static) -> Self {
        self.pause = Box::new(pause);
        self
    }

    /// Called when the worker is dropped.
    pub(crate) fn on_end(mut self, end: impl FnMut() + Send + 'static) -> Self {
        self.end = Box::new(end);
        self
    }
}

impl<J: Send + 'static> Worker for Handler<J> {
    type Job = J;

    fn run(&mut self, job: &mut J, attempt: u32) -> Step {
        (self.run)(job, attempt)
    }

    fn panicked(&mut self, job: &mut J, attempt: u32, message: &str) -> Step {
        (self.panicked)(job, attempt, message)
    }

    fn pause(&mut self) {
        (self.pause)();
    }
}

impl<J> Drop for Handler<J> {
    fn drop(&mut self) {
        (self.end)();
    }
}

/// Sends every job that it runs.
pub(crate) fn report(done: &Sender<u32>) -> Handler<u32> {
    let done = done.clone();
    Handler::new(move |job, _| {
        done.send(*job).unwrap();
        Step::Done
    })
}

pub(crate) fn lanes(count: usize) -> Config {
    Config::default().lanes(NonZeroUsize::new(count).unwrap())
}

pub(crate) fn key(number: u64) -> Option<Key> {
    Some(Key::from_hash(number))
}

pub(crate) fn in_time() -> Instant {
    Instant::now() + LONG
}

/// What comes next, or a failed test.
#[track_caller]
pub(crate) fn next<T>(events: &Receiver<T>) -> T {
    events.recv_timeout(LONG).expect("the event does not come")
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let deadline = in_time();
    while !condition() {
        assert!(Instant::now() < deadline, "the condition does not come true");
        std::thread::yield_now();
    }
}

/// Pushes, and waits for room if there is none.
#[track_caller]
pub(crate) fn feed<J>(feeder: &mut Feeder<J>, key: Option<Key>, job: J) {
    let mut job = Some(job);
    until(|| match feeder.push(key, job.take().unwrap()) {
        Ok(()) => true,
        Err(Refused::Full(back)) => {
            job = Some(back);
            feeder.flush();
            false
        }
        Err(other) => panic!("{other}"),
    });
}
