//! What runs around handlers.

use std::fmt;
use std::sync::Arc;

use crate::{Envelope, Verdict};

type Around = dyn Fn(&Envelope, Next<'_>) -> Verdict + Send + Sync;
pub(super) type OnEnvelope = dyn Fn(&Envelope) -> Verdict + Send + Sync;

/// What is inside: the next one of [`crate::Subscribe::around`], or the handler.
pub struct Next<'a> {
    event: &'a Envelope,
    inner: &'a [Arc<Around>],
    handler: &'a OnEnvelope,
}

impl Next<'_> {
    /// Handles the event, and tells what the handler made of it.
    pub fn run(self) -> Verdict {
        let event = self.event;
        self.run_on(event)
    }

    /// Handles another event in its place: the same, with something added or decoded.
    pub fn run_on(self, event: &Envelope) -> Verdict {
        match self.inner.split_first() {
            Some((around, inner)) => around(event, Next { event, inner, handler: self.handler }),
            None => (self.handler)(event),
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("event", self.event).finish_non_exhaustive()
    }
}

/// All that runs around the handlers of a subscription, the outermost first.
#[derive(Clone, Default)]
pub(crate) struct Arounds {
    arounds: Vec<Arc<Around>>,
}

impl Arounds {
    pub(crate) fn add(
        &mut self,
        around: impl Fn(&Envelope, Next<'_>) -> Verdict + Send + Sync + 'static,
    ) {
        self.arounds.push(Arc::new(around));
    }

    #[inline]
    pub(super) fn run(&self, handler: &OnEnvelope, event: &Envelope) -> Verdict {
        match self.arounds.is_empty() {
            true => handler(event),
            false => Next { event, inner: &self.arounds, handler }.run(),
        }
    }
}
