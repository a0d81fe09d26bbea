//! The names of the headers that letters and what is redriven have.

/// What all headers of a letter begin with, besides those of its event.
pub(crate) const LETTER: &str = "Jetlane-Letter-";
/// `dead` or `parked`.
pub(crate) const KIND: &str = "Jetlane-Letter-Kind";
/// Why, in words.
pub(crate) const REASON: &str = "Jetlane-Letter-Reason";
/// How often the handler was called for it, by the last process.
pub(crate) const ATTEMPTS: &str = "Jetlane-Letter-Attempts";
/// How often the server has delivered it.
pub(crate) const DELIVERIES: &str = "Jetlane-Letter-Deliveries";
/// Who could not handle it.
pub(crate) const SUBSCRIPTION: &str = "Jetlane-Letter-Subscription";
/// The subject it was published to.
pub(crate) const SUBJECT: &str = "Jetlane-Letter-Subject";
/// The stream that it stands in.
pub(crate) const STREAM: &str = "Jetlane-Letter-Stream";
/// Its place there. Of an event that was redriven and has failed again: the place of the first time, which its order is by.
pub(crate) const SEQUENCE: &str = "Jetlane-Letter-Sequence";
/// What its order is by, if it has such a key and that is text.
pub(crate) const KEY: &str = "Jetlane-Letter-Key";
/// When the letter was written.
pub(crate) const TIME: &str = "Jetlane-Letter-Time";
/// `omitted` if the payload is not in the letter.
pub(crate) const PAYLOAD: &str = "Jetlane-Letter-Payload";

/// What all headers of a redriven event begin with, besides its own.
pub(crate) const REDRIVE: &str = "Jetlane-Redrive-";
/// The subscription that it is for; others pass it over. Always the first header, where it costs nothing to look for it.
pub(crate) const REDRIVE_FOR: &str = "Jetlane-Redrive-For";
/// The place in the stream that the event had the first time.
pub(crate) const REDRIVE_SEQUENCE: &str = "Jetlane-Redrive-Sequence";
/// In an event of a parked key: up to here the letters of the key are redriven with it.
pub(crate) const REDRIVE_THROUGH: &str = "Jetlane-Redrive-Through";
/// In a marker: all letters of the key up to this sequence of the parking stream were redriven before it.
pub(crate) const REDRIVE_END: &str = "Jetlane-Redrive-End";
