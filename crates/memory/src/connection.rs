use std::io::Read as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::{io, thread};

use crate::client_op::{MAX_PAYLOAD, Nonsense, read_op};
use crate::hub::Hub;
use crate::outgoing::Outgoing;
use crate::routes::ClientId;

/// The version whose behaviour is imitated.
pub(crate) const VERSION: &str = "2.15.1";

/// As much is read at once, and kept for a connection that says little.
const CHUNK: usize = 64 * 1024;

/// Serves one connection until it ends: this thread reads, and another one writes.
pub(crate) fn serve(hub: &Hub, socket: &TcpStream) -> io::Result<()> {
    // Without it an answer may wait for the ack of the one before.
    socket.set_nodelay(true)?;
    let outgoing = Arc::new(Outgoing::new(socket.try_clone()?));
    let Some(id) = hub.lock().join(Arc::clone(&outgoing)) else { return Ok(()) };
    let served = talk(hub, id, socket, &outgoing);
    hub.lock().forget(id);
    served
}

fn talk(hub: &Hub, id: ClientId, socket: &TcpStream, outgoing: &Outgoing) -> io::Result<()> {
    outgoing.push(&[greeting(socket, id)?.as_bytes()]);
    thread::scope(|scope| {
        let writer = thread::Builder::new().name("jetlane-memory-write".into());
        let writing = writer.spawn_scoped(scope, || outgoing.write());
        if writing.is_ok()
            && let Err(nonsense) = listen(hub, id, socket)
        {
            outgoing.push(&[format!("-ERR '{}'\r\n", nonsense.text()).as_bytes()]);
        }
        // Also ends the writer, once it has written what is queued.
        hub.lock().leave(id);
        writing.map(drop)
    })?;
    socket.shutdown(Shutdown::Both)
}

/// Does what the client says, until it leaves or talks nonsense.
fn listen(hub: &Hub, id: ClientId, mut socket: &TcpStream) -> Result<(), Nonsense> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK];
    // An error is an end like any other.
    while let Ok(read @ 1..) = socket.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..read]);
        let done = obey(hub, id, &bytes)?;
        bytes.drain(..done);
        bytes.shrink_to(CHUNK);
    }
    Ok(())
}

/// Does all that is said in full. Returns how many bytes that was.
fn obey(hub: &Hub, id: ClientId, bytes: &[u8]) -> Result<usize, Nonsense> {
    let mut state = hub.lock();
    let mut done = 0;
    while let Some((op, len)) = read_op(&bytes[done..])? {
        hub.apply(&mut state, id, &op);
        done += len;
    }
    Ok(done)
}

fn greeting(socket: &TcpStream, ClientId(id): ClientId) -> io::Result<String> {
    let address = socket.local_addr()?;
    let info = serde_json::json!({
        "server_id": "JETLANEMEMORY",
        "server_name": "jetlane-memory",
        "version": VERSION,
        "proto": 1,
        "go": "",
        "host": address.ip(),
        "port": address.port(),
        "headers": true,
        "max_payload": MAX_PAYLOAD,
        "jetstream": true,
        "client_id": id,
        "client_ip": socket.peer_addr()?.ip(),
        "api_lvl": 5,
    });
    Ok(format!("INFO {info} \r\n"))
}
