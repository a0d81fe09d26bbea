//! Header blocks read and judged the slow and obvious way, one byte at a time.

use jetlane_proto::HeaderError;

/// A name and its value.
pub(crate) type Header = (Vec<u8>, Vec<u8>);

/// The headers of a block: the lines behind the first that have a colon with something in front of it.
pub(crate) fn headers(block: &[u8]) -> Vec<Header> {
    whole_lines(block).iter().skip(1).filter_map(|line| header(line)).collect()
}

/// The status of a block: three digits behind the version, then nothing or a space and a description.
pub(crate) fn status(block: &[u8]) -> Option<(u16, Vec<u8>)> {
    let first: Vec<u8> = block.iter().copied().take_while(|&byte| byte != b'\n').collect();
    let text = trimmed(first.strip_prefix(b"NATS/1.0 ")?);
    let [a, b, c, description @ ..] = &*text else { return None };
    if ![a, b, c].iter().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    if !description.is_empty() && !description.starts_with(b" ") {
        return None;
    }
    let [a, b, c] = [a, b, c].map(|digit| u16::from(digit - b'0'));
    Some((100 * a + 10 * b + c, trimmed(description)))
}

/// What ADR-4 says of a header to send.
pub(crate) fn check(name: &str, value: &str) -> Result<(), HeaderError> {
    if name.is_empty() {
        return Err(HeaderError::EmptyName);
    }
    for byte in name.bytes() {
        if !byte.is_ascii_graphic() || byte == b':' {
            return Err(HeaderError::ForbiddenInName { name: name.into(), byte });
        }
    }
    check_value(name, value)
}

/// What ADR-4 says of a value.
pub(crate) fn check_value(name: &str, value: &str) -> Result<(), HeaderError> {
    for byte in value.bytes() {
        if byte == b'\r' || byte == b'\n' || byte == b'\0' {
            return Err(HeaderError::ForbiddenInValue { name: name.into(), byte });
        }
    }
    Ok(())
}

/// Without the white space at both ends, which belongs to no value.
pub(crate) fn trimmed(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    while text.last().is_some_and(is_blank) {
        text.pop();
    }
    text.into_iter().skip_while(is_blank).collect()
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

/// The lines of a block. What no line feed ends is none.
fn whole_lines(block: &[u8]) -> Vec<Vec<u8>> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for &byte in block {
        match byte {
            b'\n' => lines.push(std::mem::take(&mut line)),
            _ => line.push(byte),
        }
    }
    lines
}

fn header(line: &[u8]) -> Option<Header> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() { None } else { Some((name.to_vec(), trimmed(value))) }
}
