//! What became of loads that were sent, and what is done about it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane::jetstream::ApiError;

use super::{Worker, pause};
use crate::relay::courier::Fate;
use crate::relay::lines::{Load, topic};
use crate::relay::lookup::{Last, is_unsent};
use crate::store::{Owned, Row, Sent, Stop};

/// How many subjects are looked up at once, about.
const MOST_LOOKUPS: usize = 512;

impl Worker<'_> {
    pub(super) fn land(&mut self) {
        let now = Instant::now();
        for (load, fate) in self.courier.land() {
            self.conclude(load, fate, now);
        }
    }

    /// Whether its partition is still what it was when it was sent. If not, its rows may have been read again since.
    fn is_current(&self, load: &Load) -> bool {
        load.epoch.is_some() && load.epoch == self.watch.epoch(load.rows[0].partition)
    }

    pub(super) fn conclude(&mut self, mut load: Load, fate: Fate, now: Instant) {
        if !self.is_current(&load) && !matches!(fate, Fate::Stored { .. }) {
            // Whoever has its partition since has looked up what became of it, or will.
            return;
        }
        match fate {
            Fate::Stored { first } => {
                if !self.is_current(&load) {
                    self.must_not_go_again(&load, now);
                }
                self.stored.push((load, first));
            }
            Fate::Doubtful { why } => {
                // What is last is known at once, unless it was looked up in vain.
                let rest = if load.attempts == 0 { Duration::ZERO } else { pause(load.attempts) };
                self.reason = why;
                load.attempts += 1;
                self.doubtful.add(now + rest, load);
            }
            Fate::NotNow { why } => {
                self.reason = why;
                load.attempts += 1;
                self.shared.change(|status| status.retried += 1);
                self.resting.add(now + pause(load.attempts), load);
            }
            Fate::Refused { why } => self.refuse(load, &why, now),
        }
    }

    /// Its rows may have been read again since it was sent.
    fn must_not_go_again(&mut self, stored: &Load, now: Instant) {
        let positions: Vec<_> = stored.rows.iter().map(|row| row.position).collect();
        positions.iter().for_each(|position| self.lines.forget_waiting(*position));
        // What is last is known now, and it would be taken by the stream: it has to be looked up before.
        for load in
            self.resting.take(|load| load.rows.iter().any(|row| positions.contains(&row.position)))
        {
            self.doubtful.add(now, load);
        }
    }

    /// Takes out the rows of what is stored, all at once; then the next ones of their keys may go.
    pub(super) fn take_out(&mut self) {
        if self.stored.is_empty() {
            return;
        }
        let stored = self.stored.iter().flat_map(|(load, first)| load.rows.iter().zip(*first..));
        let sent = |(row, sequence): (&Arc<Row>, u64)| Sent {
            position: row.position,
            event_id: row.event_id.clone(),
            sequence,
        };
        let sent: Vec<_> = stored.map(sent).collect();
        let keep = self.settings.keep;
        if self.ask(|store| store.sent(&sent, keep)).is_none() {
            return;
        }
        self.shared.change(|status| status.published += sent.len() as u64);
        for (load, _) in std::mem::take(&mut self.stored) {
            // One of an earlier time is out of the table, and its row here may be on its way again.
            if self.is_current(&load) {
                self.lines.done(&load);
            }
        }
    }

    /// Stops the keys of an event that the stream will never take.
    fn refuse(&mut self, load: Load, why: &str, now: Instant) {
        let name = self.name.clone();
        for row in &load.rows {
            let Some(epoch) = self.watch.epoch(row.partition) else { continue };
            let owned = Owned { partition: row.partition, epoch };
            let (key, event_id) = (&*row.key, &*row.event_id);
            let stop = Stop { owned, key, position: row.position, event_id, reason: why };
            match self.ask(|store| store.stop(&name, &stop)) {
                Some(true) => {
                    self.shared.change(|status| status.stopped += 1);
                    self.lines.forget_key(key);
                }
                Some(false) => self.lose(&[row.partition]),
                // It is refused again then.
                None => {
                    self.resting.add(now + pause(1), load);
                    return;
                }
            }
        }
    }

    /// Whether more loads can be looked up.
    pub(super) fn may_look_up(&self) -> bool {
        self.doubts.subjects() < MOST_LOOKUPS
    }

    /// Finds out what became of loads that may be stored, and sends those again that are not.
    pub(super) fn resolve(&mut self) {
        let now = Instant::now();
        let mut again = Vec::new();
        for (load, answers) in self.doubts.land() {
            // Of who does not ask again, nothing is noted that only its next answer would end.
            if !self.is_current(&load) {
                continue;
            }
            for (row, answer) in load.rows.iter().zip(&answers) {
                self.heard(&row.subject, answer.as_ref().err(), now);
            }
            let last: Result<Vec<_>, _> = answers.into_iter().collect();
            match last {
                Err(error) => self.conclude(load, Fate::Doubtful { why: error.to_string() }, now),
                Ok(last) => match first_of(&load, &last) {
                    Some(first) => {
                        let count = load.rows.len() as u64;
                        self.shared.change(|status| status.found += count);
                        self.note_all(&load, &last);
                        self.stored.push((load, first));
                    }
                    None => again.push((load, last)),
                },
            }
        }
        self.send_again(again, now);
        self.look_up(now);
    }

    /// Asks what is last on the subjects of loads.
    fn look_up(&mut self, now: Instant) {
        while self.may_look_up()
            && let Some(load) = self.doubtful.due(now)
        {
            if !self.is_current(&load) {
                continue;
            }
            let topics: BTreeSet<_> = load.topics().collect();
            if load.attempts > 1 {
                topics.iter().for_each(|topic| self.doubts.forget_stream(topic));
            }
            match self.silent.wait(&topics, now) {
                Some(later) => self.doubtful.add(later, load),
                None => {
                    let subjects = load.rows.iter().map(|row| row.subject.clone()).collect();
                    self.doubts.ask(subjects, load);
                }
            }
        }
    }

    /// A stream has said what is last on a subject, or not.
    pub(super) fn heard(&mut self, subject: &str, error: Option<&ApiError>, now: Instant) {
        match error {
            None => {
                if self.silent.answered(topic(subject)) {
                    // All that waited for it may be asked for at once.
                    let waits = |load: &Load| load.topics().any(|of| of == topic(subject));
                    for load in self.doubtful.take(waits) {
                        self.doubtful.add(now, load);
                    }
                }
            }
            Some(error) if is_unsent(error) => self.reason = error.to_string(),
            Some(error) => {
                self.reason = error.to_string();
                self.silent.note(topic(subject), now);
            }
        }
    }

    fn note_all(&mut self, load: &Load, last: &[Last]) {
        for (row, last) in load.rows.iter().zip(last) {
            self.courier.expected.note(&row.subject, last.sequence);
        }
    }

    /// Sends what is not stored again, expecting what was found: but only if it is known to be still ours after that was found. Otherwise
    /// the next owner may have stored it, and another event of the same subject behind it.
    fn send_again(&mut self, loads: Vec<(Load, Vec<Last>)>, now: Instant) {
        if loads.is_empty() {
            return;
        }
        let owned: Vec<_> = self.watch.owned().collect();
        let name = self.name.clone();
        let Some(ours) = self.ask(|store| store.still_owned(&name, &owned)) else {
            for (load, _) in loads {
                self.doubtful.add(now + pause(load.attempts), load);
            }
            return;
        };
        let is_ours = |partition| ours.iter().any(|owned| owned.partition == partition);
        for (load, last) in loads {
            if load.rows.iter().all(|row| is_ours(row.partition)) {
                self.shared.change(|status| status.retried += 1);
                self.note_all(&load, &last);
                self.resting.add(now, load);
            }
        }
        let lost = owned.iter().filter(|owned| !ours.contains(owned));
        let lost: Vec<_> = lost.map(|owned| owned.partition).collect();
        self.lose(&lost);
    }
}

/// The sequence of the first row of a load, if one of its rows is what is last on its subject: then all are stored, one behind the other.
fn first_of(load: &Load, last: &[Last]) -> Option<u64> {
    let mut rows = load.rows.iter().zip(last).zip(0_u64..);
    rows.find_map(|((row, last), at)| {
        let is_it = last.id.as_deref() == Some(&*row.event_id);
        is_it.then(|| last.sequence.saturating_sub(at))
    })
}
