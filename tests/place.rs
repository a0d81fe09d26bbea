//! The servers that a behaviour is the same on.

use std::io;

use jetlane_memory::MemoryServer;
use jetlane_testkit::Server;

/// Where something is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a real nats-server.
    Real,
    /// On the server in memory.
    Memory,
}

/// A server that was started for a test, empty; dropping it ends it.
#[derive(Debug)]
pub enum Started {
    /// A real nats-server.
    Real(Server),
    /// The server in memory.
    Memory(MemoryServer),
}

impl Place {
    /// Starts a server of this kind.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(self) -> Started {
        let started = match self {
            Self::Real => Server::start().map(Started::Real).map_err(io::Error::other),
            Self::Memory => MemoryServer::start().map(Started::Memory),
        };
        started.unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

impl Started {
    /// The port it listens on, of the loopback interface.
    pub fn port(&self) -> u16 {
        match self {
            Self::Real(server) => server.port(),
            Self::Memory(server) => server.address().port(),
        }
    }

    /// Where to connect to.
    pub fn url(&self) -> String {
        match self {
            Self::Real(server) => server.url(),
            Self::Memory(server) => server.url(),
        }
    }
}
