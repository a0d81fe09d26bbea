use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use jetlane_proto::{Frame, HeaderView, Limits, MessageFrame, Parser, Span, Step};

use crate::Arena;

/// A message as it lies in the read buffer: valid only while the reactor hands it over.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    /// The whole frame.
    frame: &'a [u8],
    /// Positions in `frame`.
    at: MessageFrame,
}

/// A message that can be kept. Cloning shares its bytes.
#[derive(Clone)]
pub struct Message {
    frame: Bytes,
    at: MessageFrame,
}

impl<'a> MessageRef<'a> {
    #[inline]
    pub(crate) fn new(frame: &'a [u8], at: MessageFrame) -> Self {
        Self { frame, at }
    }

    /// The whole frame, as it came.
    #[inline]
    pub(crate) fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Reads a whole MSG or HMSG frame, and nothing else: for tests of sinks.
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        match Parser::new(&Limits::default()).next(frame) {
            Ok(Step::Frame(Frame::Message(at), len)) if len == frame.len() => {
                Some(Self { frame, at })
            }
            _ => None,
        }
    }

    /// The subject it was published to. Usually UTF-8, but a server does not check.
    #[inline]
    pub fn subject(&self) -> &'a [u8] {
        self.at.subject.of(self.frame)
    }

    /// Where an answer should go, if one is wanted.
    #[inline]
    pub fn reply(&self) -> Option<&'a [u8]> {
        (!self.at.reply.is_empty()).then(|| self.at.reply.of(self.frame))
    }

    /// The headers, if it has any.
    #[inline]
    pub fn headers(&self) -> Option<HeaderView<'a>> {
        (!self.at.headers.is_empty()).then(|| HeaderView::new(self.at.headers.of(self.frame)))
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.at.payload.of(self.frame)
    }

    /// How many bytes it takes on the wire, which is what limits in bytes count.
    #[inline]
    pub fn wire_len(&self) -> usize {
        self.frame.len()
    }

    /// A copy with memory of its own.
    pub(crate) fn to_own_message(self) -> Message {
        Message { frame: Bytes::copy_from_slice(self.frame), at: self.at }
    }

    /// A copy that can be kept.
    #[inline]
    pub fn to_message(&self, arena: &mut Arena) -> Message {
        Message { frame: arena.copy(self.frame), at: self.at }
    }
}

impl Message {
    /// A message whose parts are `at` these positions of its frame.
    #[inline]
    pub(crate) fn new(frame: Bytes, at: MessageFrame) -> Self {
        Self { frame, at }
    }

    /// The subject it was published to, with replacement characters if it is not UTF-8 (a server does not check).
    pub fn subject(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.subject_bytes())
    }

    /// The subject as it came.
    #[inline]
    pub fn subject_bytes(&self) -> &[u8] {
        self.at.subject.of(&self.frame)
    }

    /// Where an answer should go, if one is wanted.
    #[inline]
    pub fn reply(&self) -> Option<&[u8]> {
        (!self.at.reply.is_empty()).then(|| self.at.reply.of(&self.frame))
    }

    /// The headers, if it has any.
    #[inline]
    pub fn headers(&self) -> Option<HeaderView<'_>> {
        (!self.at.headers.is_empty()).then(|| HeaderView::new(self.at.headers.of(&self.frame)))
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.at.payload.of(&self.frame)
    }

    /// The payload as bytes that can be kept without the message; nothing is copied.
    pub fn payload_bytes(&self) -> Bytes {
        self.slice(self.at.payload)
    }

    /// Part of this message, as bytes that can be kept without it; nothing is copied. `part` must be a slice of this message, as its
    /// other methods give; of anything else a copy is made.
    pub fn share(&self, part: &[u8]) -> Bytes {
        let whole = self.frame.as_ptr_range();
        let inside = whole.contains(&part.as_ptr()) && part.as_ptr_range().end <= whole.end;
        if inside { self.frame.slice_ref(part) } else { Bytes::copy_from_slice(part) }
    }

    /// How many bytes it takes on the wire, which is what limits in bytes count.
    #[inline]
    pub fn wire_len(&self) -> usize {
        self.frame.len()
    }

    /// As handed over by the reactor.
    #[inline]
    pub fn as_message_ref(&self) -> MessageRef<'_> {
        MessageRef { frame: &self.frame, at: self.at }
    }

    fn slice(&self, span: Span) -> Bytes {
        self.frame.slice(span.range())
    }
}

impl<'a> From<&'a Message> for MessageRef<'a> {
    fn from(message: &'a Message) -> Self {
        message.as_message_ref()
    }
}

impl<'a> From<&MessageRef<'a>> for MessageRef<'a> {
    fn from(message: &MessageRef<'a>) -> Self {
        *message
    }
}

impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subject", &String::from_utf8_lossy(self.subject()))
            .field("reply", &self.reply().map(String::from_utf8_lossy))
            .field("headers", &self.headers())
            .field("payload_bytes", &self.payload().len())
            .finish()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_message_ref().fmt(f)
    }
}
