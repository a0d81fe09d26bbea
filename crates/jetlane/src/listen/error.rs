use jetlane_client::proto::{NameError, SubjectError};
use jetlane_lanes::StartError;

use crate::subscribe::WrongTopic;

/// Why a listener did not start. Nothing is heard then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The listener's name can not be one. The caller's fault.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A topic is no subject. The caller's fault.
    #[error("the topic {topic:?}: {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        source: SubjectError,
    },
    /// No handler was given. The caller's fault.
    #[error("the listener has no handler: add one with `on` or `on_raw`")]
    NoHandler,
    /// The server does not permit this user to subscribe to a topic. The operator's to change.
    #[error("this user may not subscribe to all topics of the listener")]
    Denied,
    /// The connection could not take a subscription: see there.
    #[error(transparent)]
    Subscribe(#[from] jetlane_client::SubscribeError),
    /// The lanes could not be started.
    #[error(transparent)]
    Lanes(#[from] StartError),
}

impl From<WrongTopic> for ListenError {
    fn from(WrongTopic { topic, source }: WrongTopic) -> Self {
        Self::Topic { topic, source }
    }
}
