use std::error::Error;
use std::fmt::Display;

use bytes::Bytes;

/// Why a value could not be encoded, or a payload is none of it. Any error becomes one by `?`.
pub type Fault = Box<dyn Error + Send + Sync>;

/// How values of the type `T` stand in the payload of an event: [`crate::Json`], `Protobuf` (feature `prost`), [`Raw`], or one of
/// your own.
pub trait Encoding<T> {
    /// The media type of what it writes, as it stands in the header `Content-Type` of an event.
    const CONTENT_TYPE: &'static str;

    /// Whether it reads payloads of this media type, which is given without parameters and in lower case. Default: those of
    /// [`Encoding::CONTENT_TYPE`].
    fn reads(media_type: &str) -> bool {
        media_type == Self::CONTENT_TYPE
    }

    /// The payload that stands for a value.
    ///
    /// # Errors
    /// [`Fault`] if it has none. The fault of who made the value.
    fn encode(value: &T) -> Result<Bytes, Fault>;

    /// The value that a payload stands for. Anybody may have written the payload: this must neither panic, nor allocate much more
    /// than there is of it.
    ///
    /// # Errors
    /// [`Fault`] if it stands for none. The fault of who published it.
    fn decode(payload: &Bytes) -> Result<T, Fault>;
}

/// The bytes as they are, for types that are bytes already: `AsRef<[u8]>` to be written (they are copied once), and
/// `TryFrom<Bytes>` (or `From<Bytes>`) to be read.
///
/// It reads any content type, and writes `application/octet-stream`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Raw;

impl<T> Encoding<T> for Raw
where
    T: AsRef<[u8]> + TryFrom<Bytes, Error: Display>,
{
    const CONTENT_TYPE: &'static str = UNKNOWN;

    fn reads(_: &str) -> bool {
        true
    }

    fn encode(value: &T) -> Result<Bytes, Fault> {
        Ok(Bytes::copy_from_slice(value.as_ref()))
    }

    fn decode(payload: &Bytes) -> Result<T, Fault> {
        T::try_from(payload.clone()).map_err(|error| error.to_string().into())
    }
}

/// The media type of what nobody has said anything about.
const UNKNOWN: &str = "application/octet-stream";

/// Whether an encoding may try a payload of this content type.
pub(super) fn accepts<T, E: Encoding<T>>(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type == UNKNOWN || E::reads(&media_type)
}
