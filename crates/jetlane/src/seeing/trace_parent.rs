use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use crate::Envelope;

/// Which trace an event belongs to, and which span it comes from, as W3C Trace Context writes it in `traceparent`.
///
/// An envelope carries it as its trace id, in every form: as a CloudEvent in the attribute `traceparent`. With the feature `tracing` the
/// span of a handler has it as its fields `trace_id` and `parent_id`.
///
/// ```
/// use jetlane::{Envelope, TraceParent};
///
/// let parent: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?;
/// let event = Envelope::new("order-42", "OrderCreated", "{}").with_trace_parent(parent);
/// assert_eq!(event.trace_parent(), Some(parent));
/// # Ok::<(), jetlane::TraceParentError>(())
/// ```
///
/// Of a span of OpenTelemetry the ids are `u128::from_be_bytes(context.trace_id().to_bytes())` and
/// `u64::from_be_bytes(context.span_id().to_bytes())`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: NonZeroU128,
    parent_id: NonZeroU64,
    flags: u8,
}

/// Why a text is no `traceparent`. The fault of who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no W3C traceparent: it is written as 00-<32 hexadecimal digits>-<16 of them>-<2 of them>, in lower case, no id all zeros"
)]
#[non_exhaustive]
pub struct TraceParentError;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;
/// Version, trace id, parent id and flags, with a hyphen between.
const LEN: usize = 55;

impl TraceParent {
    /// A trace, and a span in it. Not sampled, unless [`TraceParent::sampled`] says so.
    pub fn new(trace_id: NonZeroU128, parent_id: NonZeroU64) -> Self {
        Self { trace_id, parent_id, flags: 0 }
    }

    /// The same, of a trace that is recorded.
    #[must_use]
    pub fn sampled(self) -> Self {
        Self { flags: self.flags | SAMPLED, ..self }
    }

    /// The same trace, from another span in it.
    #[must_use]
    pub fn with_parent_id(self, parent_id: NonZeroU64) -> Self {
        Self { parent_id, ..self }
    }

    /// The trace.
    pub fn trace_id(&self) -> u128 {
        self.trace_id.get()
    }

    /// The span in it.
    pub fn parent_id(&self) -> u64 {
        self.parent_id.get()
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    fn parse(text: &str) -> Option<Self> {
        // A later version may have more behind a hyphen; the first has not.
        let (known, more) = text.split_at_checked(LEN)?;
        let mut parts = known.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = NonZeroU128::new(hex(parts.next()?, 32)?)?;
        let parent_id = NonZeroU64::new(u64::try_from(hex(parts.next()?, 16)?).ok()?)?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let is_whole = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        is_whole.then_some(Self { trace_id, parent_id, flags })
    }
}

/// So many digits of a number.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_hex = text.len() == digits && text.bytes().all(is_digit);
    is_hex.then(|| u128::from_str_radix(text, 16).ok())?
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        Self::parse(text).ok_or(TraceParentError)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the flags only the one that is known is passed on, as the first version of the format wants it.
        let flags = self.flags & SAMPLED;
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.parent_id)
    }
}

impl Envelope {
    /// The same as a part of this trace, in place of its trace id.
    #[must_use]
    pub fn with_trace_parent(self, parent: TraceParent) -> Self {
        self.with_trace_id(parent.to_string())
    }

    /// The trace it belongs to, if its trace id is written as W3C Trace Context has it.
    pub fn trace_parent(&self) -> Option<TraceParent> {
        TraceParent::parse(self.trace_id()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn what_is_written_as_the_standard_says_is_read_and_nothing_else() {
        let zeros = "0".repeat(32);
        for (text, expected) in [
            (format!("00-{TRACE}-{SPAN}-01"), Some("01")),
            (format!("00-{TRACE}-{SPAN}-00"), Some("00")),
            // Flags that are not known are not passed on.
            (format!("00-{TRACE}-{SPAN}-ff"), Some("01")),
            (format!("00-{TRACE}-{SPAN}-02"), Some("00")),
            // Later versions may have more.
            (format!("01-{TRACE}-{SPAN}-01"), Some("01")),
            (format!("cc-{TRACE}-{SPAN}-01-what"), Some("01")),
            (format!("cc-{TRACE}-{SPAN}-01what"), None),
            (format!("00-{TRACE}-{SPAN}-01-what"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("00-{zeros}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{}-01", &zeros[..16]), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-{SPAN}-1"), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            (format!("0-{TRACE}0-{SPAN}-01"), None),
            (format!("00-+{}-{SPAN}-01", &TRACE[1..]), None),
            (format!("00_{TRACE}_{SPAN}_01"), None),
            ("trace-7".into(), None),
            (String::new(), None),
            ("ä".repeat(55), None),
        ] {
            let read = text.parse::<TraceParent>().ok().map(|parent| parent.to_string());
            let expected = expected.map(|flags| format!("00-{TRACE}-{SPAN}-{flags}"));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn it_is_written_and_read_again() {
        let (trace_id, span) = (NonZeroU128::new(0xabc).unwrap(), NonZeroU64::new(0xde).unwrap());
        let parent = TraceParent::new(trace_id, span);
        assert_eq!(parent.to_string(), format!("00-{}abc-{}de-00", "0".repeat(29), "0".repeat(14)));
        assert!(!parent.is_sampled() && parent.sampled().is_sampled());
        let other = parent.sampled().with_parent_id(NonZeroU64::MAX);
        assert_eq!((other.trace_id(), other.parent_id()), (0xabc, u64::MAX));
        assert_eq!(other.to_string().parse(), Ok(other));
        let event = Envelope::new("a", "T", "{}").with_trace_parent(other);
        assert_eq!(event.trace_parent(), Some(other));
        assert_eq!(event.with_trace_id("trace-7").trace_parent(), None);
    }
}
