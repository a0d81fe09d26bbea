use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The year 1, which is how Go writes that there is no time, in seconds since 1970.
const GO_ZERO: i64 = -62_135_596_800;

/// What time it is, by both clocks: one to wait by, and one to write down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: WallTime,
}

/// A time of day, in nanoseconds since 1970; never before it, and not behind the year 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WallTime(pub(crate) u64);

impl Now {
    pub(crate) fn read() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), wall: WallTime(nanos(since)) }
    }

    /// When it will be `time`; now, if it was already.
    pub(crate) fn instant_of(&self, time: WallTime) -> Instant {
        later(self.instant, Duration::from_nanos(time.0.saturating_sub(self.wall.0)))
    }
}

impl WallTime {
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// As RFC 3339 has it, in UTC.
    pub(crate) fn text(self) -> String {
        Timestamp::from_nanosecond(self.0.into()).unwrap_or_default().to_string()
    }
}

/// `None` is Go's zero time.
pub(crate) fn text_of(time: Option<WallTime>) -> String {
    time.map_or_else(|| "0001-01-01T00:00:00Z".into(), WallTime::text)
}

/// As far in the future as it can be told: a duration from a peer may be any.
pub(crate) fn later(from: Instant, wait: Duration) -> Instant {
    from.checked_add(wait).unwrap_or_else(|| from + Duration::from_secs(86_400 * 365))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

/// A time as the API reads it. Go's zero is none.
pub(crate) fn read_time<'de, D>(from: D) -> Result<Option<WallTime>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let time: Timestamp = text.parse().map_err(serde::de::Error::custom)?;
    let since_1970 = u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX);
    Ok((time.as_second() != GO_ZERO).then_some(WallTime(since_1970)))
}
