//! How the API writes what JSON has no type for.

use serde::Deserialize as _;

/// Durations as whole nanoseconds.
pub(crate) mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        // The server writes -1 for "no limit" in a few places; for a duration that is zero.
        let nanos = i64::deserialize(from)?;
        Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
    }
}

/// Limits as numbers, where -1 (and 0) means that there is none.
pub(crate) mod limit {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(limit: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        Ok(u64::try_from(i64::deserialize(from)?).ok().filter(|&limit| limit > 0))
    }
}

/// Lists of durations, as whole nanoseconds.
pub(crate) mod nanos_list {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Nanos(#[serde(with = "super::nanos")] Duration);

    pub(crate) fn serialize<S: Serializer>(list: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().copied().map(Nanos))
    }

    pub(crate) fn deserialize<'de, D>(from: D) -> Result<Vec<Duration>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let list: Option<Vec<Nanos>> = Option::deserialize(from)?;
        Ok(list.unwrap_or_default().into_iter().map(|Nanos(duration)| duration).collect())
    }
}

/// Times as RFC 3339. The first second of year 1, Go's zero, means that there is none.
pub(crate) mod time {
    use std::time::SystemTime;

    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// 0001-01-01T00:00:00Z in seconds since 1970.
    const GO_ZERO: i64 = -62_135_596_800;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => {
                let time = Timestamp::try_from(*time).map_err(S::Error::custom)?;
                to.collect_str(&time)
            }
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D>(from: D) -> Result<Option<SystemTime>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let text: Option<String> = Option::deserialize(from)?;
        match text {
            Some(text) => read(&text).map_err(D::Error::custom),
            None => Ok(None),
        }
    }

    /// Reads a time; `None` for Go's zero.
    pub(crate) fn read(text: &str) -> Result<Option<SystemTime>, jiff::Error> {
        let time: Timestamp = text.parse()?;
        Ok((time.as_second() != GO_ZERO).then(|| time.into()))
    }
}

/// Whether a field has the value that stands for "not set".
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `null`, which Go writes for an empty list, as the default.
pub(crate) fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Limits of accounts, where only what is below 0 means that there is none.
pub(crate) fn account_limit<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<u64>, D::Error> {
    Ok(u64::try_from(i64::deserialize(from)?).ok())
}
