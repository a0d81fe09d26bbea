use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jetlane_proto::SubjectFilter;

use crate::clock::WallTime;
use crate::content::Content;
use crate::subjects::any_matches;

/// The messages of a stream.
#[derive(Debug, Default)]
pub(super) struct Store {
    messages: BTreeMap<u64, Stored>,
    /// Sequences by subject; no entry is empty.
    by_subject: HashMap<Arc<str>, BTreeSet<u64>>,
    /// Those with a time to live of their own.
    ends: BTreeSet<(WallTime, u64)>,
    bytes: u64,
    /// ≤ `last` + 1. 0 before anything was stored.
    first: u64,
    last: u64,
    last_time: Option<WallTime>,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) subject: Arc<str>,
    pub(super) content: Content,
    pub(super) time: WallTime,
    /// What it counts for.
    pub(super) size: u64,
    pub(super) ends: Option<WallTime>,
}

impl Store {
    /// Stores a message. Returns its sequence.
    pub(super) fn append(&mut self, stored: Stored) -> u64 {
        let sequence = self.skip(stored.time);
        if self.messages.is_empty() {
            self.first = sequence;
        }
        self.bytes += stored.size;
        self.by_subject.entry(Arc::clone(&stored.subject)).or_default().insert(sequence);
        self.ends.extend(stored.ends.map(|end| (end, sequence)));
        self.messages.insert(sequence, stored);
        sequence
    }

    /// Counts a message that is not stored.
    pub(super) fn skip(&mut self, time: WallTime) -> u64 {
        self.last += 1;
        self.last_time = Some(time);
        if self.messages.is_empty() {
            self.first = self.last + 1;
        }
        self.last
    }

    /// The first message shall have this sequence.
    pub(super) fn begin_at(&mut self, sequence: u64) {
        (self.first, self.last) = (sequence, sequence.saturating_sub(1));
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Stored> {
        let stored = self.messages.remove(&sequence)?;
        self.bytes -= stored.size;
        if let Some(sequences) = self.by_subject.get_mut(&stored.subject) {
            sequences.remove(&sequence);
            if sequences.is_empty() {
                self.by_subject.remove(&stored.subject);
            }
        }
        if let Some(end) = stored.ends {
            self.ends.remove(&(end, sequence));
        }
        self.first = self.messages.first_key_value().map_or(self.last + 1, |(&first, _)| first);
        Some(stored)
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Stored> {
        self.messages.get(&sequence)
    }

    /// The first message at `from` or behind it that one of the filters wants.
    pub(super) fn next(&self, filters: &[SubjectFilter], from: u64) -> Option<(u64, &Stored)> {
        let mut found = self.messages.range(from..);
        let (&sequence, stored) =
            found.find(|(_, stored)| any_matches(filters, &stored.subject))?;
        Some((sequence, stored))
    }

    /// All that one of the filters wants, from a sequence on.
    pub(super) fn from<'a>(
        &'a self,
        filters: &'a [SubjectFilter],
        from: u64,
    ) -> impl Iterator<Item = (u64, &'a Stored)> {
        let found = self.messages.range(from..).map(|(&sequence, stored)| (sequence, stored));
        found.filter(|(_, stored)| any_matches(filters, &stored.subject))
    }

    /// The last message that one of the filters wants.
    pub(super) fn last_of(&self, filters: &[SubjectFilter]) -> Option<(u64, &Stored)> {
        let sequence = self.last_of_each(filters, u64::MAX).into_iter().next_back()?;
        Some((sequence, self.get(sequence)?))
    }

    /// The last message of each subject that one of the filters wants, none behind `up_to`.
    pub(super) fn last_of_each(&self, filters: &[SubjectFilter], up_to: u64) -> BTreeSet<u64> {
        let wanted = self.by_subject.iter().filter(|(subject, _)| any_matches(filters, subject));
        wanted.filter_map(|(_, sequences)| sequences.range(..=up_to).next_back().copied()).collect()
    }

    /// The first message that was stored at `time` or later.
    pub(super) fn since(&self, time: WallTime) -> Option<u64> {
        self.messages.iter().find(|(_, stored)| stored.time >= time).map(|(&sequence, _)| sequence)
    }

    /// The sequences of one subject.
    pub(super) fn of_subject(&self, subject: &str) -> Option<&BTreeSet<u64>> {
        self.by_subject.get(subject)
    }

    /// The subjects that a filter matches, and how many messages each has.
    pub(super) fn subjects(&self, filter: &SubjectFilter) -> BTreeMap<&str, usize> {
        let matching = |(subject, _): &(&Arc<str>, _)| filter.matches(subject.as_bytes());
        let found = self.by_subject.iter().filter(matching);
        found.map(|(subject, sequences)| (&**subject, sequences.len())).collect()
    }

    /// All that was stored at `time` or before.
    pub(super) fn until(&self, time: WallTime) -> impl Iterator<Item = (u64, &Stored)> {
        self.from(&[], 0).take_while(move |(_, stored)| stored.time <= time)
    }

    pub(super) fn all_subjects(&self) -> Vec<Arc<str>> {
        self.by_subject.keys().cloned().collect()
    }

    /// Sequences between the first and the last that are not there.
    pub(super) fn deleted(&self) -> impl Iterator<Item = u64> {
        (self.first..=self.last).filter(|sequence| !self.messages.contains_key(sequence))
    }

    /// The message whose time to live ends first, and when.
    pub(super) fn first_end(&self) -> Option<(WallTime, u64)> {
        self.ends.first().copied()
    }

    pub(super) fn first(&self) -> Option<(u64, &Stored)> {
        self.messages.first_key_value().map(|(&sequence, stored)| (sequence, stored))
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(super) fn num_subjects(&self) -> usize {
        self.by_subject.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn first_sequence(&self) -> u64 {
        self.first
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.last
    }

    /// When the last message was stored, if any ever was.
    pub(super) fn last_time(&self) -> Option<WallTime> {
        self.last_time
    }
}
