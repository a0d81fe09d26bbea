//! The socket of a link, plain or with TLS.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::quiet::Quiet;
use crate::tls::{TlsError, TlsStream};

/// Reads and writes bytes, and never waits.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: TcpStream,
    tls: Option<TlsStream>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    /// From now on all goes through TLS.
    pub(crate) fn begin_tls(&mut self, tls: TlsStream) {
        self.tls = Some(tls);
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// True while bytes that were taken wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(TlsStream::wants_write)
    }

    /// How many bytes were taken and wait for the socket; perhaps not all of them.
    pub(crate) fn held(&self) -> usize {
        self.tls.as_ref().map_or(0, TlsStream::held)
    }

    /// Why TLS has failed, if it has.
    pub(crate) fn take_tls_error(&mut self) -> Option<TlsError> {
        self.tls.as_mut()?.take_error()
    }

    /// Says that nothing more will come. What the peer still sends can be read.
    pub(crate) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.finish(&mut Quiet(&mut self.socket));
        }
        // It can only fail on a socket that is gone, which the next read finds out.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Read for Wire {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => tls.read(&mut Quiet(&mut self.socket), buffer),
        }
    }
}

impl Write for Wire {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(tls) => tls.write(&mut Quiet(&mut self.socket), bytes),
        }
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.tls {
            None => Quiet(&mut self.socket).write_vectored(slices),
            // One after the other: what was taken of one must not be forgotten over a failure of the next.
            Some(tls) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                tls.write(&mut Quiet(&mut self.socket), first.map_or(&[], |slice| slice))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.flush(&mut Quiet(&mut self.socket)),
        }
    }
}
