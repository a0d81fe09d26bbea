//! What stands between a client and its server, and loses what it is told to.
//!
//! All of it panics when something fails, as tests do.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, mpsc};
use std::thread;

use jetlane_testkit::Server;

/// Between a client and its server. While it is deaf, what the server sends is lost; [`Proxy::cut`] then ends the
/// connection. Its threads end with the process, or with the sockets.
pub struct Proxy {
    port: u16,
    /// While it is set, what the server sends is lost.
    pub deaf: Arc<AtomicBool>,
    /// How many messages were lost.
    pub swallowed: Arc<AtomicUsize>,
    connections: mpsc::Receiver<TcpStream>,
}

impl Proxy {
    /// Listens for clients of `server`.
    pub fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (deaf, swallowed) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (accepted, connections) = mpsc::channel();
        let (upstream, is_deaf, counts) =
            (server.port(), Arc::clone(&deaf), Arc::clone(&swallowed));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) =
                    (client.unwrap(), TcpStream::connect(("127.0.0.1", upstream)).unwrap());
                if accepted.send(client.try_clone().unwrap()).is_err() {
                    return;
                }
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (deaf, counts) = (Arc::clone(&is_deaf), Arc::clone(&counts));
                thread::spawn(move || pump(from, to, |_| true));
                thread::spawn(move || {
                    pump(server, client, |bytes| {
                        let heard = !deaf.load(SeqCst);
                        if !heard {
                            let news = bytes.split(|&b| b == b'\n');
                            let messages =
                                news.filter(|line| line.starts_with(b"MSG s.n ")).count();
                            counts.fetch_add(messages, SeqCst);
                        }
                        heard
                    });
                });
            }
        });
        Self { port, deaf, swallowed, connections }
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends all connections there are.
    pub fn cut(&self) {
        for connection in self.connections.try_iter() {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Copies what pleases `passes` until an end is closed.
fn pump(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 65536];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) if !passes(&bytes[..count]) => {}
            Ok(count) if to.write_all(&bytes[..count]).is_err() => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
