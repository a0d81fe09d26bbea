use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use crate::hub::Hub;
use crate::{connection, timer};

/// A NATS server with JetStream in this process. Dropping it ends it: connections are closed, what was stored is gone, and its
/// threads have ended.
///
/// It listens on a free port of the loopback interface, without authentication: every program of this machine can connect.
pub struct MemoryServer {
    hub: Arc<Hub>,
    address: SocketAddr,
    /// `Some` until it is dropped.
    acceptor: Option<JoinHandle<()>>,
    timer: Option<JoinHandle<()>>,
}

impl MemoryServer {
    /// Starts a server that stores nothing yet. It is ready when this returns.
    ///
    /// # Errors
    /// If the system has no port or thread left for it.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut server = Self { hub: Arc::default(), address, acceptor: None, timer: None };
        let hub = Arc::clone(&server.hub);
        server.timer = Some(spawn("jetlane-memory-time", move || timer::run(&hub))?);
        let hub = Arc::clone(&server.hub);
        server.acceptor = Some(spawn("jetlane-memory", move || accept(&hub, &listener))?);
        Ok(server)
    }

    /// Where to connect to, as NATS clients take it: `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes connections, each on a thread of its own, until all is over; then waits for the last of them.
fn accept(hub: &Arc<Hub>, listener: &TcpListener) {
    let mut serving: Vec<JoinHandle<()>> = Vec::new();
    for socket in listener.incoming() {
        if hub.lock().is_over {
            break;
        }
        serving.retain(|thread| !thread.is_finished());
        // One that fails is no reason to refuse the next.
        let Ok(socket) = socket else { continue };
        let hub = Arc::clone(hub);
        let serve = move || drop(connection::serve(&hub, &socket));
        serving.extend(spawn("jetlane-memory-read", serve));
    }
    serving.into_iter().for_each(|thread| drop(thread.join()));
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(run)
}

impl Drop for MemoryServer {
    fn drop(&mut self) {
        self.hub.lock().end();
        self.hub.sooner.notify_all();
        // It waits for connections, and sees the end with the next one. Without that it would never end, so it is not waited for.
        let woken = TcpStream::connect(self.address);
        let acceptor = self.acceptor.take().filter(|_| woken.is_ok());
        [acceptor, self.timer.take()].into_iter().flatten().for_each(|thread| drop(thread.join()));
    }
}

impl fmt::Debug for MemoryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryServer").field("address", &self.address).finish_non_exhaustive()
    }
}
