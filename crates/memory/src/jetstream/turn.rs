use std::sync::Arc;
use std::time::Instant;

use crate::clock::Now;
use crate::content::Content;

/// What comes of one thing that happened.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) now: Now,
    /// To be sent, in this order.
    pub(crate) out: Vec<Emission>,
    /// The earliest of what became due by it. `None` if nothing did.
    pub(crate) due: Option<Instant>,
}

/// A message that JetStream sends.
#[derive(Debug)]
pub(crate) struct Emission {
    /// Where it goes to.
    pub(crate) to: Arc<str>,
    /// The subject that is written into it.
    pub(crate) subject: Arc<str>,
    pub(crate) reply: Option<String>,
    pub(crate) content: Content,
}

impl Turn {
    pub(crate) fn new(now: Now) -> Self {
        Self { now, out: Vec::new(), due: None }
    }

    /// Answers to `reply`, if there is one.
    pub(crate) fn answer(&mut self, reply: Option<&str>, content: Content) {
        if let Some(reply) = reply {
            self.send(reply.into(), content);
        }
    }

    pub(crate) fn send(&mut self, to: Arc<str>, content: Content) {
        self.out.push(Emission { subject: Arc::clone(&to), to, reply: None, content });
    }

    /// Something is to be done at this time.
    pub(crate) fn remind(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl Emission {
    /// True if a stream may store it.
    pub(crate) fn is_advisory(&self) -> bool {
        self.to.starts_with("$JS.EVENT.")
    }
}
