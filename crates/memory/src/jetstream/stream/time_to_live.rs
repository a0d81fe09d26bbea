use std::time::Duration;

use jetlane_proto::read_decimal;

/// How long a message lives that says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeToLive {
    Never,
    For(Duration),
}

impl TimeToLive {
    /// Reads `Nats-TTL`: seconds, a duration as Go writes it, or `never`. A second is the least.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text == "never" {
            return Some(Self::Never);
        }
        let seconds = read_decimal(text.as_bytes()).map(Duration::from_secs);
        let duration = seconds.or_else(|| go_duration(text))?;
        (duration >= Duration::from_secs(1)).then_some(Self::For(duration))
    }
}

/// A duration such as `1h30m`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let nanos = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let part = read_decimal(number.as_bytes())?.checked_mul(nanos)?;
        sum = sum.checked_add(Duration::from_nanos(part))?;
        rest = behind;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live() {
        let seconds = |seconds| Some(TimeToLive::For(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("never", Some(TimeToLive::Never)),
            ("5", seconds(5)),
            ("1h30m", seconds(5400)),
            ("1500ms", Some(TimeToLive::For(Duration::from_millis(1500)))),
            ("0", None),
            ("500ms", None),
            ("", None),
            ("5x", None),
            ("h", None),
            ("-5", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(TimeToLive::read(text), expected, "{text:?}");
        }
    }
}
