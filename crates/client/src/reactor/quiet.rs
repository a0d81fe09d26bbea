//! Writing to a socket without `SIGPIPE`, whatever the process does with that signal.
//!
//! Rust's runtime ignores it, but a library may be called by programs that do not have that runtime. The standard library's `write`
//! asks for no signal, its `write_vectored` does not.

use std::io::{self, IoSlice, Read, Write};

use mio::net::TcpStream;

/// A socket that fails, and does no more, when the peer is gone.
#[derive(Debug)]
pub(super) struct Quiet<'a>(pub(super) &'a mut TcpStream);

impl Read for Quiet<'_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Quiet<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.0, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn send(socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
    let nothing_else = &mut SendAncillaryBuffer::default();
    Ok(sendmsg(socket, slices, nothing_else, SendFlags::NOSIGNAL)?)
}

/// Here the socket itself knows that no signal is wanted, or there are none.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn send(mut socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    socket.write_vectored(slices)
}
