use std::collections::HashMap;
use std::time::Duration;

use jetlane::jetstream::{ApiError, JetStream};

use super::expected::Expected;
use super::lookup::{Last, Lookup};
use crate::DatabaseError;
use crate::store::{Owned, Sent, Store, Waiting};

/// How many rows are looked up at once.
const PAGE: u32 = 512;

/// What a relay does with partitions that it has just taken, before it publishes anything of them: of each row that waits, whether its event is the
/// last one of its subject, and so was stored by the one before it, who did not come to take the row out.
#[derive(Debug)]
pub(crate) struct Recovery {
    owned: Vec<Owned>,
    /// Rows up to this position were looked up.
    after: i64,
    /// What is last on the subjects of the rows so far.
    known: HashMap<String, Last>,
    /// The last page was not full: what is behind it was added later, and the one before us has not had it as an owner.
    is_done: bool,
}

/// Why a page was not looked up. To be tried again.
pub(crate) enum Halted {
    Database(DatabaseError),
    Stream(ApiError),
}

impl Recovery {
    pub(crate) fn of(owned: Vec<Owned>) -> Self {
        Self { owned, after: i64::MIN, known: HashMap::new(), is_done: false }
    }

    pub(crate) fn owned(&self) -> &[Owned] {
        &self.owned
    }

    /// Not ours any more.
    pub(crate) fn lost(&mut self, partitions: &[i16]) {
        self.owned.retain(|owned| !partitions.contains(&owned.partition));
    }

    /// Whether all pages were looked up.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Looks up the next page: the rows that are stored already.
    pub(crate) fn next(
        &mut self,
        store: &mut dyn Store,
        js: &JetStream,
        lookup: &mut Lookup,
        expected: &mut Expected,
        patience: Duration,
    ) -> Result<Vec<Sent>, Halted> {
        let partitions: Vec<_> = self.owned.iter().map(|owned| owned.partition).collect();
        let rows = store.waiting(&partitions, self.after, PAGE).map_err(Halted::Database)?;
        let is_new = |subject: &&str| !self.known.contains_key(*subject);
        let mut subjects: Vec<_> = rows.iter().map(|row| &*row.subject).filter(is_new).collect();
        subjects.sort_unstable();
        subjects.dedup();
        for (subject, last) in subjects.iter().zip(lookup.last(js, &subjects, patience)) {
            let last = last.map_err(Halted::Stream)?;
            expected.note(subject, last.sequence);
            self.known.insert((*subject).to_owned(), last);
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
        let sent = rows.iter().filter_map(stored).collect();
        self.after = rows.last().map_or(self.after, |row| row.position);
        self.is_done = rows.len() < PAGE as usize;
        Ok(sent)
    }
}
