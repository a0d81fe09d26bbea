use jetlane_proto::SubjectFilter;
use serde::Deserialize;

use super::Stream;
use crate::jetstream::error::Refusal;

/// What to purge; everything, if nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::jetstream) struct Purge {
    filter: String,
    /// Only those before it; 0 is all.
    seq: u64,
    /// How many of the last ones stay.
    keep: usize,
}

impl Stream {
    /// Removes messages. Returns how many.
    pub(in crate::jetstream) fn purge(&mut self, purge: &Purge) -> Result<u64, Refusal> {
        if purge.seq > 0 && purge.keep > 0 {
            return Err(Refusal::bad_request());
        }
        if self.config.sealed {
            return Err(Refusal::sealed());
        }
        if self.config.deny_purge {
            return Err(Refusal::new(500, 10110, "message purge not permitted"));
        }
        let filters: Vec<_> = SubjectFilter::new(&purge.filter).ok().into_iter().collect();
        if filters.is_empty() && !purge.filter.is_empty() {
            return Err(Refusal::bad_request());
        }
        let found = self.store.from(&filters, 0).map(|(sequence, _)| sequence);
        let before = |&sequence: &u64| purge.seq == 0 || sequence < purge.seq;
        let mut found: Vec<u64> = found.filter(before).collect();
        found.truncate(found.len().saturating_sub(purge.keep));
        found.iter().for_each(|&sequence| drop(self.remove(sequence)));
        Ok(found.len() as u64)
    }
}
