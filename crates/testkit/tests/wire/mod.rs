//! The little of the wire protocol that these tests need. Every read has a deadline.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    pub(crate) info: String,
}

impl Connection {
    /// Connects and subscribes to the answers of [`Connection::request`].
    pub(crate) fn open(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut connection = Connection { reader: BufReader::new(stream), info: String::new() };
        connection.info = connection.line();
        connection.send("CONNECT {\"verbose\":false}\r\nSUB answers 1\r\nPING\r\n");
        assert_eq!(connection.line(), "PONG");
        connection
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn request(&mut self, subject: &str, payload: &str) -> String {
        self.send(&format!("PUB {subject} answers {}\r\n{payload}\r\n", payload.len()));
        let head = self.line();
        assert!(head.starts_with("MSG answers 1 "), "{head}");
        self.line()
    }

    pub(crate) fn line(&mut self) -> String {
        self.line_within(ANSWER_LIMIT).expect("the server answers in time")
    }

    pub(crate) fn line_within(&mut self, limit: Duration) -> Option<String> {
        self.reader.get_ref().set_read_timeout(Some(limit)).unwrap();
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether the process runs. One that has ended counts as gone, also before its parent has taken
/// note of it.
pub(crate) fn is_alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

#[cfg(target_os = "linux")]
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(not(target_os = "linux"))]
fn state(pid: u32) -> Option<char> {
    let pid = pid.to_string();
    let output = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid]).output();
    let output = output.expect("these tests need ps");
    String::from_utf8_lossy(&output.stdout).trim().chars().next()
}
