//! What the operating system knows of this process.

use nix::sys::resource::{UsageWho, getrusage};

/// The threads of this process; 0 where it can not be told.
pub fn threads() -> u64 {
    status("Threads:")
}

/// The most memory that was resident at once, in KiB; 0 where it can not be told.
pub fn peak_rss_kb() -> u64 {
    match status("VmHWM:") {
        0 => max_rss_kb(),
        kb => kb,
    }
}

/// As `getrusage` counts. Where there is a /proc that is too much: it counts what the process was before it was this
/// program.
fn max_rss_kb() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let max = usage.map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0));
    // Bytes there, KiB elsewhere.
    if cfg!(target_vendor = "apple") { max / 1024 } else { max }
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
