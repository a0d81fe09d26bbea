use std::sync::Arc;

use bytes::Bytes;

use super::Compression;
use crate::Envelope;

/// When payloads are compressed, and how: see [`Envelope::compressed`] and [`crate::EventBus::compressing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it only says how"]
pub struct Compress {
    algorithm: Compression,
    above: usize,
    up_to: usize,
}

impl Compress {
    /// By this algorithm, above 1 KiB.
    pub fn with(algorithm: Compression) -> Self {
        Self { algorithm, above: 1024, up_to: Envelope::DECOMPRESS_UP_TO }
    }

    /// Payloads of more bytes than this. Default 1024: small ones hardly shrink, and the time is lost on both sides.
    pub fn above(mut self, bytes: usize) -> Self {
        self.above = bytes;
        self
    }

    /// Payloads of no more bytes than this; larger ones stay as they are, and mostly are too large for the server then. Default
    /// [`Envelope::DECOMPRESS_UP_TO`], which is what readers take by default: see [`crate::Subscribe::decompress_up_to`].
    pub fn up_to(mut self, bytes: usize) -> Self {
        self.up_to = bytes;
        self
    }

    /// What a payload becomes, if that is worth it.
    fn pack(&self, plain: &[u8]) -> Option<Body> {
        if plain.len() <= self.above || plain.len() > self.up_to {
            return None;
        }
        let body = self.algorithm.compress(plain).ok()?;
        let marked = body.len() + MARKER + self.algorithm.name().len();
        (marked < plain.len()).then(|| Body { compression: self.algorithm, body: body.into() })
    }
}

/// What the header that marks it takes besides the name of the algorithm.
const MARKER: usize = "Content-Encoding: \r\n".len();

#[derive(Debug)]
struct Body {
    compression: Compression,
    body: Bytes,
}

/// The payload of an envelope as it goes over the wire, if that is compressed. It is the same event with and without, so any two are
/// equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    /// Rare, so it takes no room where it is not.
    body: Option<Arc<Body>>,
}

impl Packed {
    pub(crate) fn body(&self) -> Option<&Bytes> {
        Some(&self.body.as_ref()?.body)
    }

    pub(crate) fn compression(&self) -> Option<Compression> {
        Some(self.body.as_ref()?.compression)
    }
}

impl PartialEq for Packed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Packed {}

impl Envelope {
    /// The same event, to be sent with its payload compressed, if it is large enough and gets smaller by it, the mark
    /// included; else as it is. [`Envelope::payload`] stays what it is: readers see the plain bytes, too, and what goes over the wire is
    /// [`Envelope::wire_payload`], marked by the header `Content-Encoding`.
    ///
    /// It counts in the forms whose body is the payload: [`crate::Form::Header`] and [`crate::Form::CloudEventsBinary`]. The others
    /// are there for systems that read JSON, and are never compressed.
    ///
    /// ```
    /// # #[cfg(feature = "lz4")] {
    /// use jetlane::{Compress, Compression, Envelope};
    /// let event = Envelope::new("order-42", "OrderCreated", "7".repeat(10_000));
    /// let compressed = event.clone().compressed(&Compress::with(Compression::Lz4));
    /// assert_eq!(compressed.payload(), event.payload());
    /// assert!(compressed.wire_payload().len() < 100);
    /// # }
    /// ```
    #[must_use]
    pub fn compressed(mut self, compress: &Compress) -> Self {
        self.packed = Packed { body: compress.pack(self.payload()).map(Arc::new) };
        self
    }

    /// How [`Envelope::wire_payload`] is compressed; `None` if it is the payload itself. An envelope that was received is plain, whatever
    /// its message was.
    pub fn compression(&self) -> Option<Compression> {
        self.packed.compression()
    }

    /// The payload as it goes over the wire: compressed by [`Envelope::compressed`], or the payload itself.
    pub fn wire_payload(&self) -> &Bytes {
        self.packed.body().unwrap_or_else(|| self.payload())
    }
}
