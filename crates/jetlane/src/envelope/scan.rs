//! Eight bytes at a time, for what jetlane and most others write.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The eight bytes at `at`, the first one lowest.
#[inline(always)]
pub(super) fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The bytes before the first CR LF, and those behind it; `None` if a lone LF comes first, or neither.
#[inline(always)]
pub(super) fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = find_lf(bytes)?;
    let (line, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    Some((line.strip_suffix(b"\r")?, rest))
}

/// Values are short: this is done before a search that is built for long texts has begun.
#[inline(always)]
fn find_lf(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = eight(bytes, at) {
        let others = eight ^ (ONES * u64::from(b'\n'));
        // Marks the first byte that is zero; marks behind it may be wrong.
        let marks = others.wrapping_sub(ONES) & !others & HIGHS;
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?.iter().position(|&byte| byte == b'\n')?;
    Some(at + rest)
}

/// A text of eight bytes with numbers of two digits in it, and other bytes between.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Where the digits are: all bits of their bytes.
    digits: u64,
    /// The bytes between.
    between: u64,
}

impl Shape {
    /// Digits are where the pattern has a `0`.
    pub(super) const fn new(pattern: &[u8; 8]) -> Self {
        let (mut digits, mut between, mut at) = (0, 0, 0);
        while at < 8 {
            match pattern[at] {
                b'0' => digits |= 0xff << (8 * at),
                byte => between |= (byte as u64) << (8 * at),
            }
            at += 1;
        }
        Self { digits, between }
    }

    /// The number of two digits that begins at each place, of those places where one does; `None` if it has another shape.
    #[inline(always)]
    pub(super) fn read(self, eight: u64) -> Option<[u8; 8]> {
        let digits = (eight ^ (ONES * u64::from(b'0'))) & self.digits;
        // A byte above 9 gets its top bit set by adding 0x76, or has it.
        let others = (digits.wrapping_add(ONES * 0x76) | digits) & HIGHS;
        let is_so = others == 0 && eight & !self.digits == self.between;
        // No byte gets above 99, so that none spills into the next one.
        is_so.then(|| (digits * 10 + (digits >> 8)).to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_its_first_end() {
        for (text, expected) in [
            ("\r\n", Some(("", ""))),
            ("a\r\nb", Some(("a", "b"))),
            ("1234567\r\n", Some(("1234567", ""))),
            ("12345678\r\n\r\n", Some(("12345678", "\r\n"))),
            ("123456789012345\r\nabcdefgh\n", Some(("123456789012345", "abcdefgh\n"))),
            ("a\rb\r\n", Some(("a\rb", ""))),
            ("a\nb\r\n", None),
            ("\n\r\n", None),
            ("\u{8a}\u{b}\t\u{10a}\r\n12345678", Some(("\u{8a}\u{b}\t\u{10a}", "12345678"))),
            ("12345678\r", None),
            ("", None),
        ] {
            let expected = expected.map(|(line, rest)| (line.as_bytes(), rest.as_bytes()));
            assert_eq!(split_line(text.as_bytes()), expected, "{}", text.escape_default());
        }
    }

    #[test]
    fn a_shape_is_matched_byte_by_byte() {
        let shape = Shape::new(b"00-00:00");
        let read =
            |text: &[u8; 8]| shape.read(u64::from_le_bytes(*text)).map(|at| [at[0], at[3], at[6]]);
        assert_eq!(read(b"12-34:56"), Some([12, 34, 56]));
        assert_eq!(read(b"99-99:99"), Some([99, 99, 99]));
        assert_eq!(read(b"00-00:00"), Some([0, 0, 0]));
        // Each byte in turn is each other value.
        for at in 0..8 {
            for byte in 0..=255 {
                let mut text = *b"12-34:56";
                text[at] = byte;
                let is_good = match at {
                    2 | 5 => byte == b"12-34:56"[at],
                    _ => byte.is_ascii_digit(),
                };
                assert_eq!(read(&text).is_some(), is_good, "{byte} at {at}");
            }
        }
    }
}
