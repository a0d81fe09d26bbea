//! The thread that drives a reactor for its client.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::{LONGEST_SLEEP, Made, Reactor, Turn, make};
use crate::options::ConnectOptions;
use crate::pending::Pending;
use crate::shared::{Driver, Shared};
use crate::sink::CloseReason;
use crate::{CloseError, ConnectError};

/// A reactor on a thread of its own.
pub(crate) struct Started {
    pub(crate) shared: Arc<Shared>,
    /// Comes when the connection stands, or can not be made.
    pub(crate) connected: Pending<Result<(), ConnectError>>,
}

/// Starts a reactor that connects to `url`.
pub(crate) fn start(url: &str, options: ConnectOptions) -> Result<Started, ConnectError> {
    let Made { reactor, shared, connected } = make(url, options, Driver::Thread)?;
    std::thread::Builder::new()
        .name("jetlane-io".into())
        .spawn(move || run(reactor))
        .map_err(ConnectError::Reactor)?;
    Ok(Started { shared, connected })
}

fn run(mut reactor: Reactor) {
    let shared = Arc::clone(&reactor.shared);
    shared.driven_here();
    // Whatever happens to the loop, those who wait for it must learn of it.
    let undone =
        std::panic::catch_unwind(AssertUnwindSafe(|| drive(&mut reactor))).unwrap_or_else(|_| {
            let end = AssertUnwindSafe(|| reactor.end(CloseReason::ReactorDied));
            let _ = std::panic::catch_unwind(end);
            CloseError::default()
        });
    drop(reactor);
    shared.ended.tell(undone);
}

fn drive(reactor: &mut Reactor) -> CloseError {
    loop {
        if let Turn::Over(undone) = reactor.turn(LONGEST_SLEEP) {
            return undone;
        }
    }
}
