//! The little of PostgreSQL's protocol that these tests need. Every read has a deadline.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Session(UnixStream);

impl Session {
    pub(crate) fn open(socket_folder: &Path) -> Session {
        let stream = UnixStream::connect(socket_folder.join(".s.PGSQL.5432")).unwrap();
        stream.set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
        let mut session = Session(stream);
        session.send_body(None, b"\0\x03\0\0user\0postgres\0database\0postgres\0\0");
        session.rows().unwrap();
        session
    }

    /// The first column of each row.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<String> {
        self.send(sql);
        self.rows().unwrap()
    }

    pub(crate) fn send(&mut self, sql: &str) {
        self.send_body(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat());
    }

    /// Reads the answer to what was sent; an error of the server is one of the kind "other".
    pub(crate) fn rows(&mut self) -> io::Result<Vec<String>> {
        let mut rows = Vec::new();
        loop {
            match self.message()? {
                (b'Z', _) => return Ok(rows),
                (b'D', body) => {
                    // The number of columns and the length of the first one come before it.
                    let length = u32::from_be_bytes(body[2..6].try_into().unwrap());
                    let text = body[6..][..length.try_into().unwrap()].to_vec();
                    rows.push(String::from_utf8(text).unwrap());
                }
                (b'E', body) => return Err(io::Error::other(body.escape_ascii().to_string())),
                _ => {}
            }
        }
    }

    /// Reads up to the first notice.
    pub(crate) fn notice(&mut self) {
        while self.message().unwrap().0 != b'N' {}
    }

    pub(crate) fn set_answer_limit(&self, limit: Duration) {
        self.0.set_read_timeout(Some(limit)).unwrap();
    }

    fn send_body(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap();
        let message: Vec<u8> =
            kind.into_iter().chain(length.to_be_bytes()).chain(body.iter().copied()).collect();
        self.0.write_all(&message).unwrap();
    }

    fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        self.0.read_exact(&mut body)?;
        Ok((kind, body))
    }
}
