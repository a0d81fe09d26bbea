//! Reading what was compressed, by anybody: within a bound, whatever it says of itself.
#![cfg_attr(
    not(any(feature = "lz4", feature = "zstd", feature = "gzip")),
    allow(dead_code, unreachable_code, unused, reason = "`Compression` has no value then")
)]

use std::io::{self, Read};

use bytes::Bytes;

use super::Compression;
use crate::EnvelopeError;
use crate::envelope::excerpt;

/// What a body is guessed to grow to, so that its memory is mostly taken once.
const GROWTH: usize = 4;

/// The plain bytes of a body that is marked as `encoding`, if they are no more than `most`.
#[cold]
pub(crate) fn unpack(encoding: &[u8], body: &[u8], most: usize) -> Result<Bytes, EnvelopeError> {
    let Some(compression) = Compression::named(encoding) else {
        return Err(EnvelopeError::UnknownEncoding { encoding: excerpt(encoding) });
    };
    match compression.decompress(body, most) {
        Ok(Some(plain)) => Ok(plain.into()),
        Ok(None) => Err(EnvelopeError::TooLarge { most }),
        Err(error) => Err(EnvelopeError::Corrupt {
            encoding: compression.name(),
            reason: excerpt(error.to_string().as_bytes()),
        }),
    }
}

impl Compression {
    /// `None` if there are more than `most` bytes.
    fn decompress(self, body: &[u8], most: usize) -> io::Result<Option<Vec<u8>>> {
        match self {
            #[cfg(feature = "lz4")]
            Self::Lz4 => lz4(body, most),
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd(body, most),
            #[cfg(feature = "gzip")]
            Self::Gzip => {
                let decoder = flate2::bufread::GzDecoder::new(body);
                bounded(body, most, decoder, |decoder| decoder.get_ref().is_empty())
            }
        }
    }
}

/// Reads to the end, unless that is too far. Each decoder takes from the body what it reads, and no more.
fn bounded<R: Read>(
    body: &[u8],
    most: usize,
    mut decoder: R,
    has_read_all: impl FnOnce(&R) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let guess = body.len().saturating_mul(GROWTH).min(most);
    let mut plain = Vec::with_capacity(guess);
    // One byte more tells that it is too many.
    let limit = (most as u64).saturating_add(1);
    decoder.by_ref().take(limit).read_to_end(&mut plain)?;
    if plain.len() > most {
        return Ok(None);
    }
    match has_read_all(&decoder) {
        true => Ok(Some(plain)),
        false => Err(io::Error::other("it does not end where the payload does")),
    }
}

#[cfg(feature = "lz4")]
fn lz4(body: &[u8], most: usize) -> io::Result<Option<Vec<u8>>> {
    // The decoder takes the end of its input for that of the frame, wherever that is. Where a frame was cut off it finds this
    // instead, which can neither be a header nor a block.
    const NO_BLOCK: &[u8] = &[0xff; 8];
    let decoder = lz4_flex::frame::FrameDecoder::new(body.chain(NO_BLOCK));
    bounded(body, most, decoder, |decoder| {
        let (rest, no_block) = decoder.get_ref().get_ref();
        rest.is_empty() && *no_block == NO_BLOCK
    })
}

#[cfg(feature = "zstd")]
fn zstd(body: &[u8], most: usize) -> io::Result<Option<Vec<u8>>> {
    // Whether it says so itself.
    let size = zstd::zstd_safe::get_frame_content_size(body);
    if matches!(size, Ok(Some(size)) if size > most as u64) {
        return Ok(None);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?.single_frame();
    // The decoder takes as much memory as the frame asks for. All decoders are to take 8 MiB (RFC 8878), and no more than 128 MiB.
    let window = most.checked_next_power_of_two().map_or(27, usize::ilog2);
    decoder.window_log_max(window.clamp(23, 27))?;
    bounded(body, most, decoder, |decoder| decoder.get_ref().is_empty())
}
