use std::fmt::Display;
use std::time::Duration;

/// A handler's word on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is handled.
    Done,
    /// It is to be handled again. Meanwhile the later events of its aggregate wait behind it; others go on.
    Retry {
        /// When; `None` for the pace of the subscription, which slows down with every attempt.
        after: Option<Duration>,
        /// Why, in words.
        reason: String,
    },
    /// It can never be handled, and is not to be delivered again.
    Reject {
        /// Why, in words.
        reason: String,
    },
}

/// What a handler may return: a [`Verdict`], nothing (it is done), or a `Result`, whose error means that the event is to
/// be tried again at the pace of the subscription.
pub trait IntoVerdict {
    /// The verdict.
    fn into_verdict(self) -> Verdict;
}

impl IntoVerdict for Verdict {
    fn into_verdict(self) -> Verdict {
        self
    }
}

impl IntoVerdict for () {
    fn into_verdict(self) -> Verdict {
        Verdict::Done
    }
}

impl<V: IntoVerdict, E: Display> IntoVerdict for Result<V, E> {
    fn into_verdict(self) -> Verdict {
        match self {
            Ok(verdict) => verdict.into_verdict(),
            Err(error) => Verdict::Retry { after: None, reason: error.to_string() },
        }
    }
}
