//! What the text of a value means. No error shows the text: it may be a secret that stands in the wrong place.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use super::Limit;

/// A time, as `30s`, `500ms`, `1h` or `1m30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "is no duration: write a number with its unit, as 30s, 500ms, 1h or 1m30s";
    let signed = text.parse::<SignedDuration>().map_err(|_| wrong())?;
    Ok(Duration::try_from(signed).map_err(|_| wrong())?)
}

/// A time that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text)?.checked_sub(Duration::from_nanos(1)).ok_or("must be longer than zero")?;
    duration(text)
}

/// A number of bytes: plain, or with a unit. kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "is no number of bytes: write a number, or one with a unit, as 512MB or 1GiB";
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(wrong().into()),
    };
    let bytes = number.checked_mul(unit).filter(|&bytes| i64::try_from(bytes).is_ok());
    Ok(bytes.ok_or("is more than the server can count")?)
}

/// A number of messages.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|&count: &u64| i64::try_from(count).is_ok());
    Ok(count.ok_or("is no whole number of zero or more")?)
}

/// A bound of a stream: `unlimited` (or -1, as the server writes it), or what `most` reads, at least 1.
pub(super) fn limit(
    text: &str,
    most: impl Fn(&str) -> Result<u64, String>,
) -> Result<Limit, String> {
    match text {
        "unlimited" | "-1" => Ok(Limit::Unlimited),
        _ => match most(text)? {
            0 => Err("must be at least 1, or unlimited".into()),
            most => Ok(Limit::Most(most)),
        },
    }
}

/// A number from `least` to `most`.
pub(super) fn number<N>(text: &str, least: N, most: N) -> Result<N, String>
where
    N: FromStr + PartialOrd + std::fmt::Display,
{
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

/// Yes or no.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    choice(text, &[("true", true), ("false", false)])
}

/// A text that is not empty.
pub(super) fn words(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("is empty".into()) } else { Ok(text.into()) }
}

/// One of a few words. Capitals, hyphens and underscores make no difference.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let found = choices.iter().find(|(word, _)| plain(word) == plain(text));
    found.map(|&(_, choice)| choice).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        format!("must be one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("30s", Some(ms(30_000))),
            ("500ms", Some(ms(500))),
            ("1h", Some(ms(3_600_000))),
            ("24h", Some(ms(86_400_000))),
            ("1m30s", Some(ms(90_000))),
            ("1.5h", Some(ms(5_400_000))),
            ("250us", Some(Duration::from_micros(250))),
            ("0s", Some(ms(0))),
            ("30", None),
            ("", None),
            ("-5s", None),
            ("5 apples", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
        assert_eq!(positive_duration("1ms"), Ok(ms(1)));
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn numbers_of_bytes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1073741824", Some(1 << 30)),
            ("512MB", Some(512_000_000)),
            ("512 mb", Some(512_000_000)),
            ("1GB", Some(1_000_000_000)),
            ("1GiB", Some(1 << 30)),
            ("64KiB", Some(65_536)),
            ("2kB", Some(2000)),
            ("3TB", Some(3_000_000_000_000)),
            ("1TiB", Some(1 << 40)),
            ("7MiB", Some(7 << 20)),
            ("9b", Some(9)),
            ("1.5GB", None),
            ("GB", None),
            ("-1", None),
            ("1Gi", None),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn bounds_and_words() {
        for (text, expected) in [
            ("unlimited", Some(Limit::Unlimited)),
            ("-1", Some(Limit::Unlimited)),
            ("7", Some(Limit::Most(7))),
            ("0", None),
            ("-2", None),
            ("many", None),
        ] {
            assert_eq!(limit(text, count).ok(), expected, "{text}");
        }
        for (text, expected) in [("1", Some(1)), ("5", Some(5)), ("0", None), ("6", None)] {
            assert_eq!(number(text, 1, 5).ok(), expected, "{text}");
        }
        for (text, expected) in [("true", Some(true)), ("FALSE", Some(false)), ("yes", None)] {
            assert_eq!(switch(text).ok(), expected, "{text}");
        }
        let choices = [("create-only", 1), ("skip", 2)];
        for (text, expected) in [("create_only", Some(1)), ("CreateOnly", Some(1)), ("no", None)] {
            assert_eq!(choice(text, &choices).ok(), expected, "{text}");
        }
    }
}
