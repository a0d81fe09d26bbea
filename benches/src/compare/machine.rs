//! On what, and with what, it was measured.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Seconds since 1970.
    pub(crate) time: u64,
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) nats_server: String,
    pub(crate) jetlane: String,
    pub(crate) rustc: String,
    pub(crate) command: String,
}

impl Machine {
    pub(crate) fn look() -> Result<Self> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_secs();
        let server = jetlane_testkit::find_server()?;
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // Not the path of the program: where it was built is nobody's business.
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        Ok(Self {
            time,
            date: date(time / 86_400),
            cpu: cpu.map_or_else(|| "unknown".into(), |(_, model)| model.trim().into()),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.trim().into(),
            nats_server: version(server.path.as_os_str()),
            jetlane: env!("CARGO_PKG_VERSION").into(),
            rustc: version("rustc".as_ref()),
            command: format!("jetlane-bench {}", arguments.join(" ")),
        })
    }
}

fn version(program: &std::ffi::OsStr) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    text.unwrap_or_else(|_| "unknown".into())
}

/// The day that is so many days after 1970-01-01, in the Gregorian calendar (after Hinnant).
fn date(days: u64) -> String {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
            (20_818, "2026-12-31"),
        ] {
            assert_eq!(date(days), expected);
        }
    }
}
