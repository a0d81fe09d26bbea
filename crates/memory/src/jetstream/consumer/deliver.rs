use std::sync::Arc;

use super::{AckPolicy, Consumer, Settled, Unacked};
use crate::clock::later;
use crate::jetstream::Turn;
use crate::jetstream::store::{Store, Stored};
use crate::jetstream::turn::Emission;
use crate::routes::Routes;

/// A message that may be delivered now.
struct Next<'a> {
    sequence: u64,
    stored: &'a Stored,
    /// 1 if it is delivered for the first time.
    delivered: u64,
}

impl Consumer {
    /// Delivers what can be delivered to whoever waits for it. Returns what needs no ack.
    pub(in crate::jetstream) fn deliver(
        &mut self,
        store: &Store,
        routes: &Routes,
        turn: &mut Turn,
    ) -> Settled {
        let mut settled = Settled::default();
        if self.waiting.is_empty() || self.is_paused(turn.now) {
            return settled;
        }
        self.drop_ended(routes, turn);
        while !self.waiting.is_empty() {
            let Some(next) = self.look(store) else {
                self.end_one_shots(turn);
                break;
            };
            if self.hand_over(&next, turn) && self.config.ack_policy == AckPolicy::None {
                settled.0.push(next.sequence);
            }
        }
        settled
    }

    /// What comes next: what is to be delivered again, before what is new.
    fn look<'a>(&mut self, store: &'a Store) -> Option<Next<'a>> {
        while let Some(&sequence) = self.again.first() {
            if let (Some(stored), Some(unacked)) =
                (store.get(sequence), self.unacked.get(&sequence))
            {
                return Some(Next { sequence, stored, delivered: unacked.delivered + 1 });
            }
            self.again.remove(&sequence);
        }
        if self.unacked.len() >= self.config.most_unacked() {
            return None;
        }
        if let Some(&sequence) = self.before.first() {
            return store.get(sequence).map(|stored| Next { sequence, stored, delivered: 1 });
        }
        let found = store.next(&self.filters, self.next);
        // What lies between is not for us, and needs not to be looked at again.
        self.next = found.map_or(store.last_sequence() + 1, |(found, _)| found).max(self.next);
        found.map(|(sequence, stored)| Next { sequence, stored, delivered: 1 })
    }

    /// Gives a message to the first that waits. Returns false if it was too large for it, and its request ended with that.
    fn hand_over(&mut self, next: &Next<'_>, turn: &mut Turn) -> bool {
        let Some(mut pull) = self.waiting.pop_front() else { return false };
        let Next { sequence, stored, delivered } = *next;
        let is_new = delivered == 1;
        let pending = self.undelivered.saturating_sub(u64::from(is_new));
        let reply = format!(
            "$JS.ACK.{}.{}.{delivered}.{sequence}.{}.{}.{pending}",
            self.stream,
            self.name,
            self.deliveries + 1,
            stored.time.0,
        );
        let content = match self.config.headers_only {
            true => stored.content.headers_only(),
            false => stored.content.clone(),
        };
        let size = (stored.subject.len() + reply.len() + content.len()) as u64;
        if pull.left_bytes.is_some_and(|left| size > left) {
            pull.end("409 Message Size Exceeds MaxBytes", turn);
            return false;
        }
        let (to, subject) = (Arc::clone(&pull.inbox), Arc::clone(&stored.subject));
        turn.out.push(Emission { to, subject, reply: Some(reply), content });
        self.delivered(next, turn);
        pull.left -= 1;
        pull.delivered += 1;
        pull.left_bytes = pull.left_bytes.map(|left| left - size);
        pull.heard(turn.now);
        match pull.left {
            // Those who wait take turns.
            1.. => self.waiting.push_back(pull),
            0 if pull.left_bytes.is_some_and(|left| left > 0) => {
                pull.end("409 Batch Completed", turn);
            }
            0 => {}
        }
        true
    }

    /// Remembers that a message was delivered.
    fn delivered(&mut self, next: &Next<'_>, turn: &mut Turn) {
        let Next { sequence, delivered, .. } = *next;
        self.deliveries += 1;
        self.heard = turn.now.instant;
        if delivered == 1 {
            self.undelivered = self.undelivered.saturating_sub(1);
            if !self.before.remove(&sequence) {
                self.next = sequence + 1;
            }
        }
        self.again.remove(&sequence);
        if self.config.ack_policy == AckPolicy::None {
            return;
        }
        let due = later(turn.now.instant, self.config.wait_for_ack(delivered));
        turn.remind(due);
        let consumer_sequence = self.deliveries;
        let unacked = self.unacked.entry(sequence).or_insert(Unacked {
            consumer_sequence,
            delivered,
            due: None,
        });
        (unacked.delivered, unacked.due) = (delivered, Some(due));
    }
}
