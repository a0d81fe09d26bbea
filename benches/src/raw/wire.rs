use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How much is read and written at once.
pub(super) const CHUNK: usize = 128 << 10;

const PATIENCE: Duration = Duration::from_secs(30);

/// A bare socket on which the handshake was done.
pub(super) struct Wire {
    pub(super) socket: TcpStream,
    buffer: Vec<u8>,
    /// What is read and not yet taken: `start..end` of the buffer.
    start: usize,
    end: usize,
}

impl Wire {
    pub(super) fn connect(url: &str) -> Result<Self> {
        let address = url.strip_prefix("nats://").unwrap_or(url);
        let socket = TcpStream::connect(address).with_context(|| format!("connecting to {url}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut wire = Self { socket, buffer: vec![0; 2 * CHUNK], start: 0, end: 0 };
        let info = wire.line()?;
        ensure!(info.starts_with("INFO "), "the server greets with {info:?}");
        wire.send(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\
            \"no_responders\":true,\"lang\":\"raw\",\"version\":\"1\",\"protocol\":1}\r\n",
        )?;
        wire.barrier()?;
        Ok(wire)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Waits until the server has processed all that was sent. Only when nothing else is expected.
    pub(super) fn barrier(&mut self) -> Result<()> {
        self.send(b"PING\r\n")?;
        loop {
            match self.line()?.as_str() {
                "PONG" => return Ok(()),
                "PING" => self.send(b"PONG\r\n")?,
                line if line.starts_with("INFO ") => {}
                line => bail!("the server says {line:?}"),
            }
        }
    }

    /// What is read and not yet taken.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The first `count` bytes of it are done with.
    pub(super) fn take(&mut self, count: usize) {
        self.start += count;
    }

    /// Reads more, behind what is there.
    pub(super) fn read(&mut self) -> Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        let count = self.socket.read(&mut self.buffer[self.end..]).context("reading")?;
        ensure!(count > 0, "the server closed the connection");
        self.end += count;
        Ok(())
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.unread()) {
                let line = String::from_utf8_lossy(&self.unread()[..end]).trim_end().to_string();
                self.take(end + 1);
                return Ok(line);
            }
            self.read()?;
        }
    }
}

/// What a frame is, as far as anybody here wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Message {
        reply: &'a [u8],
        len: usize,
    },
    /// A message with headers: from a JetStream server that has nothing to say.
    Status {
        len: usize,
    },
    Ping {
        len: usize,
    },
    Other {
        len: usize,
    },
}

/// The frame at the beginning of `input`, once it is whole.
pub(super) fn frame(input: &[u8]) -> Result<Option<Frame<'_>>> {
    let Some(line_len) = memchr::memchr(b'\n', input).map(|at| at + 1) else { return Ok(None) };
    let line = &input[..line_len.saturating_sub(2)];
    let frame = match line.first() {
        Some(b'M' | b'H') => {
            let size_at = memchr::memrchr(b' ', line).context("a message without a size")?;
            let size: usize = std::str::from_utf8(&line[size_at + 1..])?.parse()?;
            let len = line_len + size + 2;
            if input.len() < len {
                return Ok(None);
            }
            if line[0] == b'H' {
                return Ok(Some(Frame::Status { len }));
            }
            let before = &line[..size_at];
            let reply = memchr::memrchr(b' ', before).map_or(&[][..], |at| &before[at + 1..]);
            Frame::Message { reply, len }
        }
        Some(b'P') if line == b"PING" => Frame::Ping { len: line_len },
        Some(b'-') => bail!("the server says {:?}", String::from_utf8_lossy(line)),
        _ => Frame::Other { len: line_len },
    };
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        for (input, expected) in [
            ("", None),
            ("MSG a 1 5\r\nhell", None),
            ("MSG a 1 r.1 2\r\nok\r\nPING", Some(Frame::Message { reply: b"r.1", len: 19 })),
            ("HMSG a 1 16 16\r\nNATS/1.0 408\r\n\r\n\r\n", Some(Frame::Status { len: 34 })),
            ("PING\r\n", Some(Frame::Ping { len: 6 })),
            ("PONG\r\n", Some(Frame::Other { len: 6 })),
        ] {
            assert_eq!(frame(input.as_bytes()).unwrap(), expected, "{input:?}");
        }
        assert!(frame(b"-ERR 'no'\r\n").is_err());
    }
}
