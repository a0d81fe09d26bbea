//! The machine-readable form of a benchmark: one JSON line.

use serde::{Deserialize, Serialize};

/// What one run of one client came to. Figures that a run does not have are left out of the line.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Line {
    /// Which client: `raw`, `async-nats`, or `jetlane` with its mode, as in `jetlane inline`.
    pub client: String,
    /// What was done: the words of the command line, as in `js pub async`.
    pub scenario: String,
    /// Messages (or requests).
    pub n: u64,
    /// Payload of each, in bytes.
    pub size: usize,
    /// Throughput over all connections.
    pub msgs_per_s: f64,
    /// CPU of the client process in user space, in nanoseconds a message.
    pub user_ns: f64,
    /// CPU of the client process in the kernel, in nanoseconds a message.
    pub sys_ns: f64,
    /// Half of the operations took no longer than this, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<f64>,
    /// 99 of 100 took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// 999 of 1000 took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999_us: Option<f64>,
    /// Mean of the operations, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_us: Option<f64>,
    /// The most memory of the client process that was resident at once, in KiB.
    pub rss_kb: u64,
}
