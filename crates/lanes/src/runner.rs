//! The thread of a lane.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backlog::{Next, Settled};
use crate::budget::Budget;
use crate::contain::{contain, discard};
use crate::lane::Lane;
use crate::patience::later;
use crate::waiting::Item;
use crate::worker::{Step, Worker};

/// How long a job waits when even the handler for panics has panicked: long enough not to burn a core on it.
const UNDECIDED: Duration = Duration::from_secs(1);

pub(crate) struct Runner<W: Worker> {
    worker: W,
    lane: Arc<Lane<W::Job>>,
    budget: Arc<Budget>,
    batch: usize,
    /// How many jobs have run since the last rest. At most `batch`.
    ran: usize,
    /// How many of them are finished. At most `ran`.
    finished: usize,
}

impl<W: Worker> Runner<W> {
    pub(crate) fn new(
        worker: W,
        lane: Arc<Lane<W::Job>>,
        budget: Arc<Budget>,
        batch: usize,
    ) -> Runner<W> {
        Runner { worker, lane, budget, batch, ran: 0, finished: 0 }
    }

    /// Runs jobs until the lane is told to end.
    pub(crate) fn run(mut self) {
        let mut settled = Settled::Done;
        loop {
            let mut next = self.lane.next(mem::replace(&mut settled, Settled::Done));
            match &mut next {
                Next::Run(item) => match self.run_once(item) {
                    // Where it is, as a job is dear to move.
                    Step::Done => self.finish(&mut next),
                    Step::Again { after } => settled = put_off(next, after),
                },
                Next::Sleep(patience) => {
                    self.rest();
                    self.lane.sleep(*patience);
                }
                Next::End => break,
            }
            if self.ran == self.batch {
                // The job goes back first: `pause` is a user's and may hang, and then somebody can still collect it.
                self.lane.settle(mem::replace(&mut settled, Settled::Done));
                self.rest();
            }
        }
        self.rest();
        self.lane.unwanted().into_iter().for_each(discard);
        discard(self.worker);
    }

    fn run_once(&mut self, item: &mut Item<W::Job>) -> Step {
        self.ran += 1;
        self.attempt(item)
    }

    fn finish(&mut self, next: &mut Next<W::Job>) {
        // Nobody is left to decide anything about it, and the panic hook has shown the text. If the drop panics, the end is
        // written all the same.
        let _ = contain(|| *next = Next::End);
        self.finished += 1;
    }

    fn attempt(&mut self, item: &mut Item<W::Job>) -> Step {
        let Runner { worker, .. } = self;
        let message = match contain(|| worker.run(&mut item.job, item.attempt)) {
            Ok(step) => return step,
            Err(message) => message,
        };
        contain(|| worker.panicked(&mut item.job, item.attempt, &message))
            .unwrap_or(Step::Again { after: UNDECIDED })
    }

    /// Gives back the room of what is finished, then lets the worker hand on. Does nothing if nothing has run.
    fn rest(&mut self) {
        if mem::take(&mut self.ran) == 0 {
            return;
        }
        self.budget.finish(mem::take(&mut self.finished));
        let Runner { worker, .. } = self;
        // There is no job to decide about, and the panic hook has shown the text.
        let _ = contain(|| worker.pause());
    }
}

/// The job that has run waits for its next attempt.
fn put_off<J>(next: Next<J>, after: Duration) -> Settled<J> {
    let Next::Run(mut item) = next else { return Settled::Done };
    item.attempt = item.attempt.saturating_add(1);
    Settled::Again { item: Box::new(item), at: later(Instant::now(), after) }
}
