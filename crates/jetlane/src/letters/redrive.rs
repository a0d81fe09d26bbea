//! What is redriven, as a subscription meets it among its events.

use jetlane_client::{HeaderView, Message};

use super::header::{REDRIVE_END, REDRIVE_FOR, REDRIVE_SEQUENCE, REDRIVE_THROUGH};

/// How the header block of all that is redriven begins: with [`REDRIVE_FOR`].
const FIRST_LINE: &[u8] = b"NATS/1.0\r\nJetlane-Redrive-For:";

/// What the headers of a redriven event say, or of the marker behind the last one of a parked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redrive<'a> {
    /// The subscription it is for.
    pub(crate) subscription: &'a [u8],
    /// The place in the stream that the event had the first time.
    pub(crate) sequence: Option<u64>,
    /// Of an event of a parked key: the letters that are redriven with it reach up to here.
    pub(crate) through: Option<u64>,
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
        // Every event is asked, and nearly none is one: so by comparing a few bytes, before anything is taken apart.
        match headers.as_bytes().starts_with(FIRST_LINE) {
            true => Self::read(headers),
            false => None,
        }
    }

    #[cold]
    fn read(headers: HeaderView<'a>) -> Option<Self> {
        let number = |name| str::from_utf8(headers.get(name)?).ok()?.parse().ok();
        let subscription = headers.get(REDRIVE_FOR)?;
        let (sequence, through) = (number(REDRIVE_SEQUENCE), number(REDRIVE_THROUGH));
        Some(Self { subscription, sequence, through, end: number(REDRIVE_END) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_by_its_first_header() {
        for (block, expected) in [
            (&b"NATS/1.0\r\nJetlane-Redrive-For: s\r\n\r\n"[..], Some((&b"s"[..], None, None))),
            (
                b"NATS/1.0\r\nJetlane-Redrive-For:s\r\nJetlane-Redrive-Sequence: 7\r\n\r\n",
                Some((b"s", Some(7), None)),
            ),
            (
                b"NATS/1.0\r\nJetlane-Redrive-For: s\r\nJetlane-Redrive-End: 9\r\n\r\n",
                Some((b"s", None, Some(9))),
            ),
            (
                b"NATS/1.0\r\nJetlane-Redrive-For: s\r\nJetlane-Redrive-End: x\r\n\r\n",
                Some((b"s", None, None)),
            ),
            (b"NATS/1.0\r\nA: 1\r\nJetlane-Redrive-For: s\r\n\r\n", None),
            (b"NATS/1.0\r\nJetlane-Redrive-Forth: s\r\n\r\n", None),
            (b"NATS/1.0\r\n\r\n", None),
            (b"", None),
        ] {
            let read = Redrive::of_headers(HeaderView::new(block));
            let read = read.map(|redrive| (redrive.subscription, redrive.sequence, redrive.end));
            assert_eq!(read, expected, "{}", block.escape_ascii());
        }
    }
}
