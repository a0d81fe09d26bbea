//! What stands between a client and its server, and spoils what it is told to.

mod faults;
mod lane;
mod traffic;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use traffic::{Order, Traffic};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the client sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order: both peers read an end of file. What they send afterwards is read and lost.
    Fin,
    /// By a reset: both peers get an error.
    Rst,
}

/// A TCP proxy between clients and a server on loopback, with faults that a test switches on.
///
/// A fault is for one direction of all connections, those there are and those to come; only
/// [`Proxy::cut`] and [`Proxy::cut_after`] are for some. It is in force when the call that asks for
/// it returns, and what has not been forwarded by then is subject to it.
///
/// One thread does all the work. It ends, and all sockets are closed, when the proxy is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    orders: Sender<Order>,
    /// A byte interrupts the wait of the thread, and the end of the stream ends the thread.
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens for clients of the server at `upstream`, a port on 127.0.0.1. Nobody needs to listen
    /// there before a client comes; a client that finds nobody there is reset.
    ///
    /// # Errors
    ///
    /// When the system gives no sockets or no thread.
    pub fn start(upstream: u16) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let (orders, received) = mpsc::channel();
        let traffic = Traffic::new(listener, upstream);
        let thread = thread::Builder::new()
            .name(format!("proxy-{port}"))
            .spawn(move || traffic.run(&received, &woken))?;
        Ok(Proxy { port, orders, wake, thread: Some(thread) })
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

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.ask(|traffic| traffic.records.len())
    }

    /// Ends all connections there are, at once; what was on its way in the proxy is lost.
    pub fn cut(&self, end: End) {
        self.ask(move |traffic| traffic.cut_all(end));
    }

    /// Ends one connection when exactly `count` bytes of the direction have been forwarded, counted
    /// from the start of the connection: the first one that stands there. That may be one there is,
    /// if it has not come further, or one to come.
    ///
    /// It happens once per call; several calls cut several connections. A reset does not wait for a
    /// peer that does not read: what its kernel has not taken is lost, as on a real network.
    pub fn cut_after(&self, direction: Direction, count: u64, end: End) {
        self.ask(move |traffic| {
            traffic.faults(direction).cuts.push((count, end));
            traffic.make_cuts();
        });
    }

    /// Reads and forwards nothing more, so the sender runs against full buffers.
    pub fn stall(&self, direction: Direction) {
        self.ask(move |traffic| traffic.faults(direction).stalled = true);
    }

    /// Ends a [`Proxy::stall`]. Nothing was lost.
    pub fn go_on(&self, direction: Direction) {
        self.ask(move |traffic| traffic.faults(direction).stalled = false);
    }

    /// Reads and loses what comes.
    pub fn deafen(&self, direction: Direction) {
        self.ask(move |traffic| traffic.faults(direction).deaf = true);
    }

    /// Ends a [`Proxy::deafen`]. What was lost stays lost.
    pub fn hear(&self, direction: Direction) {
        self.ask(move |traffic| traffic.faults(direction).deaf = false);
    }

    /// How many bytes were lost to a [`Proxy::deafen`] so far, on all connections.
    #[must_use]
    pub fn lost(&self, direction: Direction) -> usize {
        self.ask(move |traffic| traffic.faults(direction).lost.len())
    }

    /// How many of the lost lines start with `prefix`, such as `MSG orders.`.
    #[must_use]
    pub fn lost_lines(&self, direction: Direction, prefix: &str) -> usize {
        let prefix = prefix.as_bytes().to_owned();
        self.ask(move |traffic| {
            let lines = traffic.faults(direction).lost.split(|byte| *byte == b'\n');
            lines.filter(|line| line.starts_with(&prefix)).count()
        })
    }

    /// Forwards in writes of `size` bytes at most; `None` ends that. Each write leaves at once, but
    /// a peer that is slow to read finds several of them together.
    pub fn slice(&self, direction: Direction, size: Option<usize>) {
        self.ask(move |traffic| traffic.faults(direction).slice = size);
    }

    /// Forwards so many bytes per second at most; `None` ends that.
    pub fn throttle(&self, direction: Direction, bytes_per_second: Option<u32>) {
        self.ask(move |traffic| traffic.faults(direction).rate = bytes_per_second);
    }

    /// Forwards everything so much later than it came, the end of the connection included. For what
    /// is read from now on; zero ends it.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.ask(move |traffic| traffic.faults(direction).delay = delay);
    }

    /// Lets `rewrite` change what is read, as a man in the middle would. It gets the bytes as they
    /// come, so a line may be split over two calls. A later rewrite replaces an earlier one.
    pub fn rewrite(
        &self,
        direction: Direction,
        rewrite: impl FnMut(&mut Vec<u8>) + Send + 'static,
    ) {
        self.ask(move |traffic| traffic.faults(direction).rewrite = Some(Box::new(rewrite)));
    }

    /// What was forwarded on the newest connection: its first MiB. Empty before the first one.
    #[must_use]
    pub fn seen(&self, direction: Direction) -> Vec<u8> {
        self.ask(move |traffic| traffic.newest(direction).seen)
    }

    /// What was forwarded on connection `index`, counted from 0 in the order they came: its first
    /// MiB. Empty when there is no such connection.
    #[must_use]
    pub fn seen_on(&self, index: usize, direction: Direction) -> Vec<u8> {
        self.ask(move |traffic| traffic.record(index, direction).seen)
    }

    /// How many bytes were forwarded on the newest connection; for a [`Proxy::cut_after`] that is
    /// to hit it.
    #[must_use]
    pub fn forwarded(&self, direction: Direction) -> u64 {
        self.ask(move |traffic| traffic.newest(direction).forwarded)
    }

    /// Has the thread do something between two turns of its work, and waits for the answer.
    fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Traffic) -> R + Send + 'static,
    ) -> R {
        let (answer, answered) = mpsc::channel();
        let order: Order = Box::new(move |traffic| {
            let _ = answer.send(question(traffic));
        });
        let _ = self.orders.send(order);
        let _ = (&self.wake).write(&[0]);
        answered.recv().expect("a proxy works until a rewrite panics")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.wake.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // It panicked if a rewrite did, and that has been shown.
            let _ = thread.join();
        }
    }
}
