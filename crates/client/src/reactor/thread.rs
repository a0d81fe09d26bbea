//! The thread that drives a reactor for its client.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::{LONGEST_SLEEP, Made, Reactor, Turn, make};
use crate::ConnectError;
use crate::options::ConnectOptions;
use crate::shared::{Driver, Shared};
use crate::sink::CloseReason;

/// Starts a reactor that connects to `url`, and waits until the connection stands.
pub(crate) fn start(url: &str, options: ConnectOptions) -> Result<Arc<Shared>, ConnectError> {
    let Made { reactor, shared, connected } = make(url, options, Driver::Thread)?;
    std::thread::Builder::new()
        .name("jetlane-io".into())
        .spawn(move || run(reactor))
        .map_err(ConnectError::Reactor)?;
    connected.wait()?;
    Ok(shared)
}

fn run(mut reactor: Reactor) {
    let shared = Arc::clone(&reactor.shared);
    shared.driven_here();
    // Whatever happens to the loop, those who wait for it must learn of it.
    let unwritten = std::panic::catch_unwind(AssertUnwindSafe(|| drive(&mut reactor)))
        .unwrap_or_else(|_| {
            let end = AssertUnwindSafe(|| reactor.end(CloseReason::ReactorDied));
            let _ = std::panic::catch_unwind(end);
            0
        });
    drop(reactor);
    shared.ended.tell(unwritten);
}

fn drive(reactor: &mut Reactor) -> usize {
    loop {
        if let Turn::Over { unwritten } = reactor.turn(LONGEST_SLEEP) {
            return unwritten;
        }
    }
}
