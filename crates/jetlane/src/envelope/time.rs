//! Reading the time of an event, as it nearly always stands there.

use jiff::Timestamp;

use super::scan::{Shape, eight, eight_digits};

const YEAR_AND_MONTH: Shape = Shape::new(b"0000-00-");
const DAY_AND_MINUTE: Shape = Shape::new(b"00T00:00");
const TIME_OF_DAY: Shape = Shape::new(b"00:00:00");

/// Reads RFC 3339 in UTC with a `Z`, as jetlane and most others write it: `2026-11-21T12:00:00.123456Z`. It takes a tenth of the
/// instructions of the general reader, which is for everything else: `None` says that this may be a time all the same.
#[inline]
pub(super) fn usual(text: &[u8]) -> Option<Timestamp> {
    let date = YEAR_AND_MONTH.read(eight(text, 0)?)?;
    let day = DAY_AND_MINUTE.read(eight(text, 8)?)?;
    let time = TIME_OF_DAY.read(eight(text, 11)?)?;
    let (year, month, day) = (i64::from(date[0]) * 100 + i64::from(date[2]), date[5], day[0]);
    let [hour, minute, second] = [time[0], time[3], time[6]];
    // Which months have more days, and leap seconds, the general reader knows.
    let is_usual = (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_usual {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let days = days_before(year, i64::from(month), i64::from(day));
    Timestamp::new(days * 86_400 + seconds, fraction(&text[19..])?).ok()
}

/// Nanoseconds of the last of so many digits behind the point.
const UNITS: [i32; 10] =
    [0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// Nanoseconds of `Z`, or of a point, one to nine digits and `Z`.
fn fraction(text: &[u8]) -> Option<i32> {
    let digits = match text.strip_suffix(b"Z")? {
        [] => return Some(0),
        text => text.strip_prefix(b".")?,
    };
    let (mut number, rest) = match eight(digits, 0) {
        // As many as a clock gives, or nearly.
        Some(first) => (i32::try_from(eight_digits(first)?).ok()?, &digits[8..]),
        None => (0, digits),
    };
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i32::from(digit);
    }
    Some(number * UNITS[digits.len()])
}

/// Days from 1970-01-01 to this day: years begin in March here, so that the day that comes and goes is the last one.
#[inline]
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 153 days are five months from March or August on; the rest rounds as their lengths do.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_reads_is_what_the_general_reader_reads() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut usual_ones = 0;
        for _ in 0..200_000 {
            // The years 0 to 9999.
            let seconds = random.i64(-62_167_219_200..253_402_207_200);
            let digits = random.u32(0..10);
            let unit = 10_i32.pow(9 - digits);
            let nanos = random.i32(0..1_000_000_000) / unit * unit;
            let time = Timestamp::new(seconds, nanos).unwrap();
            let text = time.to_string();
            let read = usual(text.as_bytes());
            assert!(read.is_none_or(|read| read == time), "{text}: {read:?}");
            usual_ones += usize::from(read.is_some());
        }
        assert!(usual_ones > 180_000, "{usual_ones}: but for the last days of months");
    }

    #[test]
    fn it_reads_nothing_that_is_not_quite_so() {
        for text in [
            "",
            "2026-11-21T12:00:00",
            "2026-11-21T12:00:00.Z",
            "2026-11-21T12:00:00.1234567890Z",
            "2026-11-21T12:00:00.12a4Z",
            "2026-11-21T12:00:00+00:00",
            "2026-11-21t12:00:00Z",
            "2026-11-21 12:00:00Z",
            "2026-11-21T12:00:00z",
            "2026-13-21T12:00:00Z",
            "2026-00-21T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-11-00T12:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:60:00Z",
            "2026-11-21T12:00:60Z",
            "2026-11-21T12:00:0:Z",
            "-026-11-21T12:00:00Z",
            "2026-11-21T12:00:00ZZ",
        ] {
            assert_eq!(usual(text.as_bytes()), None, "{text}");
        }
        assert_eq!(usual(b"1970-01-01T00:00:00Z"), Some(Timestamp::UNIX_EPOCH));
    }
}
