//! Holding a loopback port that no process listens on yet, or no longer.
//!
//! A port that a killed server leaves behind can be given to anyone before the restart, also to the
//! outgoing connection of a client that tries to reconnect to it. On Linux a socket that is bound
//! but never listens prevents that: connections to it are refused, the kernel gives the port to
//! nobody, and a server may still bind it because both sides set `SO_REUSEADDR`. Other systems
//! forbid the second bind, so there the port is only known, not held.

use std::io;

#[derive(Debug)]
pub(crate) struct HeldPort {
    port: u16,
    #[cfg(target_os = "linux")]
    _socket: rustix::fd::OwnedFd,
}

impl HeldPort {
    /// A port of the kernel's choice.
    pub(crate) fn any() -> io::Result<HeldPort> {
        bind(0)
    }

    /// The port that a server has just left.
    pub(crate) fn of(port: u16) -> io::Result<HeldPort> {
        bind(port)
    }

    pub(crate) fn number(&self) -> u16 {
        self.port
    }
}

#[cfg(target_os = "linux")]
fn bind(port: u16) -> io::Result<HeldPort> {
    use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
    use std::net::{Ipv4Addr, SocketAddrV4};

    let socket =
        net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    let bound = SocketAddrV4::try_from(net::getsockname(&socket)?)?;
    Ok(HeldPort { port: bound.port(), _socket: socket })
}

#[cfg(not(target_os = "linux"))]
fn bind(port: u16) -> io::Result<HeldPort> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    Ok(HeldPort { port: listener.local_addr()?.port() })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::wait::until;

    #[test]
    fn a_held_port_refuses_connections_and_lets_a_server_listen() {
        let held = HeldPort::any().unwrap();
        let address = ("127.0.0.1", held.number());
        assert_eq!(
            TcpStream::connect(address).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let server = TcpListener::bind(address).unwrap();
        TcpStream::connect(address).unwrap();
        drop(server);
        // A child that another test has just forked has the listener, too, until it is another program.
        let again = until(Duration::from_secs(10), || HeldPort::of(held.number()).ok()).unwrap();
        assert_eq!(again.number(), held.number());
    }

    #[test]
    fn the_kernel_gives_a_held_port_to_nobody_else() {
        let held: Vec<HeldPort> = (0..200).map(|_| HeldPort::any().unwrap()).collect();
        let listeners: Vec<TcpListener> =
            (0..200).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut ports: HashSet<u16> = held.iter().map(HeldPort::number).collect();
        ports.extend(listeners.iter().map(|listener| listener.local_addr().unwrap().port()));
        assert_eq!(ports.len(), 400);
    }
}
