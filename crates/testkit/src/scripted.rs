//! A server that is none: it says just what a test tells it to.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::raw::{LIMIT, RawSocket};

/// A hostile server on loopback. Clients connect to it, and the test plays its part.
#[derive(Debug)]
pub struct Scripted {
    listener: TcpListener,
    port: u16,
}

impl Scripted {
    /// The JSON of the INFO that [`Scripted::accept`] sends: of a server with headers that takes
    /// 1 MiB.
    pub const INFO: &str =
        r#"{"server_id":"T","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576}"#;

    /// Listens on a port of the kernel's choice.
    ///
    /// # Errors
    ///
    /// When the system gives no socket.
    pub fn start() -> io::Result<Scripted> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        Ok(Scripted { listener, port })
    }

    /// Where clients connect to: `nats://127.0.0.1:` and the port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a client and goes through the handshake with it.
    ///
    /// # Errors
    ///
    /// As [`Scripted::accept_saying`].
    pub fn accept(&self) -> io::Result<RawSocket> {
        self.accept_saying(Scripted::INFO)
    }

    /// Waits for a client, sends the given JSON as INFO, and answers the first PING.
    ///
    /// # Errors
    ///
    /// As [`Scripted::accept_silently`], and when the client ends before it pings.
    pub fn accept_saying(&self, info: &str) -> io::Result<RawSocket> {
        let mut socket = self.accept_silently()?;
        socket.send(format!("INFO {info} \r\n"))?;
        while socket.line()? != "PING" {}
        socket.send("PONG\r\n")?;
        Ok(socket)
    }

    /// Waits for a client and says nothing to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] when nobody comes within half a minute, and what a listener may fail
    /// with.
    pub fn accept_silently(&self) -> io::Result<RawSocket> {
        let limit = Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
        let mut sockets = [PollFd::new(&self.listener, PollFlags::IN)];
        match rustix::io::retry_on_intr(|| poll(&mut sockets, Some(&limit)))? {
            0 => Err(io::Error::new(ErrorKind::TimedOut, "no client came")),
            _ => RawSocket::new(self.listener.accept()?.0),
        }
    }
}
