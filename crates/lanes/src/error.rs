//! What can go wrong.

use std::fmt;
use std::io;

/// Why lanes could not be started. All of it is the caller's or the machine's; no thread is left behind.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// [`Config::max_jobs`](crate::Config::max_jobs) is 0, so that no job could ever be accepted.
    #[error("max_jobs is 0: no job could ever be accepted")]
    NoJobs,
    /// [`Config::batch`](crate::Config::batch) is 0, so that no job could ever run.
    #[error("batch is 0: no job could ever run")]
    NoBatch,
    /// [`Config::name`](crate::Config::name) contains a zero byte, which no thread name may.
    #[error("the thread name contains a zero byte")]
    Name,
    /// [`Pinning::Chosen`](crate::Pinning::Chosen) names no core.
    #[error("pinning to chosen cores, but no core is chosen")]
    NoCores,
    /// [`Pinning::Chosen`](crate::Pinning::Chosen) names a core that is not there, or that this process may not use.
    #[error("core {core} does not exist or is not open to this process")]
    NoSuchCore {
        /// The number of the core, as configured.
        core: usize,
    },
    /// Pinning was asked for, but this build has not got it (the cargo feature `pin` is off) or this operating system
    /// does not name its cores.
    #[error(
        "threads cannot be pinned: the cargo feature `pin` is off or the system does not name its cores"
    )]
    PinningUnavailable,
    /// The operating system refused to pin a lane.
    #[error("the operating system refused to pin a lane to core {core}")]
    PinningRefused {
        /// The number of the core.
        core: usize,
    },
    /// The operating system gave no thread.
    #[error("no thread for a lane")]
    Thread(#[source] io::Error),
}

/// Why a job was not accepted. The job comes back untouched.
///
/// Neither `Debug` nor `Display` shows the job, so that nothing of it gets into a log.
#[non_exhaustive]
pub enum Refused<J> {
    /// [`Config::max_jobs`](crate::Config::max_jobs) jobs are accepted and not finished. Passes when lanes finish some.
    Full(J),
    /// The lanes were drained or dropped. Does not pass.
    Closed(J),
}

impl<J> Refused<J> {
    /// The job.
    pub fn into_job(self) -> J {
        match self {
            Refused::Full(job) | Refused::Closed(job) => job,
        }
    }
}

impl<J> fmt::Debug for Refused<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "Full(..)",
            Refused::Closed(_) => "Closed(..)",
        })
    }
}

impl<J> fmt::Display for Refused<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "the lanes are full",
            Refused::Closed(_) => "the lanes are closed",
        })
    }
}

impl<J> std::error::Error for Refused<J> {}
