//! What each piece costs alone, in time: those of `jetlane_bench::pieces`, the lanes, and the write queue of a connection.
//!
//! Every benchmark checks what comes out, so that a wrong answer fails instead of looking fast. Throughput is in elements:
//! one is a message, an answer or a job.
//!
//! `cargo bench -p jetlane-bench --bench pieces -- [--quick] [part of a name]`
#![allow(missing_docs, reason = "criterion's macros make public functions without docs")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jetlane::client::{Client, Subject};
use jetlane_bench::pieces::{self, BATCH};
use jetlane_lanes::{Config, Feeder, Key, Lanes, Step as JobStep, Worker};

criterion_group!(benches, single_pieces, write_queue, lanes);
criterion_main!(benches);

fn single_pieces(c: &mut Criterion) {
    for piece in pieces::all() {
        let (group, name) = piece.name.split_once('/').expect("a part, and what of it");
        let mut group = c.benchmark_group(group);
        group.throughput(Throughput::Elements(piece.elements));
        let mut run = (piece.make)();
        group.bench_function(name, |b| b.iter(&mut run));
    }
}

/// From the caller to the write queue, while the reactor empties it into a real connection.
fn write_queue(c: &mut Criterion) {
    let server = jetlane_testkit::Server::start().expect("a nats-server");
    let client = Client::connect(&server.url()).expect("a connection");
    let subject = Subject::new("nobody.listens").expect("a subject");
    let mut group = c.benchmark_group("write_queue");
    group.throughput(Throughput::Elements(BATCH));
    let mut published = 0;
    group.bench_function("publish_16b", |b| {
        b.iter(|| {
            for _ in 0..BATCH {
                client.publish(&subject, b"0123456789abcdef").expect("it is queued");
            }
            published += BATCH;
        });
    });
    client.flush().wait().expect("the server has them");
    assert_eq!(client.stats().messages_out, published);
}

/// Adds up the jobs it has run, each of which is a number.
struct Adder {
    run: u64,
    sum: u64,
    total: Arc<Total>,
}

#[derive(Default)]
struct Total {
    run: AtomicU64,
    sum: AtomicU64,
}

impl Worker for Adder {
    type Job = u64;

    fn run(&mut self, job: &mut u64, _: u32) -> JobStep {
        self.run += 1;
        self.sum += *job;
        JobStep::Done
    }

    fn panicked(&mut self, _: &mut u64, _: u32, message: &str) -> JobStep {
        unreachable!("{message}")
    }

    fn pause(&mut self) {
        self.total.sum.fetch_add(std::mem::take(&mut self.sum), Ordering::Relaxed);
        self.total.run.fetch_add(std::mem::take(&mut self.run), Ordering::Release);
    }
}

/// From the push of 256 jobs of 64 keys until all are done, with nothing to do in between: the lanes' own cost, with
/// the wake of a lane that may have gone to sleep.
fn lanes(c: &mut Criterion) {
    let mut group = c.benchmark_group("lanes");
    group.throughput(Throughput::Elements(BATCH));
    for lane_count in [1, 2] {
        let config = Config::default().lanes(NonZeroUsize::new(lane_count).expect("not zero"));
        let total = Arc::new(Total::default());
        let (handle, mut feeder) =
            Lanes::start(config, |_| Adder { run: 0, sum: 0, total: Arc::clone(&total) })
                .expect("lanes start");
        let mut pushed = 0;
        group.bench_function(format!("batches_of_256_on_{lane_count}"), |b| {
            b.iter(|| {
                feed(&mut feeder, pushed..pushed + BATCH);
                pushed += BATCH;
                wait_until_run(&total, pushed);
            });
        });
        drop(feeder);
        let drained = handle.drain(Instant::now() + Duration::from_secs(10));
        assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
        assert_eq!(total.run.load(Ordering::Acquire), pushed);
        let sum = u128::from(pushed) * u128::from(pushed.saturating_sub(1)) / 2;
        assert_eq!(u128::from(total.sum.load(Ordering::Relaxed)), sum);
    }
}

fn feed(feeder: &mut Feeder<u64>, jobs: std::ops::Range<u64>) {
    for job in jobs {
        feeder.push(Some(Key::from_hash(job % 64)), job).expect("there is room");
    }
    feeder.flush();
}

fn wait_until_run(total: &Total, jobs: u64) {
    let start = Instant::now();
    while total.run.load(Ordering::Acquire) < jobs {
        assert!(start.elapsed() < Duration::from_secs(10), "the lanes do not run");
        thread::yield_now();
    }
}
