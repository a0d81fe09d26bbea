/// A value could not become an event. The fault of who made the value, or of its type: nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event {event_type:?} can not be written as {content_type}: {reason}")]
#[non_exhaustive]
pub struct EncodeError {
    /// The type of the event.
    pub event_type: &'static str,
    /// The media type that it was to be written as.
    pub content_type: &'static str,
    /// Why not, in words.
    pub reason: String,
}

/// An event could not be read as the type that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The event is of another type. The fault of who reads it.
    #[error("the event is a {found:?}, and a {expected:?} was asked for")]
    OtherType {
        /// The type that was asked for.
        expected: &'static str,
        /// That of the event.
        found: String,
    },
    /// The event is of a version that came after this program. Nobody's fault: the program is to be brought up to date, and the event
    /// redriven.
    #[error(
        "the {event_type:?} has version {found}, and this program knows those up to {known}: it has to be brought up to date"
    )]
    NewerVersion {
        /// The type of the event.
        event_type: &'static str,
        /// The newest version that this program knows.
        known: i64,
        /// That of the event.
        found: i64,
    },
    /// The event says of itself that its payload is in another encoding. The fault of who published it.
    #[error("the {event_type:?} is {found:?}, and is read as {expected:?} here")]
    OtherContentType {
        /// The type of the event.
        event_type: &'static str,
        /// The media type that is read.
        expected: &'static str,
        /// What the event says.
        found: String,
    },
    /// The payload stands for no such value. The fault of who published it, or of who changed the type and not its version.
    #[error("the payload of the {event_type:?} is no such event in {content_type}: {reason}")]
    Payload {
        /// The type of the event.
        event_type: &'static str,
        /// The media type that it was read as.
        content_type: &'static str,
        /// Why not, in words.
        reason: String,
    },
}
