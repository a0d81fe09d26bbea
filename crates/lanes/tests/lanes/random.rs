//! Random jobs against a simple model: a key's jobs run one after the other, each as often as it asks for.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use jetlane_lanes::{Lanes, Step};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{Handler, feed, in_time, key, lanes};

#[derive(Debug, Clone, Copy)]
enum Attempt {
    Again { after_us: u64 },
    Panic,
}

#[derive(Debug, Clone)]
struct Plan {
    key: u64,
    /// What happens before the job is done.
    attempts: Vec<Attempt>,
    flush: bool,
}

#[derive(Debug, Clone)]
struct Job {
    number: usize,
    plan: Plan,
}

/// The attempts of a key, in the order in which they were made.
#[derive(Debug, Default, PartialEq)]
struct History(Vec<(usize, u32)>);

fn plan() -> impl Strategy<Value = Plan> {
    let attempt = prop_oneof![
        3 => (0..1_500_u64).prop_map(|after_us| Attempt::Again { after_us }),
        1 => Just(Attempt::Panic),
    ];
    let attempts = prop_oneof![3 => Just(Vec::new()), 1 => vec(attempt, 1..4)];
    (0..6_u64, attempts, any::<bool>()).prop_map(|(key, attempts, flush)| Plan {
        key,
        attempts,
        flush,
    })
}

fn model(plans: &[Plan]) -> BTreeMap<u64, History> {
    let mut histories: BTreeMap<u64, History> = BTreeMap::new();
    for (number, plan) in plans.iter().enumerate() {
        let attempts = u32::try_from(plan.attempts.len()).unwrap() + 1;
        let history = histories.entry(plan.key).or_default();
        history.0.extend((1..=attempts).map(|attempt| (number, attempt)));
    }
    histories
}

fn attempt(job: &Job, attempt: u32) -> Step {
    match job.plan.attempts.get(attempt as usize - 1) {
        None => Step::Done,
        Some(&Attempt::Again { after_us }) => {
            Step::Again { after: Duration::from_micros(after_us) }
        }
        // Without the panic hook, which would print it.
        Some(Attempt::Panic) => std::panic::resume_unwind(Box::new("planned")),
    }
}

fn run(plans: &[Plan], lane_count: usize, max_jobs: usize) -> BTreeMap<u64, History> {
    let (log, attempts) = mpsc::channel();
    let config = lanes(lane_count).max_jobs(max_jobs).batch(3);
    let (handle, mut feeder) = Lanes::start(config, |_| {
        let log = log.clone();
        Handler::new(move |job: &mut Job, number| {
            log.send((job.plan.key, job.number, number)).unwrap();
            attempt(job, number)
        })
        .on_panic(|_, _, message| {
            assert_eq!(message, "planned");
            Step::Again { after: Duration::from_micros(100) }
        })
    })
    .unwrap();
    for (number, plan) in plans.iter().enumerate() {
        feed(&mut feeder, key(plan.key), Job { number, plan: plan.clone() });
        if plan.flush {
            feeder.flush();
        }
    }
    drop(feeder);
    let drained = handle.drain(in_time());
    assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
    let mut histories: BTreeMap<u64, History> = BTreeMap::new();
    for (key, number, attempt) in attempts.try_iter() {
        histories.entry(key).or_default().0.push((number, attempt));
    }
    histories
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn as_the_model(plans in vec(plan(), 0..60), lane_count in 1..4_usize, max_jobs in 1..40_usize) {
        prop_assert_eq!(run(&plans, lane_count, max_jobs), model(&plans));
    }
}
