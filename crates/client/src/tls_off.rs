//! What stands in for TLS where it is not built in (without the feature `tls`): the same names, and an error.

use std::convert::Infallible;
use std::io::{self, Read, Write};

/// How TLS is done. This build has no TLS: turn on the feature `tls`.
#[derive(Clone, Debug)]
pub struct Tls {
    _none: Infallible,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// It was left out of this build.
    #[error("this build of jetlane has no TLS: turn on its feature `tls`")]
    NotBuilt,
}

/// There is none.
#[derive(Debug)]
pub(crate) enum TlsStream {}

/// There is no way.
pub(crate) fn usual() -> Result<Tls, TlsError> {
    Err(TlsError::NotBuilt)
}

impl Tls {
    pub(crate) fn is_first(&self) -> bool {
        false
    }

    pub(crate) fn open(&self, _: &str) -> Result<TlsStream, TlsError> {
        Err(TlsError::NotBuilt)
    }
}

impl TlsStream {
    pub(crate) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(crate) fn held(&self) -> usize {
        match *self {}
    }

    pub(crate) fn take_error(&mut self) -> Option<TlsError> {
        match *self {}
    }

    pub(crate) fn read(&mut self, _: &mut (impl Read + Write), _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn write(&mut self, _: &mut impl Write, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn flush(&mut self, _: &mut impl Write) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn finish(&mut self, _: &mut impl Write) {
        match *self {}
    }
}
