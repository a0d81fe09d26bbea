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
    let (date_and_time, behind) = text.split_first_chunk::<19>()?;
    let date = YEAR_AND_MONTH.read(eight(date_and_time, 0)?)?;
    let day = DAY_AND_MINUTE.read(eight(date_and_time, 8)?)?;
    let time = TIME_OF_DAY.read(eight(date_and_time, 11)?)?;
    let [hour, minute, second] = [time[0], time[3], time[6]];
    let days = days_before(date[0], date[2], date[5], day[0])?;
    if hour > 23 || minute > 59 || second > 59 {
        // Leap seconds the general reader knows.
        return None;
    }
    let second = u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second);
    Timestamp::new(i64::from(days) * 86_400 + i64::from(second), fraction(behind)?).ok()
}

/// Nanoseconds of `Z`, or of a point, one to nine digits and `Z`.
#[inline]
fn fraction(text: &[u8]) -> Option<i32> {
    let Some(digits) = text.strip_prefix(b".") else {
        return (text == b"Z").then_some(0);
    };
    let nanos = match digits.split_first_chunk::<8>() {
        // As many as a clock gives, or nearly.
        Some((first, b"Z")) => eight_digits(u64::from_le_bytes(*first))? * 10,
        Some((first, [last @ b'0'..=b'9', b'Z'])) => {
            eight_digits(u64::from_le_bytes(*first))? * 10 + u32::from(last - b'0')
        }
        _ => short_fraction(digits.strip_suffix(b"Z")?)?,
    };
    i32::try_from(nanos).ok()
}

/// Of one to eight digits.
fn short_fraction(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let mut eight = [b'0'; 8];
    eight.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(eight_digits(u64::from_le_bytes(eight))? * 10)
}

/// Days of a year that begins in March before each of these months, January first: the day that comes and goes is its last one.
const DAYS_BEFORE: [u16; 12] = [306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275];

/// How many days they have, but for that one.
const DAYS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Days from 1970-01-01 to this day. What comes before March of the year 0 the general reader knows.
#[inline]
fn days_before(century: u8, year: u8, month: u8, day: u8) -> Option<i32> {
    let place = usize::from(month).checked_sub(1)?;
    let (of_months, last) = (*DAYS_BEFORE.get(place)?, *DAYS.get(place)?);
    let year = u32::from(century) * 100 + u32::from(year);
    let is_there = (1..=last).contains(&day) || (month == 2 && day == 29 && is_leap(year));
    if !is_there {
        return None;
    }
    let year = year.checked_sub(u32::from(month < 3))?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + u32::from(of_months);
    Some(i32::try_from(days + u32::from(day)).ok()? - 719_469)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
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
        assert!(usual_ones > 199_900, "{usual_ones}: but for the first two months of all");
    }

    #[test]
    fn it_reads_every_day_there_is_and_no_other() {
        for year in [1, 4, 100, 400, 1600, 1900, 1999, 2000, 2026, 2028, 2100, 2400, 9996, 9999] {
            for (month, day) in (0..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                let text = format!("{year:04}-{month:02}-{day:02}T23:59:59.5Z");
                assert_eq!(usual(text.as_bytes()), text.parse().ok(), "{text}");
            }
        }
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
