use core::ops::Range;

/// A range of bytes in a buffer that somebody else holds. `start <= end`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of `range`. Positions beyond 4 GiB do not occur: [`crate::Limits`] keeps every buffer far below.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "Limits keeps buffers below 4 GiB")]
    pub(crate) fn new(range: Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && u32::try_from(range.end).is_ok());
        Self { start: range.start as u32, end: range.end as u32 }
    }

    /// How many bytes it covers.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// True if it covers nothing.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// As a range, for slicing.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes it covers in `buffer`; empty if it does not lie within.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.range()).unwrap_or_default()
    }
}
