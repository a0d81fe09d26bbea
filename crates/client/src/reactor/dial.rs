//! The way from a server's URL to a socket that is being connected. What may take long is done on a thread of its own.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::time::Instant;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::ServerUrl;
use crate::contain::contain;
use crate::options::{AddressOrder, Hooks, SocketOptions};
use crate::shared::Shared;

/// What was found at the end of the way.
#[derive(Debug)]
pub(crate) enum Found {
    /// Addresses to try.
    Addresses(Vec<SocketAddr>),
    /// A socket that the user's dialer has made.
    Socket(std::net::TcpStream),
}

/// A search on a thread of its own. Forgotten, it ends by itself.
#[derive(Debug)]
pub(crate) struct Search {
    found: mpsc::Receiver<io::Result<Found>>,
    has_ended: Arc<AtomicBool>,
    /// When it is given up.
    deadline: Instant,
}

impl Search {
    /// When it is to be looked at. It may have ended before anybody slept.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        if self.has_ended.load(Ordering::Acquire) { now } else { self.deadline }
    }

    /// What it has come to, if it has by `now`.
    pub(crate) fn look(&self, now: Instant) -> Option<io::Result<Found>> {
        match self.found.try_recv() {
            Ok(found) => Some(found),
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::other("the search died"))),
            Err(TryRecvError::Empty) if now >= self.deadline => {
                Some(Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
            }
            Err(TryRecvError::Empty) => None,
        }
    }
}

/// The address that `url` itself names, if it does and no dialer is to be asked.
pub(crate) fn literal_address(url: &ServerUrl, hooks: &Hooks) -> Option<SocketAddr> {
    let address: IpAddr = url.host.parse().ok()?;
    hooks.dial.is_none().then_some(SocketAddr::new(address, url.port))
}

/// Begins to look for `url`; the reactor of `shared` is woken when something was found.
pub(crate) fn search(
    url: &ServerUrl,
    hooks: &Hooks,
    shared: &Arc<Shared>,
    deadline: Instant,
) -> io::Result<Search> {
    let (tell, found) = mpsc::channel();
    let has_ended = Arc::<AtomicBool>::default();
    let ended = Arc::clone(&has_ended);
    let (url, hooks, shared) = (url.clone(), hooks.clone(), Arc::clone(shared));
    std::thread::Builder::new().name("jetlane-dial".into()).spawn(move || {
        // What is the user's may panic.
        let found = contain(&shared.counters, || find(&url, &hooks));
        // Nobody may be there to hear it any more.
        let _ = tell.send(found.unwrap_or_else(|| Err(io::Error::other("it panicked"))));
        ended.store(true, Ordering::Release);
        shared.end_turn();
    })?;
    Ok(Search { found, has_ended, deadline })
}

fn find(url: &ServerUrl, hooks: &Hooks) -> io::Result<Found> {
    if let Some(dial) = &hooks.dial {
        return dial(url).map(Found::Socket);
    }
    let addresses = match &hooks.resolve {
        Some(resolve) => resolve(&url.host, url.port)?,
        None => (url.host.as_str(), url.port).to_socket_addrs()?.collect(),
    };
    match addresses.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        false => Ok(Found::Addresses(addresses)),
    }
}

/// Puts addresses into the order they are to be tried in.
pub(crate) fn arrange(addresses: &mut [SocketAddr], order: AddressOrder) {
    if order != AddressOrder::Resolver {
        fastrand::shuffle(addresses);
    }
    match order {
        AddressOrder::Ipv4First => addresses.sort_by_key(SocketAddr::is_ipv6),
        AddressOrder::Ipv6First => addresses.sort_by_key(SocketAddr::is_ipv4),
        AddressOrder::Random | AddressOrder::Resolver => {}
    }
}

/// Begins to connect to `address`.
pub(crate) fn connect(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(local) = options.local_address {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Whether the handshake goes on behind: also after a signal.
#[cfg(unix)]
fn is_under_way(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let goes_on = [Errno::INPROGRESS, Errno::INTR].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|error| goes_on.contains(&error))
}

#[cfg(not(unix))]
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_tried_in_the_order_asked_for() {
        let text = ["10.0.0.1:1", "[::1]:1", "10.0.0.2:1", "[::2]:1"];
        let given: Vec<SocketAddr> = text.iter().map(|text| text.parse().unwrap()).collect();
        let mut firsts = std::collections::HashSet::new();
        for _ in 0..200 {
            let arranged = |order| {
                let mut addresses = given.clone();
                arrange(&mut addresses, order);
                addresses
            };
            assert_eq!(arranged(AddressOrder::Resolver), given);
            assert!(arranged(AddressOrder::Ipv4First)[..2].iter().all(SocketAddr::is_ipv4));
            assert!(arranged(AddressOrder::Ipv6First)[..2].iter().all(SocketAddr::is_ipv6));
            firsts.insert(arranged(AddressOrder::Random)[0]);
        }
        assert_eq!(firsts.len(), 4, "each comes first at times");
    }
}
