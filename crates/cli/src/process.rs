//! What the operating system knows of this process.

/// The threads of this process; 0 where it can not be told.
pub fn threads() -> u64 {
    status("Threads:")
}

/// The most memory that was resident at once, in KiB; 0 where it can not be told.
pub fn peak_rss_kb() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
