//! Events of the connection, for those who collect them with `tracing`.

use tracing::{debug, error, info, warn};

use crate::Event;

/// Reports `event` under the target `jetlane`.
pub(crate) fn report(event: &Event) {
    match event {
        Event::Connected { server } => info!(target: "jetlane", server, "connected"),
        Event::Reconnected { server } => info!(target: "jetlane", server, "reconnected"),
        Event::Moved { from, to } => info!(target: "jetlane", from, to, "moved"),
        Event::Disconnected { server, reason, .. } => {
            warn!(target: "jetlane", server, reason, "disconnected");
        }
        Event::ConnectFailed { server, reason, .. } => {
            warn!(target: "jetlane", server, reason, "connecting failed");
        }
        Event::LameDuck { server } => {
            warn!(target: "jetlane", server, "the server is about to stop")
        }
        Event::SlowConsumer { subject, sid, dropped } => {
            warn!(target: "jetlane", subject, sid, dropped, "slow consumer");
        }
        Event::ServerError(reason) => error!(target: "jetlane", %reason, "the server complained"),
        Event::ServersDiscovered { servers } => debug!(target: "jetlane", ?servers, "discovered"),
        Event::Closed => info!(target: "jetlane", "closed"),
        Event::Missed { .. } => {}
    }
}
