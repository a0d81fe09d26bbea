use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::Event;
use crate::shared::Shared;
use crate::sink::Out;
use crate::stats::count;

/// For sinks that drop what there is no room for ([`crate::Client::slow_reader`]): counts it in [`crate::Stats::dropped`], and tells of it
/// ([`Event::SlowConsumer`]) once, and then not before the reader has caught up. It does not keep the connection open.
pub struct SlowReader {
    subject: Box<str>,
    dropped: u64,
    told: bool,
    shared: Arc<Shared>,
}

impl SlowReader {
    pub(crate) fn new(subject: &str, shared: Arc<Shared>) -> Self {
        Self { subject: subject.into(), dropped: 0, told: false, shared }
    }

    /// `more` messages were dropped in this turn.
    pub fn dropped(&mut self, more: u64, out: &Out<'_>) {
        self.dropped += more;
        count(&self.shared.counters.dropped, more);
        if !mem::replace(&mut self.told, true) {
            count(&self.shared.counters.slow_consumers, 1);
            let (subject, sid, dropped) = (self.subject.to_string(), out.sid, self.dropped);
            self.shared.emit(&Event::SlowConsumer { subject, sid, dropped });
        }
    }

    /// There is room again: what is dropped from now on is told anew.
    pub fn has_caught_up(&mut self) {
        self.told = false;
    }
}

impl fmt::Debug for SlowReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, dropped, .. } = self;
        f.debug_struct("SlowReader")
            .field("subject", subject)
            .field("dropped", dropped)
            .finish_non_exhaustive()
    }
}
