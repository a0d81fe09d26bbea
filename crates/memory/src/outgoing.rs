use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use parking_lot::{Condvar, Mutex};

/// A client that reads so much more slowly than it is sent to is cut off, as by a nats-server.
const MOST_PENDING: usize = 64 * 1024 * 1024;

/// What is to be written to a client, by a thread of its own: who has something to say never waits for it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    socket: TcpStream,
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    ended: bool,
}

impl Outgoing {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, pending: Mutex::default(), changed: Condvar::default() }
    }

    /// Queues bytes. After the end they go nowhere.
    pub(crate) fn push(&self, parts: &[&[u8]]) {
        let mut pending = self.pending.lock();
        if pending.ended {
            return;
        }
        parts.iter().for_each(|part| pending.bytes.extend_from_slice(part));
        let is_too_slow = pending.bytes.len() > MOST_PENDING;
        drop(pending);
        self.changed.notify_one();
        if is_too_slow {
            self.cut();
        }
    }

    /// Ends the connection, whatever was still to be written.
    pub(crate) fn cut(&self) {
        self.end();
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Nothing more comes. What is queued is still written.
    pub(crate) fn end(&self) {
        self.pending.lock().ended = true;
        self.changed.notify_one();
    }

    /// Writes what comes, until the end, or until it can not be written.
    pub(crate) fn write(&self) {
        let mut socket = &self.socket;
        let mut bytes = Vec::new();
        loop {
            {
                let mut pending = self.pending.lock();
                while pending.bytes.is_empty() && !pending.ended {
                    self.changed.wait(&mut pending);
                }
                std::mem::swap(&mut bytes, &mut pending.bytes);
            }
            if bytes.is_empty() || socket.write_all(&bytes).is_err() {
                break;
            }
            bytes.clear();
        }
        self.cut();
    }
}
