//! Eight bytes at a time, for what jetlane and most others write.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The eight bytes at `at`, the first one lowest.
#[inline(always)]
pub(super) fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// How many bytes come before the first CR LF; `None` if a lone LF comes first, or neither.
#[inline(always)]
pub(super) fn line_len(bytes: &[u8]) -> Option<usize> {
    let len = find_lf(bytes)?.checked_sub(1)?;
    (*bytes.get(len)? == b'\r').then_some(len)
}

/// Values are short: this is done before a search that is built for long texts has begun.
#[inline(always)]
fn find_lf(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = eight(bytes, at) {
        let marks = below(eight ^ (ONES * u64::from(b'\n')), 1);
        if marks != 0 {
            // The first one is right.
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?.iter().position(|&byte| byte == b'\n')?;
    Some(at + rest)
}

/// Whether so many bytes as a UUID has are without white space and control characters. (Of some others it says that they are not, too.)
#[inline(always)]
pub(super) fn is_one_word(bytes: &[u8; 36]) -> bool {
    let marks = |at| eight(bytes, at).map_or(HIGHS, |eight| below(eight, b' ' + 1));
    marks(0) | marks(8) | marks(16) | marks(24) | marks(28) == 0
}

/// Marks bytes below `limit`, which is 128 at most, and some behind them.
#[inline(always)]
fn below(eight: u64, limit: u8) -> u64 {
    eight.wrapping_sub(ONES * u64::from(limit)) & !eight & HIGHS
}

/// The number that eight digits stand for; `None` if one of them is none.
#[inline(always)]
pub(super) fn eight_digits(eight: u64) -> Option<u32> {
    let digits = eight ^ (ONES * u64::from(b'0'));
    // A byte above 9 gets its top bit set by adding 0x76, or has it.
    if (digits.wrapping_add(ONES * 0x76) | digits) & HIGHS != 0 {
        return None;
    }
    // Neighbours are put together, then pairs, then fours.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours * 10_000 + (fours >> 32)) & 0xffff_ffff).ok()
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
            ("\r\n", Some(0)),
            ("a\r\nb", Some(1)),
            ("1234567\r\n", Some(7)),
            ("12345678\r\n\r\n", Some(8)),
            ("123456789012345\r\nabcdefgh\n", Some(15)),
            ("a\rb\r\n", Some(3)),
            ("a\nb\r\n", None),
            ("\n\r\n", None),
            ("\u{8a}\u{b}\t\u{10a}\r\n12345678", Some(6)),
            ("12345678\r", None),
            ("", None),
        ] {
            assert_eq!(line_len(text.as_bytes()), expected, "{}", text.escape_default());
        }
    }

    #[test]
    fn one_word_has_nothing_in_it_that_could_end_it() {
        let uuid = *b"01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b";
        for at in 0..36 {
            for byte in 0..=255 {
                let mut text = uuid;
                text[at] = byte;
                assert_eq!(is_one_word(&text), byte > b' ', "{byte} at {at}");
            }
        }
    }

    #[test]
    fn eight_digits_are_a_number_and_nothing_else_is() {
        let read = |text: &[u8; 8]| eight_digits(u64::from_le_bytes(*text));
        assert_eq!(read(b"12345678"), Some(12_345_678));
        assert_eq!(read(b"00000000"), Some(0));
        assert_eq!(read(b"99999999"), Some(99_999_999));
        for at in 0..8 {
            for byte in 0..=255 {
                let mut text = *b"12345678";
                text[at] = byte;
                let expected = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                let expected = expected.filter(|_| byte.is_ascii_digit());
                assert_eq!(read(&text), expected, "{byte} at {at}");
            }
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
