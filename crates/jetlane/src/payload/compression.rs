#![cfg_attr(
    not(any(feature = "lz4", feature = "zstd", feature = "gzip")),
    allow(dead_code, unreachable_code, unused, reason = "`Compression` has no value then")
)]

use std::io;
#[cfg(any(feature = "lz4", feature = "gzip"))]
use std::io::Write;

/// How a payload is compressed. Each algorithm is a feature of this crate: with it payloads can be compressed by it, and those that
/// were can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// LZ4, as frames (feature `lz4`): the fastest.
    #[cfg(feature = "lz4")]
    Lz4,
    /// Zstandard (feature `zstd`): smaller than gzip, in less time.
    #[cfg(feature = "zstd")]
    Zstd,
    /// gzip (feature `gzip`): what every language has.
    #[cfg(feature = "gzip")]
    Gzip,
}

impl Compression {
    /// What this program was built with.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "lz4")]
        Self::Lz4,
        #[cfg(feature = "zstd")]
        Self::Zstd,
        #[cfg(feature = "gzip")]
        Self::Gzip,
    ];

    /// Its name in the header `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "lz4")]
            Self::Lz4 => "lz4",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
            #[cfg(feature = "gzip")]
            Self::Gzip => "gzip",
        }
    }

    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()))
    }

    pub(super) fn compress(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            #[cfg(feature = "lz4")]
            Self::Lz4 => lz4(plain),
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd(plain),
            #[cfg(feature = "gzip")]
            Self::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain)?;
                encoder.finish()
            }
        }
    }
}

/// A frame, as the standard's own tools read it. A checksum is added, as LZ4 would read much that is broken without an error.
#[cfg(feature = "lz4")]
fn lz4(plain: &[u8]) -> io::Result<Vec<u8>> {
    use lz4_flex::frame::{FrameEncoder, FrameInfo};
    let info = FrameInfo::new().content_size(Some(plain.len() as u64)).content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

#[cfg(feature = "zstd")]
fn zstd(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(plain)
}
