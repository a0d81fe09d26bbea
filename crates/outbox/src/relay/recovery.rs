use std::collections::{BTreeSet, HashMap};
use std::mem;

use super::expected::Expected;
use super::lines::topic;
use super::lookup::{Answers, Last};
use crate::store::{Owned, Sent, Waiting};

/// How many rows are looked up at once.
pub(crate) const PAGE: u32 = 512;

/// What a relay does with partitions that it has just taken, before it publishes anything of them: of each row that waits, whether its event is the
/// last one of its subject, and so was stored by the one before it, who did not come to take the row out.
///
/// It goes through the rows page by page. Topics whose stream does not answer are set aside, and gone through again, and nothing is published to them
/// meanwhile; all others are free after the first pass.
#[derive(Debug)]
pub(crate) struct Recovery {
    owned: Vec<Owned>,
    /// Rows up to this position were looked up in this pass.
    after: i64,
    /// What is last on the subjects of the rows so far.
    known: HashMap<String, Last>,
    /// The topics that this pass is for; `None` in the first one, which is for all.
    of: Option<BTreeSet<String>>,
    /// Topics that were not answered in this pass.
    aside: BTreeSet<String>,
    /// A page is being looked up.
    is_asking: bool,
}

/// Rows, and the subjects that have to be looked up for them.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Waiting>,
    pub(crate) subjects: Vec<String>,
}

/// How far it is after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is another page.
    More,
    /// The first pass is over, or another one, and topics are left.
    Aside,
    Done,
}

impl Recovery {
    pub(crate) fn of(owned: Vec<Owned>) -> Self {
        Self {
            owned,
            after: i64::MIN,
            known: HashMap::new(),
            of: None,
            aside: BTreeSet::new(),
            is_asking: false,
        }
    }

    /// The partitions of which nothing may be published yet.
    pub(crate) fn closed(&self) -> &[Owned] {
        if self.of.is_none() { &self.owned } else { &[] }
    }

    /// The topics to which nothing may be published yet.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.of.iter().flatten().chain(&self.aside).map(String::as_str)
    }

    /// Not ours any more.
    pub(crate) fn lost(&mut self, partitions: &[i16]) {
        self.owned.retain(|owned| !partitions.contains(&owned.partition));
    }

    /// The partitions whose next page is to be read, and behind which position; `None` while a page is looked up.
    pub(crate) fn wants(&self) -> Option<(Vec<i16>, i64)> {
        let partitions = || self.owned.iter().map(|owned| owned.partition).collect();
        (!self.is_asking).then(|| (partitions(), self.after))
    }

    /// The next page was read.
    pub(crate) fn begin(&mut self, rows: Vec<Waiting>) -> Page {
        self.is_asking = true;
        let is_wanted = |subject: &&str| {
            let topic = topic(subject);
            !self.known.contains_key(*subject)
                && !self.aside.contains(topic)
                && self.of.as_ref().is_none_or(|of| of.contains(topic))
        };
        let subjects: BTreeSet<_> =
            rows.iter().map(|row| &*row.subject).filter(is_wanted).collect();
        let subjects = subjects.into_iter().map(str::to_owned).collect();
        Page { rows, subjects }
    }

    /// A page was looked up: the rows that are stored already.
    pub(crate) fn found(
        &mut self,
        page: &Page,
        answers: Answers,
        expected: &mut Expected,
    ) -> Vec<Sent> {
        self.is_asking = false;
        for (subject, last) in page.subjects.iter().zip(answers) {
            match last {
                Ok(last) => {
                    expected.note(subject, last.sequence);
                    self.known.insert(subject.clone(), last);
                }
                Err(_) => _ = self.aside.insert(topic(subject).to_owned()),
            }
        }
        let stored = |row: &Waiting| {
            let last = self.known.get(&row.subject)?;
            let is_it = last.id.as_deref() == Some(&*row.event_id);
            let Waiting { position, event_id, .. } = row;
            let sent = || Sent {
                position: *position,
                event_id: event_id.clone(),
                sequence: last.sequence,
            };
            is_it.then(sent)
        };
        page.rows.iter().filter_map(stored).collect()
    }

    /// What was found of a page is taken out: the next one.
    pub(crate) fn proceed(&mut self, page: &Page) -> Progress {
        self.after = page.rows.last().map_or(self.after, |row| row.position);
        if page.rows.len() >= PAGE as usize {
            return Progress::More;
        }
        // What is behind it was added later, and the one before us has not had it as an owner.
        let aside = mem::take(&mut self.aside);
        if aside.is_empty() || self.owned.is_empty() {
            return Progress::Done;
        }
        (self.after, self.of) = (i64::MIN, Some(aside));
        self.known.clear();
        Progress::Aside
    }
}
