//! How many jobs a second go through: pushed by one thread, flushed in batches, run by lanes that do nothing.
//!
//! `cargo run --release -p jetlane-lanes --example throughput [lanes] [jobs per flush]`

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use jetlane_lanes::{Config, Key, Lanes, Refused, Step, Worker};

const JOBS: u64 = 20_000_000;
const KEYS: u64 = 1_000;

struct Nothing;

impl Worker for Nothing {
    type Job = u64;

    fn run(&mut self, job: &mut u64, _: u32) -> Step {
        std::hint::black_box(job);
        Step::Done
    }

    fn panicked(&mut self, _: &mut u64, _: u32, message: &str) -> Step {
        unreachable!("{message}")
    }

    fn pause(&mut self) {}
}

fn argument(number: usize, default: NonZeroUsize) -> NonZeroUsize {
    std::env::args().nth(number).map_or(default, |text| text.parse().expect("a positive number"))
}

fn main() {
    let lanes = argument(1, NonZeroUsize::new(2).expect("not zero"));
    let per_flush = argument(2, NonZeroUsize::new(256).expect("not zero")).get() as u64;
    let config = Config::default().lanes(lanes);
    let (handle, mut feeder) = Lanes::start(config, |_| Nothing).expect("lanes start");

    let start = Instant::now();
    let (mut full, mut feeding) = (0_u64, Duration::ZERO);
    let mut next = 0;
    while next < JOBS {
        let turn = Instant::now();
        let end = JOBS.min(next + per_flush);
        while next < end {
            match feeder.push(Some(Key::from_hash(next % KEYS)), next) {
                Ok(()) => next += 1,
                Err(Refused::Full(_)) => break,
                Err(other) => panic!("{other}"),
            }
        }
        feeder.flush();
        feeding += turn.elapsed();
        if next < end {
            full += 1;
            std::thread::yield_now();
        }
    }
    drop(feeder);
    let drained = handle.drain(Instant::now() + Duration::from_secs(60));
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    println!(
        "{lanes} lanes, {per_flush} jobs a flush: {:.2} million jobs/s, {:.0} ns a job on the feeding thread, full {full} times",
        JOBS as f64 / seconds / 1e6,
        feeding.as_secs_f64() * 1e9 / JOBS as f64,
    );
}
