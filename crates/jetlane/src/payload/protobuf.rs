use bytes::Bytes;
use prost::Message;

use super::encoding::{Encoding, Fault};

/// Protobuf, of the types that `prost` makes. It reads `application/protobuf`, and the names that were in use before that one
/// was registered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Protobuf;

impl<T: Message + Default> Encoding<T> for Protobuf {
    const CONTENT_TYPE: &'static str = "application/protobuf";

    fn reads(media_type: &str) -> bool {
        matches!(
            media_type,
            "application/protobuf" | "application/x-protobuf" | "application/vnd.google.protobuf"
        )
    }

    fn encode(value: &T) -> Result<Bytes, Fault> {
        Ok(value.encode_to_vec().into())
    }

    fn decode(payload: &Bytes) -> Result<T, Fault> {
        Ok(T::decode(payload.clone())?)
    }
}
