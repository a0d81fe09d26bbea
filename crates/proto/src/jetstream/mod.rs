//! What JetStream sends on top of plain messages, and when to ask it for more.

mod delivery;
mod pub_ack;
mod pull;
mod status;

pub use delivery::Delivery;
pub use pub_ack::{PubAck, PubAckError};
pub use pull::{PullConfig, PullEvent, PullRequest, PullScheduler};
pub use status::PullStatus;
