//! What is in an event: typed events and their encodings, and compression.

mod bus;
mod compress;
mod compressing;
mod compression;
mod encoding;
mod error;
mod event;
mod json;
#[cfg(feature = "prost")]
mod protobuf;
mod unpack;

pub use compress::Compress;
pub(crate) use compress::Packed;
pub use compressing::Compressing;
pub use compression::Compression;
pub use encoding::{Encoding, Fault, Raw};
pub use error::{DecodeError, EncodeError};
pub use event::Event;
pub use json::Json;
#[cfg(feature = "prost")]
pub use protobuf::Protobuf;
pub(crate) use unpack::unpack;

#[cfg(test)]
mod typed_tests;
