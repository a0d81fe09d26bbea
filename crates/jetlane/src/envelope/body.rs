//! Reading and writing JSON whose other end is not ours: every field is looked at by itself, so that an error names it.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::EnvelopeError;
use super::error::{excerpt, unreadable};

/// The first second of the year 0: RFC 3339 has no sign for the year.
const FIRST_SECOND: i64 = -62_167_219_200;

/// Reads a JSON object. `serde_json` skips what is nested without recursion, so the depth needs no bound of ours.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, EnvelopeError> {
    // Derived readers would take an array for a list of the fields.
    if !is_object(json) {
        return Err(EnvelopeError::Malformed { reason: "it is no JSON object".into() });
    }
    serde_json::from_slice(json)
        .map_err(|error| EnvelopeError::Malformed { reason: excerpt(error.to_string().as_bytes()) })
}

pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

/// The JSON value that `payload` is.
pub(super) fn value(payload: &[u8]) -> Result<&RawValue, EnvelopeError> {
    serde_json::from_slice(payload)
        .map_err(|error| EnvelopeError::PayloadNotJson { reason: error.to_string() })
}

/// Tells `null` from a field that is not there.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The text of a field, if there is any.
pub(super) fn text<'a>(
    field: &'static str,
    value: Option<&'a RawValue>,
) -> Result<Option<Cow<'a, str>>, EnvelopeError> {
    let Some(value) = value else { return Ok(None) };
    let read = serde_json::from_str(value.get());
    let Text(text) = read.map_err(|_| unreadable(field, value.get().as_bytes()))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A whole number that fits.
pub(super) fn integer(field: &'static str, value: Option<&RawValue>) -> Result<i64, EnvelopeError> {
    let value = value.ok_or(EnvelopeError::Missing { field })?;
    serde_json::from_str(value.get()).map_err(|_| unreadable(field, value.get().as_bytes()))
}

/// What is needed and not empty.
pub(super) fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, EnvelopeError> {
    value.ok_or(EnvelopeError::Missing { field })
}

pub(super) fn time(field: &'static str, text: &str) -> Result<Timestamp, EnvelopeError> {
    text.parse().map_err(|_| unreadable(field, text.as_bytes()))
}

pub(super) fn rfc3339(field: &'static str, time: Timestamp) -> Result<String, EnvelopeError> {
    match time.as_second() < FIRST_SECOND {
        true => Err(EnvelopeError::UnsendableTime { field }),
        false => Ok(time.to_string()),
    }
}

/// The texts of these fields, if all are there: as much of `json` is read as that takes, and so mostly not the payload.
pub(super) fn peek<'a, const N: usize>(
    json: &'a [u8],
    names: [&'static str; N],
) -> Option<[Cow<'a, str>; N]> {
    if !is_object(json) {
        return None;
    }
    let mut peek = Peek { names, found: [const { None }; N] };
    // It ends with an error when it stops early, as the rest of the object is then left over.
    let _ = serde_json::Deserializer::from_slice(json).deserialize_map(&mut peek);
    let all = peek.found.iter().all(Option::is_some);
    all.then(|| peek.found.map(Option::unwrap_or_default))
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Peek<'a, const N: usize> {
    names: [&'static str; N],
    found: [Option<Cow<'a, str>>; N],
}

impl<'a, const N: usize> Visitor<'a> for &mut Peek<'a, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Text(name)) = map.next_key()? {
            let Some(at) = self.names.iter().position(|wanted| *wanted == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &RawValue = map.next_value()?;
            let text = serde_json::from_str(value.get()).ok();
            self.found[at] = text.map(|Text(text)| text).filter(|text| !text.is_empty());
            if self.found.iter().all(Option::is_some) {
                break;
            }
        }
        Ok(())
    }
}
