//! How the API writes what JSON has no type for.

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
