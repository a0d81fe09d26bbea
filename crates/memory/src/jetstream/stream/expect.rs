//! What a publisher expects of the stream.

use jetlane_proto::read_decimal;

use super::Stream;
use crate::content::Content;
use crate::jetstream::error::Refusal;

impl Stream {
    /// Whether the stream is as the headers of a message say.
    pub(super) fn meets(&self, subject: &str, content: &Content) -> Result<(), Refusal> {
        let number = |name| {
            let text = content.header(name);
            text.map(|text| read_decimal(text.as_bytes()).ok_or_else(Refusal::bad_request))
        };
        if let Some(id) = content.header("Nats-Expected-Last-Msg-Id")
            && id != self.recent.last()
        {
            let last = self.recent.last();
            return Err(Refusal::new(400, 10070, format!("wrong last msg ID: {last}")));
        }
        if let Some(expected) = number("Nats-Expected-Last-Sequence") {
            same(expected?, self.store.last_sequence())?;
        }
        if let Some(expected) = number("Nats-Expected-Last-Subject-Sequence") {
            let of = content.header("Nats-Expected-Last-Subject-Sequence-Subject");
            same(expected?, self.last_of(of.unwrap_or(subject)))?;
        }
        Ok(())
    }

    fn last_of(&self, subject: &str) -> u64 {
        let Ok(filter) = jetlane_proto::SubjectFilter::new(subject) else { return 0 };
        self.store.last_of(&[filter]).map_or(0, |(sequence, _)| sequence)
    }
}

fn same(expected: u64, last: u64) -> Result<(), Refusal> {
    match expected == last {
        true => Ok(()),
        false => Err(Refusal::new(400, 10071, format!("wrong last sequence: {last}"))),
    }
}
