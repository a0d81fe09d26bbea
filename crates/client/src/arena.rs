use bytes::{Bytes, BytesMut};

/// Messages are copied into blocks of this size.
const BLOCK: usize = 64 << 10;

/// Where messages that outlive a turn are copied to: many share one block, so a message costs no allocation, and
/// a reader that keeps its messages never holds up the buffer that the socket is read into.
///
/// A block is freed when the last message in it is dropped.
#[derive(Debug, Default)]
pub struct Arena {
    block: BytesMut,
}

impl Arena {
    /// An arena without a block yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of `bytes` that can be kept.
    #[inline]
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        // What is large gets memory of its own, so that it pins nothing else and is freed by itself.
        if bytes.len() > BLOCK / 4 {
            return Bytes::copy_from_slice(bytes);
        }
        if self.block.capacity() < bytes.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }
}
