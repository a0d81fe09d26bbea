use std::collections::{BTreeSet, HashMap};
use std::mem;

use uuid::Uuid;

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
    /// What was seen of units that wait.
    units: HashMap<Uuid, UnitRows>,
    /// The topics that this pass is for; `None` in the first one, which is for all.
    of: Option<BTreeSet<String>>,
    /// Topics that were not answered in this pass.
    aside: BTreeSet<String>,
    /// A page is being looked up.
    is_asking: bool,
}

/// The rows of a unit that were seen in a pass, in order.
#[derive(Debug, Default)]
struct UnitRows {
    count: u64,
    /// The sequence of its first row, once it is known to be stored.
    first: Option<u64>,
    /// While it is not.
    before: Vec<Waiting>,
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
            units: HashMap::new(),
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
    pub(crate) fn begin(&mut self, rows: Vec<Waiting>, is_silent: impl Fn(&str) -> bool) -> Page {
        self.is_asking = true;
        if self.of.is_none() {
            // Somebody else asks for these already.
            let topics = rows.iter().map(|row| topic(&row.subject));
            let silent = topics.filter(|topic| is_silent(topic)).map(str::to_owned);
            self.aside.extend(silent);
        }
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
        let mut sent = Vec::new();
        for row in &page.rows {
            let last = self.known.get(&row.subject);
            let last = last.filter(|last| last.id.as_deref() == Some(&*row.event_id));
            let sequence = last.map(|last| last.sequence);
            match row.unit {
                None => sent.extend(sequence.map(|sequence| row.sent(sequence))),
                Some(unit) => sent.extend(self.units.entry(unit).or_default().add(row, sequence)),
            }
        }
        sent
    }

    /// What was found of a page is taken out: the next one.
    pub(crate) fn proceed(&mut self, page: &Page) -> Progress {
        self.after = page.rows.last().map_or(self.after, |row| row.position);
        let is_in_vain = self.of.as_ref().is_some_and(|of| of.is_subset(&self.aside));
        if page.rows.len() >= PAGE as usize && !is_in_vain {
            return Progress::More;
        }
        self.end_pass()
    }

    /// What is behind the last page was added later, and the one before us has not had it as an owner.
    fn end_pass(&mut self) -> Progress {
        let aside = mem::take(&mut self.aside);
        if aside.is_empty() || self.owned.is_empty() {
            return Progress::Done;
        }
        self.begin_pass(aside);
        Progress::Aside
    }

    fn begin_pass(&mut self, of: BTreeSet<String>) {
        (self.after, self.of) = (i64::MIN, Some(of));
        self.known.clear();
        self.units.clear();
    }
}

impl UnitRows {
    /// A row of it, and its sequence if it is what is last on its subject: what of the unit is known to be stored by that. A unit is stored as a whole, one row behind the
    /// other.
    fn add(&mut self, row: &Waiting, sequence: Option<u64>) -> Vec<Sent> {
        let rank = self.count;
        self.count += 1;
        if let (None, Some(sequence)) = (self.first, sequence) {
            let first = sequence.saturating_sub(rank);
            self.first = Some(first);
            let before = mem::take(&mut self.before).into_iter().zip(first..);
            let before = before.map(|(row, sequence)| row.sent(sequence));
            return before.chain([row.sent(sequence)]).collect();
        }
        match self.first {
            Some(first) => vec![row.sent(first + rank)],
            None => {
                self.before.push(row.clone());
                Vec::new()
            }
        }
    }
}

impl Waiting {
    fn sent(&self, sequence: u64) -> Sent {
        Sent { position: self.position, event_id: self.event_id.clone(), sequence }
    }
}
