use std::collections::{BTreeSet, HashMap};
use std::mem;

use uuid::Uuid;

use super::expected::Expected;
use super::lines::topic;
use super::lookup::{Answers, Last, is_unsent};
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

    /// A page was looked up: the rows that are stored already. `None` if there was no room for all questions: the page is to be read again, and
    /// what was answered is known then.
    pub(crate) fn found(
        &mut self,
        page: &Page,
        answers: Answers,
        expected: &mut Expected,
    ) -> Option<Vec<Sent>> {
        self.is_asking = false;
        let mut was_asked = true;
        for (subject, last) in page.subjects.iter().zip(answers) {
            match last {
                Ok(last) => {
                    expected.note(subject, last.sequence);
                    self.known.insert(subject.clone(), last);
                }
                Err(error) if is_unsent(&error) => was_asked = false,
                Err(_) => _ = self.aside.insert(topic(subject).to_owned()),
            }
        }
        was_asked.then(|| self.stored(page))
    }

    fn stored(&mut self, page: &Page) -> Vec<Sent> {
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

    /// What was found could not be taken out: the pass begins again.
    pub(crate) fn start_over(&mut self) {
        self.after = i64::MIN;
        self.units.clear();
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

#[cfg(test)]
mod tests {
    use jetlane::jetstream::ApiError;

    use super::*;

    const UNIT: Uuid = Uuid::from_u128(7);

    fn row(position: i64, subject: &str, unit: Option<Uuid>) -> Waiting {
        let event_id = position.to_string();
        Waiting { position, event_id, subject: subject.into(), unit }
    }

    /// What a page is answered, by subject: the sequence and the id of what is last, or nothing.
    fn answers(page: &Page, last: &[(&str, u64, &str)]) -> Answers {
        let answer = |subject: &String| {
            let (_, sequence, id) = last.iter().find(|(known, ..)| known == subject)?;
            Some(Last { sequence: *sequence, id: Some((*id).to_owned()) })
        };
        page.subjects.iter().map(|subject| answer(subject).ok_or(ApiError::NotAvailable)).collect()
    }

    /// Goes through a page; what was found, as position and sequence, and how far it is.
    fn page(
        recovery: &mut Recovery,
        rows: Vec<Waiting>,
        last: &[(&str, u64, &str)],
    ) -> (Vec<(i64, u64)>, Progress) {
        assert!(recovery.wants().is_some());
        let page = recovery.begin(rows, |topic| topic == "silent");
        assert!(recovery.wants().is_none(), "one page at a time");
        let found = recovery.found(&page, answers(&page, last), &mut Expected::default()).unwrap();
        let found = found.into_iter().map(|sent| (sent.position, sent.sequence)).collect();
        (found, recovery.proceed(&page))
    }

    fn recovery() -> Recovery {
        Recovery::of(vec![Owned { partition: 3, epoch: 1 }])
    }

    #[test]
    fn what_is_last_is_stored_whichever_row_of_its_subject_it_is() {
        let rows = [(1, "t.a"), (2, "t.b"), (3, "t.a"), (4, "t.c")];
        let rows = rows.map(|(position, subject)| row(position, subject, None)).into();
        let last = [("t.a", 70, "3"), ("t.b", 80, "other"), ("t.c", 90, "4")];
        let found = page(&mut recovery(), rows, &last);
        assert_eq!(found, (vec![(3, 70), (4, 90)], Progress::Done));
    }

    #[test]
    fn a_unit_is_stored_with_all_its_rows_also_over_the_end_of_a_page() {
        let mut recovery = recovery();
        let mut rows: Vec<_> = (1..i64::from(PAGE)).map(|at| row(at, "t.x", None)).collect();
        rows.push(row(600, "t.a", Some(UNIT)));
        let last = [("t.x", 1, "other"), ("t.a", 72, "602"), ("t.b", 71, "601")];
        assert_eq!(page(&mut recovery, rows, &last), (vec![], Progress::More));
        let rows = [(601, "t.b"), (602, "t.a"), (603, "t.c")];
        let rows = rows.map(|(position, subject)| row(position, subject, Some(UNIT))).into();
        let last = [("t.b", 71, "601"), ("t.c", 80, "a later one")];
        let found = page(&mut recovery, rows, &last);
        assert_eq!(found, (vec![(600, 70), (601, 71), (602, 72), (603, 73)], Progress::Done));
    }

    #[test]
    fn a_page_for_which_there_is_no_room_is_asked_for_again_with_what_is_missing() {
        let mut recovery = recovery();
        let rows = || {
            let rows = [(1, "t.a"), (2, "t.b")];
            rows.map(|(position, subject)| row(position, subject, Some(UNIT))).to_vec()
        };
        let page = recovery.begin(rows(), |_| false);
        let mut answers = answers(&page, &[("t.a", 7, "1"), ("t.b", 8, "2")]);
        answers[1] = Err(ApiError::Request(jetlane::client::RequestError::TooMany));
        assert_eq!(recovery.found(&page, answers, &mut Expected::default()), None);
        let (again, after) = (recovery.begin(rows(), |_| false), recovery.after);
        assert_eq!((again.subjects, after), (vec!["t.b".to_owned()], i64::MIN));
        assert_eq!(recovery.topics().count(), 0, "nobody is silent");
    }

    #[test]
    fn a_pass_that_starts_over_counts_the_rows_of_a_unit_anew() {
        let mut recovery = recovery();
        let rows = || vec![row(1, "t.a", Some(UNIT)), row(2, "t.b", Some(UNIT))];
        let last = [("t.a", 7, "1"), ("t.b", 8, "2")];
        let page = recovery.begin(rows(), |_| false);
        let found = |recovery: &mut Recovery, page: &Page| {
            let found = recovery.found(page, answers(page, &last), &mut Expected::default());
            found.unwrap().iter().map(|sent| (sent.position, sent.sequence)).collect::<Vec<_>>()
        };
        assert_eq!(found(&mut recovery, &page), [(1, 7), (2, 8)]);
        recovery.start_over();
        let page = recovery.begin(rows(), |_| false);
        assert_eq!(found(&mut recovery, &page), [(1, 7), (2, 8)]);
    }

    #[test]
    fn topics_that_are_not_answered_are_set_aside_and_gone_through_again() {
        let mut recovery = recovery();
        let rows = || {
            let rows = [(1, "t.a"), (2, "mute.a"), (3, "silent.a"), (4, "mute.b")];
            rows.map(|(position, subject)| row(position, subject, None)).to_vec()
        };
        assert_eq!(recovery.closed().len(), 1);
        let (found, progress) = page(&mut recovery, rows(), &[("t.a", 7, "1")]);
        assert_eq!((found, progress), (vec![(1, 7)], Progress::Aside));
        assert_eq!(recovery.closed().len(), 0);
        assert_eq!(recovery.topics().collect::<BTreeSet<_>>(), BTreeSet::from(["mute", "silent"]));
        // It asks for these only, now also for those that were known to be silent.
        let last = [("silent.a", 8, "3"), ("mute.a", 9, "2")];
        assert_eq!(page(&mut recovery, rows(), &last), (vec![(2, 9), (3, 8)], Progress::Aside));
        assert_eq!(recovery.topics().collect::<Vec<_>>(), ["mute"]);
        // A pass in vain ends with its first page.
        let mut many = rows();
        many.extend((5..=i64::from(PAGE)).map(|at| row(at, "t.x", None)));
        assert_eq!(page(&mut recovery, many, &[]), (vec![], Progress::Aside));
        let last = [("mute.a", 10, "other"), ("mute.b", 11, "4")];
        assert_eq!(page(&mut recovery, rows(), &last), (vec![(4, 11)], Progress::Done));
    }
}
