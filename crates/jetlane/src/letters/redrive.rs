//! What is redriven, as a subscription meets it among its events.

use jetlane_client::{HeaderView, Message};

use super::header::{REDRIVE_END, REDRIVE_FOR, REDRIVE_SEQUENCE};

/// What the headers of a redriven event say, or of the marker behind the last one of a parked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redrive<'a> {
    /// The subscription it is for.
    pub(crate) subscription: &'a [u8],
    /// The place in the stream that the event had the first time.
    pub(crate) sequence: Option<u64>,
    /// In a marker: the letters of the key up to here were redriven.
    pub(crate) end: Option<u64>,
}

impl<'a> Redrive<'a> {
    /// `None` for an event as any other, which is told by its first header.
    #[inline]
    pub(crate) fn of(message: &'a Message) -> Option<Self> {
        Self::of_headers(message.headers()?)
    }

    #[inline]
    pub(crate) fn of_headers(headers: HeaderView<'a>) -> Option<Self> {
        let (name, subscription) = headers.iter().next()?;
        (name == REDRIVE_FOR.as_bytes()).then(|| Self::read(headers, subscription))
    }

    #[cold]
    fn read(headers: HeaderView<'a>, subscription: &'a [u8]) -> Self {
        let number = |name| str::from_utf8(headers.get(name)?).ok()?.parse().ok();
        Self { subscription, sequence: number(REDRIVE_SEQUENCE), end: number(REDRIVE_END) }
    }
}
