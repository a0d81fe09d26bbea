mod config;
mod expect;
mod info;
mod limits;
mod publish;
mod purge;
mod recent;
mod time_to_live;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jetlane_proto::SubjectFilter;

pub(super) use config::{Retention, StreamConfig};
pub(super) use info::InfoRequest;
pub(super) use purge::Purge;
use recent::Recent;

use super::consumer::{Ack, Consumer, Settled};
use super::store::{Store, Stored};
use super::{Handled, Turn};
use crate::clock::{Now, WallTime};
use crate::routes::Routes;

/// A stream with its consumers.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: Arc<str>,
    pub(super) config: StreamConfig,
    /// The same as in `config`.
    subjects: Vec<SubjectFilter>,
    pub(super) created: WallTime,
    pub(super) store: Store,
    recent: Recent,
    pub(super) consumers: BTreeMap<String, Consumer>,
}

impl Stream {
    pub(super) fn new(config: StreamConfig, now: Now) -> Self {
        let mut store = Store::default();
        if config.first_seq > 0 {
            store.begin_at(config.first_seq);
        }
        Self {
            name: config.name.as_str().into(),
            subjects: config.filters(),
            config,
            created: now.wall,
            store,
            recent: Recent::default(),
            consumers: BTreeMap::new(),
        }
    }

    /// Whether it stores this subject.
    pub(super) fn takes(&self, subject: &str) -> bool {
        self.subjects.iter().any(|filter| filter.matches(subject.as_bytes()))
    }

    /// Takes a config that was found to be possible.
    pub(super) fn update(&mut self, config: StreamConfig, routes: &Routes, turn: &mut Turn) {
        self.subjects = config.filters();
        self.config = config;
        self.keep_all_subjects();
        self.keep_limits(turn);
        self.wake(routes, turn);
        turn.remind(turn.now.instant);
    }

    pub(super) fn ack(&mut self, ack: &Ack<'_>, routes: &Routes, turn: &mut Turn) -> Handled {
        let Some(consumer) = self.consumers.get_mut(ack.consumer) else { return Handled::No };
        let Settled(done) = consumer.settle(ack, turn);
        consumer.pull_next(ack, routes, turn);
        self.release(&done);
        self.wake(routes, turn);
        Handled::Yes
    }

    /// Delivers what can be delivered to whoever waits for it.
    pub(super) fn wake(&mut self, routes: &Routes, turn: &mut Turn) {
        let mut done = Vec::new();
        for consumer in self.consumers.values_mut() {
            let Settled(settled) = consumer.deliver(&self.store, routes, turn);
            done.extend(settled);
        }
        self.release(&done);
    }

    /// Consumers are done with these messages. Whether that is their end says the retention.
    fn release(&mut self, sequences: &[u64]) {
        if self.config.retention == Retention::Limits {
            return;
        }
        for &sequence in sequences {
            let Some(stored) = self.store.get(sequence) else { continue };
            let is_wanted = |consumer: &Consumer| consumer.wants(sequence, &stored.subject);
            if !self.consumers.values().any(is_wanted) {
                self.remove(sequence);
            }
        }
    }

    /// Removes a message, for consumers as well.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<Stored> {
        let stored = self.store.remove(sequence)?;
        for consumer in self.consumers.values_mut() {
            consumer.forget(sequence, &stored.subject);
        }
        Some(stored)
    }

    /// Removes a consumer.
    pub(super) fn drop_consumer(&mut self, name: &str, turn: &mut Turn) -> Option<()> {
        let consumer = self.consumers.remove(name)?;
        consumer.end(turn);
        if self.config.retention == Retention::Interest {
            let all: Vec<u64> = self.store.from(&[], 0).map(|(sequence, _)| sequence).collect();
            self.release(&all);
        }
        Some(())
    }

    pub(super) fn on_time(&mut self, routes: &Routes, turn: &mut Turn) {
        self.keep_limits(turn);
        let now = turn.now.instant;
        let idle = self.consumers.values_mut().filter_map(|consumer| {
            consumer.on_time(routes, turn);
            consumer.is_abandoned(now, routes).then(|| consumer.name.to_string())
        });
        for name in idle.collect::<Vec<_>>() {
            self.drop_consumer(&name, turn);
        }
        self.wake(routes, turn);
    }

    /// When something is due next.
    pub(super) fn next_due(&self, now: Now) -> Option<Instant> {
        let age = self.config.age();
        let oldest = self.store.first().zip(age).map(|((_, first), age)| first.time.after(age));
        let end = self.store.first_end().map(|(end, _)| end);
        let own = oldest.into_iter().chain(end).map(|time| now.instant_of(time));
        own.chain(self.consumers.values().filter_map(|consumer| consumer.next_due(now))).min()
    }
}
