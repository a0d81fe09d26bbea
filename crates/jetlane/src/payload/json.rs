use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encoding::{Encoding, Fault};

/// JSON, of types that serde knows. It reads `application/json`, other types `…/json`, and those that end with `+json`.
///
/// It is written and read by `serde_json`; with the feature `simd-json` it is read by the crate of that name.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Encoding<T> for Json {
    const CONTENT_TYPE: &'static str = "application/json";

    fn reads(media_type: &str) -> bool {
        media_type.ends_with("/json") || media_type.ends_with("+json")
    }

    fn encode(value: &T) -> Result<Bytes, Fault> {
        Ok(serde_json::to_vec(value)?.into())
    }

    fn decode(payload: &Bytes) -> Result<T, Fault> {
        read(payload)
    }
}

#[cfg(not(feature = "simd-json"))]
fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Fault> {
    Ok(serde_json::from_slice(json)?)
}

#[cfg(feature = "simd-json")]
fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Fault> {
    // It reads in place, and a payload is shared.
    let mut json = json.to_vec();
    let tape = simd_json::to_tape(&mut json)?;
    if depth(&tape.0) > DEEPEST {
        return Err("it is nested too deeply".into());
    }
    Ok(tape.deserialize()?)
}

/// As deep as `serde_json` reads. What reads a tape is recursive and has no bound of its own, and a hostile payload would end the process.
#[cfg(feature = "simd-json")]
const DEEPEST: usize = 127;

/// How many arrays and objects are within each other.
#[cfg(feature = "simd-json")]
fn depth(nodes: &[simd_json::Node<'_>]) -> usize {
    use simd_json::Node;
    let mut ends = Vec::new();
    let mut deepest = 0;
    for (at, node) in nodes.iter().enumerate() {
        while ends.last().is_some_and(|&end| end <= at) {
            ends.pop();
        }
        if let Node::Array { count, .. } | Node::Object { count, .. } = node {
            ends.push(at + 1 + count);
            deepest = deepest.max(ends.len());
        }
    }
    deepest
}
