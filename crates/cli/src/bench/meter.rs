//! What a piece of work takes: time, CPU, memory.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Line;
use crate::process;

/// Measures this process from its start to its end. CPU counts all threads.
#[derive(Clone, Debug)]
pub struct Meter {
    began: Instant,
    user: Duration,
    system: Duration,
}

impl Meter {
    /// Begins now.
    pub fn start() -> Self {
        let (user, system) = cpu();
        Self { began: Instant::now(), user, system }
    }

    /// How long it has been measuring.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What `n` messages of `size` bytes took.
    pub fn finish(&self, client: &str, scenario: &str, n: u64, size: usize) -> Line {
        let elapsed = self.began.elapsed();
        let (user, system) = cpu();
        let each_ns = |time: Duration| time.as_nanos() as f64 / n as f64;
        Line {
            client: client.into(),
            scenario: scenario.into(),
            n,
            size,
            msgs_per_s: n as f64 / elapsed.as_secs_f64(),
            user_ns: each_ns(user.saturating_sub(self.user)),
            sys_ns: each_ns(system.saturating_sub(self.system)),
            p50_us: None,
            p99_us: None,
            p999_us: None,
            mean_us: None,
            rss_kb: process::peak_rss_kb(),
        }
    }
}

/// What this process has used in user space and in the kernel; nothing where the system does not say.
fn cpu() -> (Duration, Duration) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Default::default() };
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
    };
    (micros(usage.user_time()), micros(usage.system_time()))
}
