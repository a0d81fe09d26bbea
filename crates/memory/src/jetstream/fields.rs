//! How the API reads configs: strictly, as a nats-server does.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::error::Refusal;

/// Refuses fields that nobody knows, and those that only a nats-server understands if they ask for anything.
pub(super) fn check_rest(rest: &Map<String, Value>, unsupported: &[&str]) -> Result<(), Refusal> {
    for (name, value) in rest {
        if !unsupported.contains(&name.as_str()) {
            return Err(Refusal::bad_json(format_args!("json: unknown field {name:?}")));
        }
        if !asks_for_nothing(value) {
            return Err(Refusal::not_supported(name));
        }
    }
    Ok(())
}

fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// What only the server says in the metadata of a config; who sends it back means nothing by it.
pub(super) const SERVER_METADATA: &str = "_nats.";

pub(super) fn server_metadata() -> [(String, String); 3] {
    [("_nats.level", "5"), ("_nats.req.level", "0"), ("_nats.ver", crate::connection::VERSION)]
        .map(|(name, value)| (name.into(), value.into()))
}

/// Zero and less is no limit.
pub(super) fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|&value| value > 0)
}

pub(super) fn nanos(value: i64) -> Option<Duration> {
    limit(value).map(Duration::from_nanos)
}

/// A duration as Go writes it, such as `1m0s`.
pub(super) fn go_text(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let rest = duration - Duration::from_secs(minutes * 60);
    // Go and Rust write what is shorter than a minute alike, but for nothing.
    let rest = if rest.is_zero() { "0s".into() } else { format!("{rest:?}") };
    match (minutes / 60, minutes % 60) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Go writes `null` for what is empty.
pub(super) fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
