//! Whether a server serves who connects, asked in PostgreSQL's protocol, version 3.0.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Longer than any message before a server is ready.
const LONGEST_MESSAGE: u32 = 64 * 1024;

/// Whether somebody who connects to `socket` gets as far as they are allowed to.
pub(crate) fn serves(socket: &Path, user: &str, database: &str) -> bool {
    ask(socket, user, database).unwrap_or(false)
}

fn ask(socket: &Path, user: &str, database: &str) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(&startup_message(user, database))?;
    let serves = serves_by_its_answer(&mut stream)?;
    // Terminate: so the server need not wonder where we are.
    stream.write_all(b"X\0\0\0\x04")?;
    Ok(serves)
}

fn startup_message(user: &str, database: &str) -> Vec<u8> {
    let version: u32 = 3 << 16;
    let mut body = version.to_be_bytes().to_vec();
    for text in ["user", user, "database", database] {
        body.extend(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// Reads the answer up to where it is clear.
fn serves_by_its_answer(stream: &mut impl Read) -> io::Result<bool> {
    loop {
        let (kind, body) = message(stream)?;
        match kind {
            // Ready for queries.
            b'Z' => return Ok(true),
            // It wants a password, which settings can bring about, and so it serves.
            b'R' if body != [0; 4] => return Ok(true),
            b'E' => return Ok(!is_unavailable(&body)),
            // Parameters, notices and keys come before.
            _ => {}
        }
    }
}

/// Whether an error says that the server starts or ends. Any other one is for the client alone.
fn is_unavailable(error: &[u8]) -> bool {
    error.split(|byte| *byte == 0).any(|field| field.starts_with(b"C57P0"))
}

fn message(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    // The length counts itself.
    let length = u32::from_be_bytes(length).checked_sub(4);
    let Some(length) = length.filter(|length| *length <= LONGEST_MESSAGE) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut body = Vec::new();
    let read = stream.take(length.into()).read_to_end(&mut body)?;
    match u32::try_from(read) == Ok(length) {
        true => Ok((kind, body)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_whether_it_serves() {
        let check = |answer: &[u8], expected: Option<bool>| {
            let found = serves_by_its_answer(&mut { answer }).ok();
            assert_eq!(found, expected, "{}", answer.escape_ascii());
        };
        let welcome = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02";
        check(&[&welcome[..], b"Z\0\0\0\x05I"].concat(), Some(true));
        check(welcome, None);
        check(b"R\0\0\0\x08\0\0\0\x03", Some(true));
        check(b"E\0\0\0\x13SFATAL\0C57P03\0\0", Some(false));
        check(b"E\0\0\0\x13SFATAL\0C57P01\0\0", Some(false));
        check(b"E\0\0\0\x13SFATAL\0C53300\0\0", Some(true));
        check(b"E\0\0\0\x13SFATAL\0C57P03\0", None);
        check(b"Z\0\0\0\x03", None);
        check(b"S\xff\xff\xff\xff", None);
        let long = [b"N\0\x01\0\x05", &[0; 64 * 1024 + 1][..], b"Z\0\0\0\x05I"].concat();
        check(&long, None);
        check(b"Z\0\0", None);
        check(b"", None);
    }

    #[test]
    fn the_startup_message_is_as_the_protocol_says() {
        let expected = b"\0\0\0\x1d\0\x03\0\0user\0me\0database\0it\0\0";
        assert_eq!(
            startup_message("me", "it").escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }
}
