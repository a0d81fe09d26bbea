//! What a user brings: the handler of a lane.

use std::time::Duration;

/// What a lane does with its jobs. Each lane owns one, and calls it on its own thread only.
///
/// A panic in any of the methods is contained; the [crate documentation](crate#panics-of-what-a-user-brings) says how.
pub trait Worker: Send + 'static {
    /// What is handed from the feeding thread to the lane.
    type Job: Send + 'static;

    /// Runs the job. `attempt` counts from 1.
    fn run(&mut self, job: &mut Self::Job, attempt: u32) -> Step;

    /// `run` panicked on this job, with `message`. Decides what becomes of the job, as `run` does.
    ///
    /// `message` is the text of the panic, or a stand-in if the panic carried something other than text. The worker
    /// may have been left half changed by the panic, and so may the job.
    fn panicked(&mut self, job: &mut Self::Job, attempt: u32, message: &str) -> Step;

    /// Hands on what has gathered, such as acknowledgements.
    ///
    /// Called when [`Config::batch`](crate::Config::batch) jobs have run since the last call, when the lane is about
    /// to sleep, and before it ends; and only if something has run since the last call. A lane does not look at the
    /// clock for this: a worker whose jobs take long hands on from `run`, or asks for a smaller batch.
    ///
    /// The finished jobs have given back their room before the call, so that whoever is woken by what is handed on
    /// finds it in [`Feeder::room`](crate::Feeder::room).
    fn pause(&mut self);
}

/// What becomes of a job that has run.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The job is finished. The lane drops it.
    Done,
    /// The same job runs again, no sooner than `after` from now. Until it is done the later jobs of its key queue
    /// behind it, while other keys go on. A job without a key holds up nobody.
    ///
    /// Zero is allowed: other jobs still get their turn in between. More than 30 years count as 30 years.
    Again {
        /// How long the job waits.
        after: Duration,
    },
}
