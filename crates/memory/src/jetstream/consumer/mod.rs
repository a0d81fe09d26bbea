mod ack;
mod config;
mod deliver;
mod info;
mod pull;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub(super) use ack::Ack;
pub(super) use config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use jetlane_proto::SubjectFilter;
use pull::Pull;
use serde_json::json;

use super::Turn;
use super::advisory::Advisory;
use super::store::Store;
use crate::clock::{Now, WallTime, later};
use crate::content::Content;
use crate::routes::Routes;
use crate::subjects::any_matches;

/// A pull consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    stream: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) config: ConsumerConfig,
    /// The same as in `config`; none is all.
    filters: Vec<SubjectFilter>,
    created: WallTime,
    /// The first sequence of the stream that was not looked at yet.
    next: u64,
    /// Sequences below `next` that are to be delivered for the first time all the same.
    before: BTreeSet<u64>,
    /// Messages that were not delivered yet, and are to be.
    undelivered: u64,
    /// How many deliveries there were: the consumer sequence of the last one.
    deliveries: u64,
    /// Delivered and not settled, by stream sequence.
    unacked: BTreeMap<u64, Unacked>,
    /// Those of them that are to be delivered again.
    again: BTreeSet<u64>,
    waiting: VecDeque<Pull>,
    /// When somebody asked it for something the last time.
    heard: Instant,
}

#[derive(Debug)]
struct Unacked {
    /// Of the first delivery.
    consumer_sequence: u64,
    /// At least 1.
    delivered: u64,
    /// When it is delivered again; `None` if that is as soon as possible.
    due: Option<Instant>,
}

/// Messages that this consumer needs no more.
#[derive(Debug, Default)]
pub(super) struct Settled(pub(super) Vec<u64>);

impl Consumer {
    pub(super) fn new(
        stream: &Arc<str>,
        name: &str,
        config: ConsumerConfig,
        store: &Store,
        now: Now,
    ) -> Self {
        let mut consumer = Self {
            stream: Arc::clone(stream),
            name: name.into(),
            filters: config.filters(),
            config,
            created: now.wall,
            next: 0,
            before: BTreeSet::new(),
            undelivered: 0,
            deliveries: 0,
            unacked: BTreeMap::new(),
            again: BTreeSet::new(),
            waiting: VecDeque::new(),
            heard: now.instant,
        };
        consumer.begin(store);
        consumer
    }

    /// Goes to where it is to begin.
    fn begin(&mut self, store: &Store) {
        let end = store.last_sequence() + 1;
        let last = |filters: &[SubjectFilter]| store.last_of(filters).map(|(sequence, _)| sequence);
        let start = match self.config.deliver_policy {
            DeliverPolicy::All => store.first_sequence(),
            DeliverPolicy::Last => last(&self.filters).unwrap_or(end),
            DeliverPolicy::New => end,
            DeliverPolicy::LastPerSubject => {
                self.before = store.last_of_each(&self.filters, u64::MAX);
                end
            }
            DeliverPolicy::ByStartSequence => self.config.opt_start_seq.max(store.first_sequence()),
            DeliverPolicy::ByStartTime => {
                let time = self.config.opt_start_time.unwrap_or_default();
                store.since(time).unwrap_or(end)
            }
        };
        self.next = start.max(1);
        self.count(store);
    }

    /// Counts anew what is to be delivered.
    fn count(&mut self, store: &Store) {
        let new = store.from(&self.filters, self.next).count() + self.before.len();
        self.undelivered = new as u64;
    }

    /// Takes a config that was found to be possible.
    pub(super) fn update(&mut self, config: ConsumerConfig, store: &Store) {
        self.filters = config.filters();
        self.config = config;
        self.before.retain(|&sequence| {
            store.get(sequence).is_some_and(|stored| any_matches(&self.filters, &stored.subject))
        });
        self.count(store);
    }

    pub(super) fn matches(&self, subject: &str) -> bool {
        any_matches(&self.filters, subject)
    }

    /// Whether this message is still to be delivered or settled.
    pub(super) fn wants(&self, sequence: u64, subject: &str) -> bool {
        let is_new = sequence >= self.next && self.matches(subject);
        is_new || self.before.contains(&sequence) || self.unacked.contains_key(&sequence)
    }

    /// A message was stored.
    pub(super) fn on_stored(&mut self, subject: &str) {
        if self.matches(subject) {
            self.undelivered += 1;
        }
    }

    /// A message is not there any more.
    pub(super) fn forget(&mut self, sequence: u64, subject: &str) {
        if self.before.remove(&sequence) || (sequence >= self.next && self.matches(subject)) {
            self.undelivered = self.undelivered.saturating_sub(1);
        }
        self.unacked.remove(&sequence);
        self.again.remove(&sequence);
    }

    /// Sets when it delivers again; `None` is now. Tells who wants to know.
    pub(super) fn pause(&mut self, until: Option<WallTime>, turn: &mut Turn) {
        self.config.pause_until = until;
        self.tell_pause(turn);
        turn.remind(turn.now.instant);
    }

    pub(super) fn is_paused(&self, now: Now) -> bool {
        self.config.pause_until.is_some_and(|until| now.wall < until)
    }

    fn tell_pause(&self, turn: &mut Turn) {
        let paused = self.is_paused(turn.now);
        let mut more = json!({ "paused": paused });
        if let Some(until) = self.config.pause_until.filter(|_| paused) {
            more["pause_until"] = until.text().into();
        }
        self.advise("PAUSE", "consumer_pause", more, turn);
    }

    fn advise(&self, subject: &str, kind: &str, more: serde_json::Value, turn: &mut Turn) {
        let (subject, consumer) = (&*format!("CONSUMER.{subject}"), Some(&*self.name));
        Advisory { subject, kind, stream: &self.stream, consumer, more }.send(turn);
    }

    /// Tells that it is there.
    pub(super) fn tell_created(&self, turn: &mut Turn) {
        self.advise("CREATED", "consumer_action", json!({ "action": "create" }), turn);
        if self.is_paused(turn.now) {
            self.tell_pause(turn);
        }
    }

    /// It is gone: who waits for it is told.
    pub(super) fn end(self, turn: &mut Turn) {
        for pull in &self.waiting {
            let content = Content::status("409 Consumer Deleted", "");
            turn.send(Arc::clone(&pull.inbox), content);
        }
        self.advise("DELETED", "consumer_action", json!({ "action": "delete" }), turn);
    }

    /// Does what is due, but delivers nothing.
    pub(super) fn on_time(&mut self, routes: &Routes, turn: &mut Turn) {
        let now = turn.now.instant;
        let late =
            self.unacked.iter().filter(|(_, unacked)| unacked.due.is_some_and(|due| due <= now));
        for sequence in late.map(|(&sequence, _)| sequence).collect::<Vec<_>>() {
            self.deliver_again(sequence, turn);
        }
        self.drop_ended(routes, turn);
        let (deliveries, last) = (self.deliveries, self.next.saturating_sub(1));
        self.waiting.iter_mut().for_each(|pull| pull.beat(deliveries, last, turn));
        if self.config.pause_until.is_some_and(|until| until <= turn.now.wall) {
            self.config.pause_until = None;
            self.tell_pause(turn);
        }
    }

    /// Whether nobody asked it for anything for as long as it is to live without.
    pub(super) fn is_abandoned(&mut self, now: Instant, routes: &Routes) -> bool {
        if self.waiting.iter().any(|pull| routes.has_interest(&pull.inbox)) {
            self.heard = now;
        }
        let threshold = self.config.threshold();
        threshold.is_some_and(|threshold| now.duration_since(self.heard) >= threshold)
    }

    /// When something is due next.
    pub(super) fn next_due(&self, now: Now) -> Option<Instant> {
        let acks = self.unacked.values().filter_map(|unacked| unacked.due);
        let pulls = self.waiting.iter().filter_map(Pull::next_due);
        let pause = self.config.pause_until.map(|until| now.instant_of(until));
        let end = self.config.threshold().map(|threshold| later(self.heard, threshold));
        acks.chain(pulls).chain(pause).chain(end).min()
    }
}
