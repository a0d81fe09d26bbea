//! The handle: start, drain, stop.

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::backlog::Order;
use crate::budget::{Allowance, Budget};
use crate::config::Config;
use crate::error::StartError;
use crate::feeder::Feeder;
use crate::gate::{Flushed, Gate};
use crate::lane::Lane;
use crate::patience::Patience;
use crate::pinning::{self, Place};
use crate::runner::Runner;
use crate::worker::Worker;

/// How long a lane may take to end after the deadline of a drain before it counts as stuck: far more than a lane takes
/// to wake and end on a busy machine, for otherwise idle lanes would count too.
const GRACE: Duration = Duration::from_millis(100);

/// Keyed worker threads.
///
/// Dropping it stops the lanes: each ends after the job that runs now and after a last [`Worker::pause`]. Jobs that are
/// queued or wait for a retry are dropped, on the threads of the lanes. The drop never waits for any of this; the
/// threads are on their own. [`drain`](Lanes::drain) is the end that loses nothing.
pub struct Lanes<J> {
    lanes: Vec<Arc<Lane<J>>>,
    budget: Arc<Budget>,
    gate: Arc<Gate>,
}

/// What [`Lanes::drain`] left behind.
#[non_exhaustive]
pub struct Drained<J> {
    /// Jobs that were accepted and never finished: queued, or waiting for a retry. In order key by key.
    pub untouched: Vec<J>,
    /// Lanes whose handler did not return in time. The job that such a lane runs is not in `untouched`, the jobs behind
    /// it are. The lane ends if the handler ever returns; if that is with
    /// [`Step::Again`](crate::Step::Again), the job is dropped.
    pub stuck: usize,
}

impl<J: Send + 'static> Lanes<J> {
    /// Starts the lanes. `make` is called with the number of each lane, on the calling thread.
    ///
    /// # Errors
    ///
    /// Whatever [`StartError`] names. No thread is left running then.
    ///
    /// # Panics
    ///
    /// If `make` does; no thread was started then.
    pub fn start<W: Worker<Job = J>>(
        config: Config,
        make: impl FnMut(usize) -> W,
    ) -> Result<(Lanes<J>, Feeder<J>), StartError> {
        config.check()?;
        let count = config.lanes;
        let places = pinning::places(&config.pinning, count.get())?;
        let workers: Vec<W> = (0..count.get()).map(make).collect();

        let lanes = Lanes {
            lanes: (0..count.get()).map(|_| Arc::new(Lane::new())).collect(),
            budget: Arc::new(Budget::new(config.max_jobs)),
            gate: Arc::new(Gate::new(count.get())),
        };
        // On an error `lanes` is dropped, which ends the threads that run already.
        lanes.spawn(&config, workers, &places)?;
        let allowance = Allowance::new(Arc::clone(&lanes.budget));
        let feeder = Feeder::new(&lanes.lanes, count, allowance, Arc::clone(&lanes.gate));
        Ok((lanes, feeder))
    }

    fn spawn<W: Worker<Job = J>>(
        &self,
        config: &Config,
        workers: Vec<W>,
        places: &[Place],
    ) -> Result<(), StartError> {
        let (settled, reports) = mpsc::channel();
        for (number, (worker, &place)) in workers.into_iter().zip(places).enumerate() {
            let lane = Arc::clone(&self.lanes[number]);
            let runner = Runner::new(worker, lane, Arc::clone(&self.budget), config.batch);
            let ending = Ending(Arc::clone(&self.gate));
            let settled = settled.clone();
            thread::Builder::new()
                .name(format!("{}-{number}", config.name))
                .spawn(move || {
                    // The last thing to be dropped, so that an ended lane has nothing of the user's left.
                    let _ending = ending;
                    // Nobody listens any more if another lane has failed.
                    let _ = settled.send(place.settle());
                    drop(settled);
                    runner.run();
                })
                .map_err(StartError::Thread)?;
        }
        drop(settled);
        reports.into_iter().collect()
    }
}

impl<J> Lanes<J> {
    /// How many jobs are accepted and not finished, including those that are pushed and not flushed. A busy lane
    /// reports finished jobs by the batch, so the number may lag behind by up to
    /// [`Config::batch`](crate::Config::batch) jobs a lane.
    pub fn queued(&self) -> usize {
        self.budget.queued()
    }

    /// Stops the intake, runs what is queued, also the retries as they fall due, and returns when all is done or at the
    /// deadline. At the deadline the lanes are stopped after the job that they run, for which they have another 100 ms
    /// until they count as stuck; so this is how late the return can be.
    ///
    /// A lane is done when its worker has had its last [`Worker::pause`] and is dropped.
    ///
    /// Jobs that are pushed and not flushed are accepted as well: the drain waits for their flush, or for the drop of
    /// the feeder. If neither comes before the deadline, then the lanes are stopped with what they have, and the feeder
    /// keeps its jobs for [`Feeder::reclaim`]. Whoever drains on the feeding thread flushes first.
    pub fn drain(self, deadline: Instant) -> Drained<J> {
        let patience = Patience::Until(deadline);
        self.gate.close();
        if self.gate.await_batch(patience) == Flushed::All {
            self.order(Order::Finish);
            self.gate.await_lanes(patience);
        }
        self.order(Order::Halt);
        let stuck = self.gate.await_lanes(Patience::Until(Instant::now() + GRACE));

        let mut untouched = Vec::new();
        for lane in &self.lanes {
            lane.collect(&mut untouched);
        }
        Drained { untouched, stuck }
    }

    fn order(&self, order: Order) {
        for lane in &self.lanes {
            lane.order(order);
        }
    }
}

impl<J> Drop for Lanes<J> {
    fn drop(&mut self) {
        self.gate.close();
        self.order(Order::Discard);
    }
}

impl<J> fmt::Debug for Lanes<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("lanes", &self.lanes.len())
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

/// Shows how many jobs are left, and nothing of the jobs.
impl<J> fmt::Debug for Drained<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained")
            .field("untouched", &self.untouched.len())
            .field("stuck", &self.stuck)
            .finish()
    }
}

/// Tells the gate that a lane has ended, however that came about.
struct Ending(Arc<Gate>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lane_ended();
    }
}
