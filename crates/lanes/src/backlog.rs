//! What a lane has before it, and in which order it runs that.
//!
//! A plain structure: it knows no thread and reads no clock of its own. A lane holds its lock between jobs and never
//! while one runs, so that whoever drains can take the jobs of a lane whose handler does not return.

use std::collections::VecDeque;
use std::time::Instant;

use crate::patience::Patience;
use crate::waiting::{Item, Line, Popped, Waiting};

pub(crate) struct Backlog<J> {
    /// Jobs in the order in which they were pushed. Later than all that is in `waiting`, key by key.
    ready: VecDeque<Item<J>>,
    waiting: Waiting<J>,
    /// The line from which the running job came, if it came from one.
    running: Option<Line>,
    turn: Turn,
    order: Order,
}

/// What the lane was told. Only ever goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    Run,
    /// Run until nothing is left, also nothing that waits, then end.
    Finish,
    /// End after the running job. Somebody collects what is left.
    Halt,
    /// End after the running job. Nobody wants what is left.
    Discard,
}

/// What the lane does next.
#[derive(Debug)]
pub(crate) enum Next<J> {
    Run(Item<J>),
    Sleep(Patience),
    End,
}

/// What became of the job that ran.
pub(crate) enum Settled<J> {
    Done,
    /// In a box, as this is handed on after every job, and nearly none comes back.
    Again {
        item: Box<Item<J>>,
        at: Instant,
    },
}

/// Lines that have fallen due and new jobs take turns, for either could go on for ever.
enum Turn {
    Resumed,
    Ready,
}

impl<J> Backlog<J> {
    pub(crate) fn new() -> Backlog<J> {
        Backlog {
            ready: VecDeque::new(),
            waiting: Waiting::new(),
            running: None,
            turn: Turn::Resumed,
            order: Order::Run,
        }
    }

    pub(crate) fn obey(&mut self, order: Order) {
        self.order = self.order.max(order);
    }

    /// Takes note of what became of the job that ran. Without one, `Done` changes nothing.
    pub(crate) fn settle(&mut self, settled: Settled<J>) {
        let line = self.running.take();
        match settled {
            Settled::Again { item, at } => self.waiting.put_off(line, *item, at),
            Settled::Done => {
                if let Some(line) = line {
                    self.waiting.finished(line);
                }
            }
        }
    }

    /// `refill` puts into an empty queue what has arrived. `clock` is read only if something waits for it.
    #[inline]
    pub(crate) fn next(
        &mut self,
        mut refill: impl FnMut(&mut VecDeque<Item<J>>),
        clock: impl FnOnce() -> Instant,
    ) -> Next<J> {
        if self.order >= Order::Halt {
            return Next::End;
        }
        if self.waiting.is_empty() {
            // Nearly always. So short that the job is moved once.
            if self.ready.is_empty() {
                refill(&mut self.ready);
            }
            if let Some(item) = self.ready.pop_front() {
                self.turn = Turn::Resumed;
                return Next::Run(item);
            }
            return self.nothing_to_do();
        }
        self.waiting.resume_due(clock);
        let item = match self.turn {
            Turn::Resumed => self.pop_resumed().or_else(|| self.pop_ready(&mut refill)),
            Turn::Ready => self.pop_ready(&mut refill).or_else(|| self.pop_resumed()),
        };
        match (item, self.waiting.next_due()) {
            (Some(item), _) => Next::Run(item),
            (None, Some(at)) => Next::Sleep(Patience::Until(at)),
            (None, None) => self.nothing_to_do(),
        }
    }

    fn nothing_to_do(&self) -> Next<J> {
        match self.order {
            Order::Finish => Next::End,
            _ => Next::Sleep(Patience::Forever),
        }
    }

    fn pop_resumed(&mut self) -> Option<Item<J>> {
        let Popped { line, item } = self.waiting.pop()?;
        self.running = Some(line);
        self.turn = Turn::Ready;
        Some(item)
    }

    fn pop_ready(&mut self, refill: &mut impl FnMut(&mut VecDeque<Item<J>>)) -> Option<Item<J>> {
        loop {
            if self.ready.is_empty() {
                refill(&mut self.ready);
            }
            if let Some(item) = self.waiting.join(self.ready.pop_front()?) {
                self.turn = Turn::Resumed;
                return Some(item);
            }
        }
    }

    /// Moves out all jobs but the running one, in order key by key. What `refill` still brings comes last.
    pub(crate) fn take_all(
        &mut self,
        refill: impl FnOnce(&mut VecDeque<Item<J>>),
        into: &mut Vec<J>,
    ) {
        self.waiting.take_all(into);
        into.extend(self.ready.drain(..).map(|item| item.job));
        refill(&mut self.ready);
        into.extend(self.ready.drain(..).map(|item| item.job));
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::Key;

    /// A backlog under a clock of its own. Jobs are their names; the first letter is the key, `_` is none.
    struct Bench {
        backlog: Backlog<&'static str>,
        arriving: VecDeque<Item<&'static str>>,
        start: Instant,
        now_ms: u64,
        clock_reads: usize,
        running: Option<Item<&'static str>>,
    }

    impl Bench {
        fn new(jobs: &[&'static str]) -> Bench {
            let mut bench = Bench {
                backlog: Backlog::new(),
                arriving: VecDeque::new(),
                start: Instant::now(),
                now_ms: 0,
                clock_reads: 0,
                running: None,
            };
            bench.push(jobs);
            bench
        }

        fn push(&mut self, jobs: &[&'static str]) {
            self.arriving.extend(jobs.iter().map(|&job| {
                let letter = job.as_bytes()[0];
                let key = (letter != b'_').then(|| Key::from_hash(u64::from(letter)));
                Item { key, attempt: 1, job }
            }));
        }

        /// What comes next: a job with its attempt, how long to sleep, or the end.
        #[track_caller]
        fn expect(&mut self, expected: &str) {
            let now = self.start + Duration::from_millis(self.now_ms);
            let Bench { backlog, arriving, clock_reads, .. } = self;
            let refill = |ready: &mut VecDeque<_>| std::mem::swap(ready, arriving);
            let next = backlog.next(refill, || {
                *clock_reads += 1;
                now
            });
            let seen = match next {
                Next::Run(item) => {
                    let seen = format!("{} {}", item.job, item.attempt);
                    self.running = Some(item);
                    seen
                }
                Next::Sleep(Patience::Forever) => "sleep".to_string(),
                Next::Sleep(Patience::Until(at)) => format!("sleep {}", (at - now).as_millis()),
                Next::End => "end".to_string(),
            };
            assert_eq!(seen, expected);
        }

        fn done(&mut self) {
            self.running = None;
            self.backlog.settle(Settled::Done);
        }

        fn again(&mut self, after_ms: u64) {
            let mut item = self.running.take().expect("a job runs");
            item.attempt += 1;
            let at = self.start + Duration::from_millis(self.now_ms + after_ms);
            self.backlog.settle(Settled::Again { item: Box::new(item), at });
        }

        #[track_caller]
        fn run_done(&mut self, expected: &[&str]) {
            for expected in expected {
                self.expect(expected);
                self.done();
            }
        }

        fn left(&mut self) -> Vec<&'static str> {
            let Bench { backlog, arriving, .. } = self;
            let mut left = Vec::new();
            backlog.take_all(|ready| std::mem::swap(ready, arriving), &mut left);
            left
        }
    }

    #[test]
    fn without_retries_jobs_run_as_pushed_and_no_clock_is_read() {
        let mut bench = Bench::new(&["a1", "b1", "a2", "_1"]);
        bench.run_done(&["a1 1", "b1 1", "a2 1", "_1 1"]);
        bench.expect("sleep");
        assert_eq!(bench.clock_reads, 0);
    }

    #[test]
    fn a_key_that_waits_holds_its_own_jobs_and_no_others() {
        let mut bench = Bench::new(&["a1", "a2", "b1", "a3", "b2"]);
        bench.expect("a1 1");
        bench.again(10);
        bench.run_done(&["b1 1", "b2 1"]);
        bench.expect("sleep 10");
        bench.push(&["a4", "c1"]);
        bench.run_done(&["c1 1"]);
        bench.now_ms = 9;
        bench.expect("sleep 1");
        bench.now_ms = 10;
        bench.run_done(&["a1 2", "a2 1", "a3 1", "a4 1"]);
        bench.expect("sleep");
        let reads = bench.clock_reads;
        bench.push(&["a5"]);
        bench.run_done(&["a5 1"]);
        assert_eq!(bench.clock_reads, reads, "nothing waits any more");
    }

    #[test]
    fn a_job_may_be_put_off_any_number_of_times_and_others_behind_it_too() {
        let mut bench = Bench::new(&["a1", "a2", "a3"]);
        for attempt in 1..=5 {
            bench.expect(&format!("a1 {attempt}"));
            bench.again(1);
            bench.expect("sleep 1");
            bench.now_ms += 1;
        }
        bench.run_done(&["a1 6"]);
        bench.expect("a2 1");
        bench.again(7);
        bench.expect("sleep 7");
        bench.now_ms += 7;
        bench.run_done(&["a2 2", "a3 1"]);
        bench.expect("sleep");
    }

    #[test]
    fn lines_that_are_due_and_new_jobs_take_turns() {
        let mut bench = Bench::new(&["a1", "a2", "a3", "b1", "b2", "b3", "b4"]);
        bench.expect("a1 1");
        bench.again(5);
        // On the way to the first job of the other key those of this one get into line.
        bench.run_done(&["b1 1"]);
        bench.now_ms = 5;
        bench.run_done(&["a1 2", "b2 1", "a2 1", "b3 1", "a3 1", "b4 1"]);

        let mut bench = Bench::new(&["a1", "b1", "b2"]);
        bench.expect("a1 1");
        bench.again(0);
        bench.expect("a1 2");
        bench.again(0);
        bench.run_done(&["b1 1"]);
        bench.expect("a1 3");
        bench.again(0);
        bench.run_done(&["b2 1", "a1 4"]);
    }

    #[test]
    fn lines_resume_by_time_and_then_by_age() {
        let mut bench = Bench::new(&["a1", "b1", "c1", "d1"]);
        for (job, after_ms) in [("a1 1", 30), ("b1 1", 10), ("c1 1", 20), ("d1 1", 10)] {
            bench.expect(job);
            bench.again(after_ms);
        }
        bench.expect("sleep 10");
        bench.now_ms = 20;
        bench.run_done(&["b1 2", "d1 2", "c1 2"]);
        bench.expect("sleep 10");
    }

    #[test]
    fn jobs_without_a_key_wait_alone() {
        let mut bench = Bench::new(&["_1", "_2", "_3"]);
        bench.expect("_1 1");
        bench.again(20);
        bench.expect("_2 1");
        bench.again(10);
        bench.run_done(&["_3 1"]);
        bench.expect("sleep 10");
        bench.now_ms = 20;
        bench.run_done(&["_2 2", "_1 2"]);
        bench.expect("sleep");
    }

    #[test]
    fn finish_waits_for_retries() {
        let mut bench = Bench::new(&["a1", "b1"]);
        bench.backlog.obey(Order::Finish);
        bench.expect("a1 1");
        bench.again(5);
        bench.run_done(&["b1 1"]);
        bench.expect("sleep 5");
        bench.now_ms = 5;
        bench.run_done(&["a1 2"]);
        bench.expect("end");
    }

    #[test]
    fn halt_leaves_the_rest_in_order() {
        let mut bench = Bench::new(&["a1", "a2", "b1", "a3"]);
        bench.expect("a1 1");
        bench.again(5);
        bench.expect("b1 1");
        bench.backlog.obey(Order::Halt);
        bench.backlog.obey(Order::Finish);
        bench.again(5);
        bench.push(&["a4", "b2"]);
        bench.expect("end");
        let left = bench.left();
        for key in ["a", "b"] {
            let of_key: Vec<_> = left.iter().filter(|job| job.starts_with(key)).collect();
            assert!(of_key.is_sorted(), "{left:?}");
        }
        assert_eq!(left.len(), 6);
        assert!(bench.left().is_empty());
    }

    #[test]
    fn a_job_may_come_back_after_the_others_were_collected() {
        for put_off in [false, true] {
            let mut bench = Bench::new(&["a1", "a2"]);
            bench.expect("a1 1");
            bench.again(0);
            bench.expect("a1 2");
            bench.backlog.obey(Order::Discard);
            assert_eq!(bench.left(), ["a2"]);
            if put_off {
                bench.again(0)
            } else {
                bench.done()
            }
            bench.expect("end");
            assert_eq!(bench.left().len(), usize::from(put_off));
        }
    }
}
