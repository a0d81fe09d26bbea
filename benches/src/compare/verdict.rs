//! What a row came to, and whether that is enough.

use jetlane_cli::bench::Line;
use serde::Serialize;

use super::report::Measured;
use super::rows::{Check, Reach};
use crate::client::Client;

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) mode: String,
    /// The target, in words.
    pub(crate) target: String,
    /// What was reached, in the same unit; none if a run is missing.
    pub(crate) reached: Option<f64>,
    pub(crate) met: bool,
    pub(crate) must: bool,
}

impl Verdict {
    pub(crate) fn of(check: &Check, measured: &Measured) -> Self {
        let reached = reached(check, measured);
        let (target, met) = match check.reach {
            Reach::Throughput(who, least) => {
                (format!("≥ {least} × {}", who.name()), reached.is_some_and(|x| x >= least))
            }
            Reach::Cpu(most) => (format!("≤ {most} ns"), reached.is_some_and(|x| x <= most)),
            Reach::CpuOverRaw(most) => {
                (format!("≤ raw + {most} ns"), reached.is_some_and(|x| x <= most))
            }
            Reach::Mean(who, most) => {
                (format!("mean ≤ {most} × {}", who.name()), reached.is_some_and(|x| x <= most))
            }
            Reach::Median(who, most) => {
                (format!("p50 ≤ {most} × {}", who.name()), reached.is_some_and(|x| x <= most))
            }
            Reach::Memory(most) => (format!("≤ {most} MiB"), reached.is_some_and(|x| x <= most)),
        };
        Self { mode: check.mode.into(), target, reached, met, must: check.must }
    }
}

fn reached(check: &Check, measured: &Measured) -> Option<f64> {
    let ours = measured.lines_of(check.mode)?;
    let against = |who: Client| measured.lines_of_who(who);
    let pairs = |who, figure: fn(&Line) -> Option<f64>, relate: fn(f64, f64) -> f64| {
        let each = ours.iter().zip(against(who)?);
        median(each.filter_map(|(a, b)| Some(relate(figure(a)?, figure(b)?))).collect())
    };
    let ratio: fn(f64, f64) -> f64 = |a, b| a / b;
    match check.reach {
        Reach::Throughput(who, _) => pairs(who, |line| Some(line.msgs_per_s), ratio),
        Reach::Cpu(_) => median(ours.iter().map(cpu).collect()),
        Reach::CpuOverRaw(_) => pairs(Client::Raw, |line| Some(cpu(line)), |a, b| a - b),
        Reach::Mean(who, _) => pairs(who, |line| line.mean_us, ratio),
        Reach::Median(who, _) => pairs(who, |line| line.p50_us, ratio),
        Reach::Memory(_) => median(ours.iter().map(|line| line.rss_kb as f64 / 1024.0).collect()),
    }
}

/// Nanoseconds of CPU a message, in user space and in the kernel.
pub(crate) fn cpu(line: &Line) -> f64 {
    line.user_ns + line.sys_ns
}

/// The one in the middle, or between the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows;

    #[test]
    fn the_median_is_in_the_middle() {
        for (values, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0, 2.0, 3.0], Some(2.5)),
        ] {
            assert_eq!(median(values.clone()), expected, "{values:?}");
        }
    }

    fn line(msgs_per_s: f64, cpu: f64) -> Line {
        Line {
            client: String::new(),
            scenario: String::new(),
            n: 1,
            size: 1,
            msgs_per_s,
            user_ns: cpu,
            sys_ns: 0.0,
            p50_us: None,
            p99_us: None,
            p999_us: None,
            mean_us: None,
            rss_kb: 5 * 1024,
        }
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let row = rows::all().remove(0);
        let mut measured = Measured::new(row);
        // The machine doubles its speed from round to round; raw is always a tenth faster.
        measured.lines[0] = [10.0, 20.0, 40.0].map(|speed| line(speed, 6.0)).to_vec();
        measured.lines[2] = [9.0, 18.0, 36.0].map(|speed| line(speed, 30.0)).to_vec();
        let reach = |reach| Verdict::of(&Check { mode: "jetlane", reach, must: true }, &measured);
        for (wanted, reached, met) in [
            (Reach::Throughput(Client::Raw, 0.95), Some(0.9), false),
            (Reach::Throughput(Client::Raw, 0.85), Some(0.9), true),
            (Reach::Throughput(Client::AsyncNats, 0.1), None, false),
            (Reach::Cpu(29.0), Some(30.0), false),
            (Reach::Cpu(30.0), Some(30.0), true),
            (Reach::CpuOverRaw(24.0), Some(24.0), true),
            (Reach::Memory(6.0), Some(5.0), true),
            (Reach::Mean(Client::Raw, 1.0), None, false),
        ] {
            let verdict = reach(wanted);
            assert_eq!((verdict.reached, verdict.met), (reached, met), "{wanted:?}");
        }
    }
}
