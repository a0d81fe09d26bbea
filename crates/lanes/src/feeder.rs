//! The feeding end.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::budget::Allowance;
use crate::contain::discard;
use crate::error::Refused;
use crate::gate::Gate;
use crate::key::Key;
use crate::lane::Lane;
use crate::waiting::Item;

/// The feeding end of [`Lanes`](crate::Lanes). There is one, and the thread that feeds owns it.
///
/// [`push`](Feeder::push) only buffers; [`flush`](Feeder::flush) hands over. Neither ever waits for a job to run.
///
/// Dropping the feeder flushes it. Jobs that the lanes take no more, because they were drained or dropped before the
/// flush, are dropped with it; [`reclaim`](Feeder::reclaim) returns them instead.
pub struct Feeder<J> {
    lanes: Vec<Outgoing<J>>,
    lane_count: NonZeroUsize,
    /// The lane of the next job without a key.
    next_loose: usize,
    allowance: Allowance,
    gate: Arc<Gate>,
    batch: Batch,
}

struct Outgoing<J> {
    lane: Arc<Lane<J>>,
    buffer: VecDeque<Item<J>>,
}

/// Whether the gate knows of jobs in the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    None,
    Open,
}

impl<J> Feeder<J> {
    pub(crate) fn new(
        lanes: &[Arc<Lane<J>>],
        lane_count: NonZeroUsize,
        allowance: Allowance,
        gate: Arc<Gate>,
    ) -> Feeder<J> {
        let lanes = lanes
            .iter()
            .map(|lane| Outgoing { lane: Arc::clone(lane), buffer: VecDeque::new() })
            .collect();
        Feeder { lanes, lane_count, next_loose: 0, allowance, gate, batch: Batch::None }
    }

    /// Accepts a job, to run after all jobs of the same key that were pushed before. Without a key no order is wanted,
    /// and the jobs go round the lanes.
    ///
    /// The job only reaches its lane with the next [`flush`](Feeder::flush), but it counts against
    /// [`Config::max_jobs`](crate::Config::max_jobs) at once.
    ///
    /// # Errors
    ///
    /// The job comes back as [`Refused::Full`] if there is no [`room`](Feeder::room), and as [`Refused::Closed`] if the
    /// lanes were drained or dropped. Between two flushes the first accepted push looks whether they were; those after
    /// it belong to the same batch and are accepted with it.
    #[inline]
    pub fn push(&mut self, key: Option<Key>, job: J) -> Result<(), Refused<J>> {
        if !self.allowance.has_room() {
            let closed = self.gate.is_closed();
            return Err(if closed { Refused::Closed(job) } else { Refused::Full(job) });
        }
        if self.batch == Batch::None {
            if self.gate.open_batch().is_err() {
                return Err(Refused::Closed(job));
            }
            self.batch = Batch::Open;
        }
        self.allowance.accept();
        let lane = match key {
            Some(key) => key.lane(self.lane_count),
            None => self.next_loose(),
        };
        self.lanes[lane].buffer.push_back(Item { key, attempt: 1, job });
        Ok(())
    }

    /// Hands over what was pushed: one lock and at most one wake for each lane that has got something.
    ///
    /// After a drain or the drop of the lanes it hands over nothing; [`reclaim`](Feeder::reclaim) then returns the jobs.
    pub fn flush(&mut self) {
        if self.batch == Batch::None {
            return;
        }
        for Outgoing { lane, buffer } in &mut self.lanes {
            if !buffer.is_empty() {
                lane.give(buffer);
            }
        }
        self.gate.end_batch();
        self.batch = Batch::None;
    }

    /// How many more jobs can be pushed now; none when the lanes were drained or dropped.
    ///
    /// Lanes give back the room of finished jobs when they call [`Worker::pause`](crate::Worker::pause), so a busy lane
    /// may be behind by up to [`Config::batch`](crate::Config::batch) jobs.
    pub fn room(&self) -> usize {
        if self.gate.is_closed() { 0 } else { self.allowance.room() }
    }

    /// Flushes, ends the feeding, and returns the jobs that the lanes took no more, in order key by key. None of them
    /// has run.
    #[must_use]
    pub fn reclaim(mut self) -> Vec<J> {
        self.flush();
        self.take_buffered()
    }

    fn next_loose(&mut self) -> usize {
        let lane = self.next_loose;
        self.next_loose = (lane + 1) % self.lane_count;
        lane
    }

    fn take_buffered(&mut self) -> Vec<J> {
        let items = self.lanes.iter_mut().flat_map(|lane| mem::take(&mut lane.buffer));
        items.map(|item| item.job).collect()
    }
}

impl<J> Drop for Feeder<J> {
    fn drop(&mut self) {
        self.flush();
        // One by one, so that a panic in the drop of one loses no other.
        self.take_buffered().into_iter().for_each(discard);
    }
}

impl<J> fmt::Debug for Feeder<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buffered: usize = self.lanes.iter().map(|lane| lane.buffer.len()).sum();
        f.debug_struct("Feeder")
            .field("lanes", &self.lanes.len())
            .field("buffered", &buffered)
            .finish_non_exhaustive()
    }
}
