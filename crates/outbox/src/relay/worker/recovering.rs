//! Partitions that were taken, until it is known what of them is stored.

use std::time::Instant;

use super::{Worker, pause};
use crate::relay::lookup::Answers;
use crate::relay::recovery::{PAGE, Page, Progress, Recovery};
use crate::store::Owned;

/// How many pages are looked up at once, about: requests of others need room, too.
const MOST_PAGES: usize = 3;

/// A recovery, and when it goes on.
pub(super) struct Recovering {
    pub(super) recovery: Recovery,
    next_page: Instant,
    /// How many passes have left topics aside.
    passes: u32,
}

impl Recovering {
    /// Whether a stream has not answered.
    pub(super) fn is_halted(&self) -> bool {
        self.recovery.topics().next().is_some()
    }
}

impl Worker<'_> {
    pub(super) fn begin_recovery(&mut self, taken: Vec<Owned>) {
        if !taken.is_empty() {
            let recovery = Recovery::of(taken);
            let recovering = Recovering { recovery, next_page: Instant::now(), passes: 0 };
            self.taken += 1;
            self.recoveries.insert(self.taken, recovering);
        }
    }

    /// When there is a page to read.
    pub(super) fn next_recovery(&self) -> Option<Instant> {
        let may_ask = self.pages.len() < MOST_PAGES;
        let can_go = self.recoveries.values().filter(|of| may_ask && of.recovery.wants().is_some());
        can_go.map(|of| of.next_page).min()
    }

    /// Takes out what was looked up, and looks up the next pages of what waits in partitions that were taken.
    pub(super) fn recover(&mut self) {
        for ((number, page), answers) in self.pages.land() {
            self.page_found(number, &page, answers);
        }
        let now = Instant::now();
        if self.pages.len() >= MOST_PAGES {
            return;
        }
        let due = self.recoveries.iter().filter(|(_, of)| of.next_page <= now);
        let due: Vec<_> = due.map(|(number, _)| *number).collect();
        for number in due {
            self.next_page(number);
        }
    }

    fn next_page(&mut self, number: u64) {
        let wants = self.recoveries.get(&number).and_then(|of| of.recovery.wants());
        let Some((partitions, after)) = wants else { return };
        let Some(rows) = self.ask(|store| store.waiting(&partitions, after, PAGE)) else { return };
        let Some(of) = self.recoveries.get_mut(&number) else { return };
        let page = of.recovery.begin(rows, |topic| self.silent.has(topic));
        if page.subjects.is_empty() {
            self.page_found(number, &page, Vec::new());
        } else {
            self.pages.ask(page.subjects.clone(), (number, page));
        }
    }

    fn page_found(&mut self, number: u64, page: &Page, answers: Answers) {
        let now = Instant::now();
        if !self.recoveries.contains_key(&number) {
            return;
        }
        for (subject, answer) in page.subjects.iter().zip(&answers) {
            self.heard(subject, answer.as_ref().err(), now);
        }
        let Some(of) = self.recoveries.get_mut(&number) else { return };
        let Some(sent) = of.recovery.found(page, answers, &mut self.courier.expected) else {
            of.next_page = now + pause(1);
            return;
        };
        let keep = self.settings.keep;
        if !sent.is_empty() && self.ask(|store| store.sent(&sent, keep)).is_none() {
            if let Some(of) = self.recoveries.get_mut(&number) {
                of.recovery.start_over();
            }
            return;
        }
        // A unit over several topics may have been read in part.
        sent.iter().for_each(|sent| self.lines.forget_waiting(sent.position));
        self.shared.change(|status| {
            status.found += sent.len() as u64;
            status.published += sent.len() as u64;
        });
        let Some(of) = self.recoveries.get_mut(&number) else { return };
        match of.recovery.proceed(page) {
            Progress::More => {}
            Progress::Aside => {
                of.passes = of.passes.saturating_add(1);
                of.next_page = now + pause(of.passes);
                self.next_look = now;
            }
            Progress::Done => {
                self.recoveries.remove(&number);
                self.next_look = now;
            }
        }
    }
}
