//! Eight bytes at a time: where a word ends, and which number digits stand for.
//!
//! For what nats-server really writes. Functions give up (`None`) where fewer than eight bytes are left to look at, or
//! where they find something unusual: then who asked reads byte by byte, and says what is wrong.

use crate::Span;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Ten to the power of the index.
const TENS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// No number that fits 64 bits for sure has more digits.
const MOST_DIGITS: usize = 19;

/// The eight bytes at `at`, the first one lowest.
#[inline(always)]
pub(crate) fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Marks the first byte below `limit`, which is 128 at most. Marks behind the first one may be wrong.
#[inline]
pub(crate) fn below(eight: u64, limit: u8) -> u64 {
    eight.wrapping_sub(ONES * u64::from(limit)) & !eight & HIGHS
}

/// Marks the first byte that is `byte`. Marks behind the first one may be wrong.
#[inline]
pub(crate) fn equal(eight: u64, byte: u8) -> u64 {
    below(eight ^ (ONES * u64::from(byte)), 1)
}

/// Which byte the first mark is on; 8 if there is none.
#[inline]
fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// The word at `at`, if it is not empty and ends with a space.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<Span> {
    let end = find(bytes, at, |eight| below(eight, b' ' + 1))?;
    (end > at && bytes[end] == b' ').then(|| Span::new(at..end))
}

/// The token at `at`, if it is not empty and ends with a dot.
#[inline]
pub(crate) fn token(bytes: &[u8], at: usize) -> Option<Span> {
    let end = find(bytes, at, |eight| equal(eight, b'.'))?;
    (end > at).then(|| Span::new(at..end))
}

/// Where the first byte from `at` on is that `marks` marks.
#[inline(always)]
pub(crate) fn find(bytes: &[u8], mut at: usize, marks: impl Fn(u64) -> u64) -> Option<usize> {
    loop {
        match marks(eight(bytes, at)?) {
            0 => at += 8,
            marks => return Some(at + first(marks)),
        }
    }
}

/// The number of one to seven digits that begins at `at`, and where it ends.
#[inline(always)]
pub(crate) fn small_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut rest = eight(bytes, at)?;
    let (mut value, mut end) = (0, at);
    // For a few digits this takes fewer steps than putting all eight together. The last step leaves a zero byte, which
    // ends it.
    loop {
        let digit = (rest & 0xff) ^ u64::from(b'0');
        if digit > 9 {
            return (end > at && rest != 0).then_some((value, end));
        }
        value = value * 10 + digit;
        end += 1;
        rest >>= 8;
    }
}

/// The number whose digits begin at `at`, and where they end; which may be where the bytes end.
#[inline]
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (mut value, mut end) = (0u64, at);
    // What wraps around has too many digits.
    while let Some(eight) = eight(bytes, end) {
        let (part, count) = leading_digits(eight);
        value = value.wrapping_mul(TENS[count]).wrapping_add(part);
        end += count;
        if count < 8 {
            return number_within(at, end, value);
        }
    }
    for &byte in bytes.get(end..)?.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(byte ^ b'0'));
        end += 1;
    }
    number_within(at, end, value)
}

#[inline]
fn number_within(at: usize, end: usize, value: u64) -> Option<(u64, usize)> {
    (1..=MOST_DIGITS).contains(&(end - at)).then_some((value, end))
}

/// The number that the first digits stand for, and how many they are.
#[inline]
fn leading_digits(eight: u64) -> (u64, usize) {
    let digits = eight ^ (ONES * u64::from(b'0'));
    // A byte above 9 gets its top bit set by adding 0x76, or has it.
    let others = (digits.wrapping_add(ONES * 0x76) | digits) & HIGHS;
    let count = first(others);
    if count == 0 {
        return (0, 0);
    }
    // Zeros in front of them make eight digits of any number of them.
    let digits = digits << (64 - 8 * count);
    // Then twos, fours, and all eight are put together.
    let twos = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (twos & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((twos >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    (high.wrapping_add(low) >> 32, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::read_decimal;

    #[test]
    fn words_end_with_a_space_and_tokens_with_a_dot() {
        for (text, expected) in [
            ("a bcdefghi", Some("a")),
            ("abcdefgh jklmnopq", Some("abcdefgh")),
            ("abcdefghi klmnopqr", Some("abcdefghi")),
            ("ab\u{e4}\u{7f}! klmnopqrst", Some("ab\u{e4}\u{7f}!")),
            (" bcdefghi", None),
            ("a\tbcdefgh ", None),
            ("a\rbcdefgh ", None),
            ("abc\n efghi", None),
            ("abcdefgh", None),
            ("abc def", None),
            ("", None),
        ] {
            let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
            assert_eq!(word(text.as_bytes(), 0).map(of), expected, "{text:?}");
            let dotted = text.replace(' ', ".");
            let found = token(dotted.as_bytes(), 0).map(|span| span.range().end);
            let expected = dotted.find('.').filter(|&at| at > 0 && at / 8 * 8 + 8 <= dotted.len());
            assert_eq!(found, expected, "{dotted:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_what_they_are_byte_by_byte(value: u64, zeros in 0usize..4, after in "(|[^0-9].{0,9})") {
            let digits = format!("{}{value}", "0".repeat(zeros));
            let text = format!("{digits}{after}");
            let expected = (digits.len() <= MOST_DIGITS).then_some((value, digits.len()));
            prop_assert_eq!(number(text.as_bytes(), 0), expected);
            prop_assert_eq!(read_decimal(digits.as_bytes()), Some(value));
        }

        #[test]
        fn small_numbers_are_what_they_are_byte_by_byte(value in 0u64..100_000_000, after in "[^0-9\\x00].{8,9}") {
            let digits = value.to_string();
            let text = format!("{digits}{after}");
            let expected = (digits.len() <= 7).then_some((value, digits.len()));
            prop_assert_eq!(small_number(text.as_bytes(), 0), expected);
        }

        #[test]
        fn any_bytes_give_a_number_only_if_it_is_there(bytes: Vec<u8>, at in 0usize..20) {
            let found = [number(&bytes, at), small_number(&bytes, at)];
            for (value, end) in found.into_iter().flatten() {
                prop_assert_eq!(read_decimal(&bytes[at..end]), Some(value));
                prop_assert!(!bytes.get(end).is_some_and(u8::is_ascii_digit));
            }
        }

        #[test]
        fn any_bytes_give_a_word_only_if_it_is_there(bytes: Vec<u8>, at in 0usize..20) {
            let ends = |byte: u8| byte <= b' ';
            if let Some(found) = word(&bytes, at) {
                prop_assert_eq!(found.range().start, at);
                prop_assert!(!found.of(&bytes).iter().any(|&byte| ends(byte)));
                prop_assert_eq!(bytes[found.range().end], b' ');
            }
        }
    }
}
