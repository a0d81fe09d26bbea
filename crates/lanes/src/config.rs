//! How many lanes, how much they hold and where they run.

use std::num::NonZeroUsize;
use std::thread;

use crate::error::StartError;

/// How lanes are set up. Start from [`Config::default`] and change what differs.
///
/// ```
/// use std::num::NonZeroUsize;
/// use jetlane_lanes::{Config, Pinning};
///
/// let config = Config::default()
///     .lanes(NonZeroUsize::new(2).unwrap())
///     .max_jobs(100_000)
///     .pinning(Pinning::Cores)
///     .name("billing");
/// assert_eq!(config.batch, 64);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How many lanes, each a thread. The default is the available parallelism, or 1 where it is not known.
    pub lanes: NonZeroUsize,
    /// How many jobs may be accepted and not finished, over all lanes. When they are, [`Feeder::push`] gives the job
    /// back as [`Refused::Full`]. At least 1; the default is 16 384.
    ///
    /// [`Feeder::push`]: crate::Feeder::push
    /// [`Refused::Full`]: crate::Refused::Full
    pub max_jobs: usize,
    /// A lane runs at most this many jobs between two calls of [`Worker::pause`](crate::Worker::pause), and gives
    /// their room back no later. At least 1; the default is 64.
    pub batch: usize,
    /// Which cores the lanes run on. The default is [`Pinning::None`].
    pub pinning: Pinning,
    /// The threads are called by this name, a dash and the number of the lane. Linux shows the first 15 bytes. The
    /// default is `lane`.
    pub name: String,
}

/// Which cores lanes run on.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pinning {
    /// Wherever the operating system puts them.
    #[default]
    None,
    /// Lane `i` on the `i`-th core that this process may use, starting over when there are more lanes than cores.
    Cores,
    /// Lane `i` on the `i`-th of these cores, starting over when there are more lanes than entries. The numbers are
    /// those of the operating system.
    Chosen(Vec<usize>),
}

impl Config {
    /// Sets [`lanes`](Config::lanes).
    #[must_use]
    pub fn lanes(mut self, lanes: NonZeroUsize) -> Config {
        self.lanes = lanes;
        self
    }

    /// Sets [`max_jobs`](Config::max_jobs).
    #[must_use]
    pub fn max_jobs(mut self, max_jobs: usize) -> Config {
        self.max_jobs = max_jobs;
        self
    }

    /// Sets [`batch`](Config::batch).
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Config {
        self.batch = batch;
        self
    }

    /// Sets [`pinning`](Config::pinning).
    #[must_use]
    pub fn pinning(mut self, pinning: Pinning) -> Config {
        self.pinning = pinning;
        self
    }

    /// Sets [`name`](Config::name).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Config {
        self.name = name.into();
        self
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.max_jobs == 0 {
            return Err(StartError::NoJobs);
        }
        if self.batch == 0 {
            return Err(StartError::NoBatch);
        }
        // The standard library panics on such a name.
        if self.name.contains('\0') {
            return Err(StartError::Name);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            lanes: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_jobs: 16_384,
            batch: 64,
            pinning: Pinning::None,
            name: "lane".to_string(),
        }
    }
}
