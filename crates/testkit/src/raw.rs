//! Sockets that say just what a test tells them to, right or wrong.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// No read and no write waits longer, unless [`RawSocket::set_limit`] says so.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// One end of a connection without any knowledge of the protocol but that it has lines.
#[derive(Debug)]
pub struct RawSocket {
    reader: BufReader<TcpStream>,
}

impl RawSocket {
    pub(crate) fn new(socket: TcpStream) -> io::Result<RawSocket> {
        socket.set_nodelay(true)?;
        let socket = RawSocket { reader: BufReader::new(socket) };
        socket.set_limit(LIMIT)?;
        Ok(socket)
    }

    /// How long a read or write may take from now on; half a minute at first. One that takes longer
    /// fails with [`ErrorKind::WouldBlock`] or [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// For a limit of zero.
    pub fn set_limit(&self, limit: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(Some(limit))?;
        self.socket().set_write_timeout(Some(limit))
    }

    /// The next line, without its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedEof`] when the peer has ended before the end of a line, and what a
    /// socket may fail with.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\n") else {
            let rest = line.escape_ascii();
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("no line but '{rest}'")));
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    /// The next line that starts with `prefix`; the ones before it are skipped.
    ///
    /// # Errors
    ///
    /// See [`RawSocket::line`].
    pub fn line_starting(&mut self, prefix: &str) -> io::Result<String> {
        loop {
            let line = self.line()?;
            if line.starts_with(prefix) {
                return Ok(line);
            }
        }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedEof`] when the peer ends before, and what a socket may fail with.
    pub fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// All that comes until the peer ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionReset`] when the peer ends by a reset, and what a socket may fail
    /// with.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes any bytes.
    ///
    /// # Errors
    ///
    /// When the connection has ended, or the peer reads too little for too long.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket().write_all(bytes.as_ref())
    }

    /// The same connection once more, to write to while this one reads. Each sees what it reads
    /// itself.
    ///
    /// # Errors
    ///
    /// When the system has no more descriptors.
    pub fn try_clone(&self) -> io::Result<RawSocket> {
        Ok(RawSocket { reader: BufReader::new(self.socket().try_clone()?) })
    }

    /// Ends what this side says (FIN); it can still read.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn finish(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }

    /// Closes the connection by a reset (RST). With clones of it, the last one to go resets it.
    ///
    /// # Errors
    ///
    /// When the system refuses the socket option that does it.
    pub fn reset(self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_linger(self.socket(), Some(Duration::ZERO))?)
    }

    fn socket(&self) -> &TcpStream {
        self.reader.get_ref()
    }
}

/// A client of a real server that writes whatever a test wants published. It is a [`RawSocket`]
/// that knows how to begin.
#[derive(Debug)]
pub struct Publisher {
    socket: RawSocket,
    info: String,
}

impl Publisher {
    /// Connects to the server at `port` and goes through the handshake of a client with headers.
    ///
    /// # Errors
    ///
    /// When there is no connection, and as [`Publisher::handshake`].
    pub fn connect(port: u16) -> io::Result<Publisher> {
        let mut publisher = Publisher::open(port)?;
        publisher.handshake(r#"{"verbose":false,"headers":true,"no_responders":true}"#)?;
        Ok(publisher)
    }

    /// Connects to the server at `port` and reads its INFO, but says nothing.
    ///
    /// # Errors
    ///
    /// When there is no connection, or no INFO comes.
    pub fn open(port: u16) -> io::Result<Publisher> {
        let mut socket = RawSocket::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)?;
        let line = socket.line()?;
        let Some(info) = line.strip_prefix("INFO ") else { return Err(io::Error::other(line)) };
        let info = info.trim_end().to_owned();
        Ok(Publisher { socket, info })
    }

    /// Sends CONNECT with the given JSON and PING, and reads the PONG.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionRefused`] with the answer when it is something else, such as
    /// `-ERR 'Authorization Violation'`; and what a socket may fail with.
    pub fn handshake(&mut self, connect: &str) -> io::Result<()> {
        self.send(format!("CONNECT {connect}\r\nPING\r\n"))?;
        match self.line()? {
            line if line == "PONG" => Ok(()),
            line => Err(io::Error::new(ErrorKind::ConnectionRefused, line)),
        }
    }

    /// The JSON of the INFO that the server began with.
    #[must_use]
    pub fn info(&self) -> &str {
        &self.info
    }
}

impl Deref for Publisher {
    type Target = RawSocket;

    fn deref(&self) -> &RawSocket {
        &self.socket
    }
}

impl DerefMut for Publisher {
    fn deref_mut(&mut self) -> &mut RawSocket {
        &mut self.socket
    }
}
