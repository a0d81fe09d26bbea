//! A span of the crate `tracing` around every handler.

use tracing::field::{Empty, display};
use tracing::info_span;
use tracing::span::EnteredSpan;

use crate::{Envelope, RawEvent};

/// Enters the span of an event. Its trace, if it has one, becomes the fields `trace_id` and `parent_id`, as `tracing` itself knows no parent in
/// another process; whoever exports spans finds them there.
#[inline]
pub(crate) fn enter(subscription: &str, raw: &RawEvent<'_>, event: &Envelope) -> EnteredSpan {
    let subject = String::from_utf8_lossy(raw.subject());
    let span = info_span!(
        target: "jetlane",
        "handle",
        subscription,
        subject = &*subject,
        event_id = event.event_id(),
        event_type = event.event_type(),
        aggregate_id = event.aggregate_id(),
        sequence = raw.sequence(),
        delivered = raw.delivered(),
        trace_id = Empty,
        parent_id = Empty,
    );
    if !span.is_disabled()
        && let Some(parent) = event.trace_parent()
    {
        span.record("trace_id", display(format_args!("{:032x}", parent.trace_id())));
        span.record("parent_id", display(format_args!("{:016x}", parent.parent_id())));
    }
    span.entered()
}

/// As [`enter`], for a message as it is.
#[inline]
pub(crate) fn enter_raw(subscription: &str, raw: &RawEvent<'_>) -> EnteredSpan {
    let subject = String::from_utf8_lossy(raw.subject());
    let (sequence, delivered) = (raw.sequence(), raw.delivered());
    info_span!(target: "jetlane", "handle", subscription, subject = &*subject, sequence, delivered)
        .entered()
}
