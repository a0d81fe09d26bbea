//! Jobs that wait for a retry, and the jobs behind them.
//!
//! Whatever waits stands in a *line*: one for each key, and one for each waiting job without a key. The job at the head
//! is the one to be retried. A line exists from the first `Again` of its key until it is empty, and as long as it
//! exists it runs its jobs one at a time, in turn with all others: a retry costs the same however many jobs stand
//! behind it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use rustc_hash::FxBuildHasher;

use crate::key::Key;

/// A job on its way.
#[derive(Debug)]
pub(crate) struct Item<J> {
    pub(crate) key: Option<Key>,
    /// The number of the next or the current attempt, from 1.
    pub(crate) attempt: u32,
    pub(crate) job: J,
}

/// The name of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    Keyed(Key),
    /// A job without a key, by a number that no other has.
    Loose(u64),
}

pub(crate) struct Waiting<J> {
    /// Every line that exists is in exactly one of three places: in `due`, in `resumed`, or with the job that runs.
    lines: HashMap<Line, VecDeque<Item<J>>, FxBuildHasher>,
    /// Lines whose head must not run yet, the soonest on top.
    due: BinaryHeap<Reverse<Due>>,
    /// Lines whose head may run.
    resumed: VecDeque<Line>,
    /// How many jobs were ever put off.
    count: u64,
}

impl<J> Waiting<J> {
    pub(crate) fn new() -> Waiting<J> {
        Waiting {
            lines: HashMap::default(),
            due: BinaryHeap::new(),
            resumed: VecDeque::new(),
            count: 0,
        }
    }

    /// Whether there is no line.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts the job that has just run at the head of its line, to run no sooner than `at`. `line` is where it came
    /// from; a job that came from none starts one.
    pub(crate) fn put_off(&mut self, line: Option<Line>, item: Item<J>, at: Instant) {
        self.count += 1;
        let line = line.unwrap_or(match item.key {
            Some(key) => Line::Keyed(key),
            None => Line::Loose(self.count),
        });
        self.lines.entry(line).or_default().push_front(item);
        self.due.push(Reverse(Due { at, number: self.count, line }));
    }

    /// Puts a new job behind the line of its key. If there is no such line the job comes back.
    pub(crate) fn join(&mut self, item: Item<J>) -> Option<Item<J>> {
        match item.key.and_then(|key| self.lines.get_mut(&Line::Keyed(key))) {
            Some(line) => {
                line.push_back(item);
                None
            }
            None => Some(item),
        }
    }

    /// When the next line falls due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    /// Resumes the lines that have fallen due. The clock is read only if there are lines that wait for it.
    pub(crate) fn resume_due(&mut self, clock: impl FnOnce() -> Instant) {
        if self.due.is_empty() {
            return;
        }
        let now = clock();
        while self.next_due().is_some_and(|at| at <= now) {
            let Some(Reverse(due)) = self.due.pop() else { return };
            self.resumed.push_back(due.line);
        }
    }

    /// Takes the head of a resumed line. The line is out of turn until `finished` or `put_off` is called for it.
    pub(crate) fn pop(&mut self) -> Option<Popped<J>> {
        let line = self.resumed.pop_front()?;
        let item = self.lines.get_mut(&line)?.pop_front()?;
        Some(Popped { line, item })
    }

    /// The job that was taken from this line is finished: it is the turn of the next one, if there is any.
    pub(crate) fn finished(&mut self, line: Line) {
        match self.lines.get(&line) {
            Some(rest) if !rest.is_empty() => self.resumed.push_back(line),
            _ => {
                self.lines.remove(&line);
            }
        }
    }

    /// Moves all jobs out, each line in its order.
    pub(crate) fn take_all(&mut self, into: &mut Vec<J>) {
        into.extend(self.lines.drain().flat_map(|(_, line)| line).map(|item| item.job));
        self.due.clear();
        self.resumed.clear();
    }
}

/// What `pop` took.
pub(crate) struct Popped<J> {
    pub(crate) line: Line,
    pub(crate) item: Item<J>,
}

struct Due {
    at: Instant,
    /// Of two lines that fall due at once the one that was put off first goes first.
    number: u64,
    line: Line,
}

impl Due {
    fn rank(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}
