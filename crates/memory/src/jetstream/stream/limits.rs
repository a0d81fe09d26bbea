//! What goes because there is too much, or it is too old, or a message replaces it.

use super::Stream;
use crate::content::Content;
use crate::jetstream::Turn;
use crate::jetstream::error::Refusal;
use crate::jetstream::fields::limit;

/// What a message replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollup {
    Nothing,
    Subject,
    All,
}

impl Stream {
    pub(super) fn rollup(&self, content: &Content) -> Result<Rollup, Refusal> {
        let rollup = match content.header("Nats-Rollup") {
            None => return Ok(Rollup::Nothing),
            Some("sub") => Rollup::Subject,
            Some("all") => Rollup::All,
            Some(other) => {
                let reason = format!("rollup value invalid: {other:?}");
                return Err(Refusal::new(500, 10111, reason));
            }
        };
        if !self.config.allow_rollup_hdrs || self.config.deny_purge {
            return Err(Refusal::new(500, 10111, "rollup not permitted"));
        }
        Ok(rollup)
    }

    /// The message with this sequence replaces those before it.
    pub(super) fn roll_up(&mut self, rollup: Rollup, subject: &str, sequence: u64) {
        let replaced: Vec<u64> = match rollup {
            Rollup::Nothing => return,
            Rollup::Subject => {
                self.store.of_subject(subject).into_iter().flatten().copied().collect()
            }
            Rollup::All => self.store.from(&[], 0).map(|(sequence, _)| sequence).collect(),
        };
        for before in replaced.into_iter().filter(|&before| before < sequence) {
            self.remove(before);
        }
    }

    /// Removes what is beyond the limits of the whole stream, and what is too old.
    pub(super) fn keep_limits(&mut self, turn: &Turn) {
        let (most, most_bytes) = (limit(self.config.max_msgs), limit(self.config.max_bytes));
        while most.is_some_and(|most| self.store.messages() > most)
            || most_bytes.is_some_and(|most| self.store.bytes() > most)
        {
            let Some((first, _)) = self.store.first() else { break };
            self.remove(first);
        }
        if let Some(age) = self.config.age() {
            // A message with an end of its own is not bound to the age of the others.
            let old = self.store.until(turn.now.wall.before(age));
            let old = old.filter(|(_, stored)| stored.ends.is_none());
            let old: Vec<u64> = old.map(|(sequence, _)| sequence).collect();
            old.into_iter().for_each(|sequence| drop(self.remove(sequence)));
        }
        while let Some((end, sequence)) = self.store.first_end()
            && end <= turn.now.wall
        {
            self.remove(sequence);
        }
    }

    /// Removes what is beyond the limit of any subject.
    pub(super) fn keep_all_subjects(&mut self) {
        for subject in self.store.all_subjects() {
            self.keep_subject(&subject);
        }
    }

    /// Removes what is beyond the limit of one subject.
    pub(super) fn keep_subject(&mut self, subject: &str) {
        let Some(most) = limit(self.config.max_msgs_per_subject) else { return };
        let there = self.store.of_subject(subject);
        let beyond = there.map_or(0, |there| (there.len() as u64).saturating_sub(most));
        let beyond = usize::try_from(beyond).unwrap_or(usize::MAX);
        let oldest: Vec<u64> = there.into_iter().flatten().take(beyond).copied().collect();
        oldest.into_iter().for_each(|sequence| drop(self.remove(sequence)));
    }
}
