use serde_json::json;

use super::config::{Discard, Retention, Storage};
use super::time_to_live::TimeToLive;
use super::{Stored, Stream};
use crate::clock::WallTime;
use crate::content::Content;
use crate::jetstream::error::Refusal;
use crate::jetstream::fields::limit;
use crate::jetstream::{Request, Turn};
use crate::routes::Routes;

/// The most headers a stream stores, in bytes.
const MOST_HEADERS: usize = 64 * 1024;

/// What became of a message that was not refused.
enum Published {
    Stored(u64),
    Known(u64),
}

impl Stream {
    /// Stores a message, if nothing speaks against it, and says so.
    pub(in crate::jetstream) fn publish(
        &mut self,
        request: &Request<'_>,
        routes: &Routes,
        turn: &mut Turn,
    ) {
        let published = self.try_publish(request, turn);
        if !self.config.no_ack {
            let answer = self.answer(published.as_ref());
            turn.answer(request.reply, Content::payload_only(answer));
        }
        if matches!(published, Ok(Published::Stored(_))) {
            self.keep_subject(request.subject);
            self.keep_limits(turn);
            self.wake(routes, turn);
        }
    }

    fn answer(&self, published: Result<&Published, &Refusal>) -> String {
        let stream = &self.name;
        match published {
            // Written by hand, as a nats-server does: clients recognise it without a JSON reader.
            Ok(Published::Stored(seq)) => format!(r#"{{"stream":"{stream}","seq":{seq}}}"#),
            Ok(Published::Known(seq)) => {
                format!(r#"{{"stream":"{stream}","seq":{seq},"duplicate": true}}"#)
            }
            Err(refusal) => {
                json!({ "error": refusal.to_json(), "stream": &**stream, "seq": 0 }).to_string()
            }
        }
    }

    fn try_publish(
        &mut self,
        request: &Request<'_>,
        turn: &mut Turn,
    ) -> Result<Published, Refusal> {
        let Request { subject, content, .. } = *request;
        let now = turn.now.wall;
        if self.config.sealed {
            return Err(Refusal::sealed());
        }
        if let Some(stream) = content.header("Nats-Expected-Stream")
            && stream != &*self.name
        {
            return Err(Refusal::new(400, 10060, "expected stream does not match"));
        }
        let id = content.header("Nats-Msg-Id").filter(|id| !id.is_empty());
        if let Some(id) = id
            && let Some(window) = self.config.window()
            && let Some(sequence) = self.recent.find(id, window, now)
        {
            return Ok(Published::Known(sequence));
        }
        self.check_size(content)?;
        self.meets(subject, content)?;
        let ends = self.end_of(content, now)?;
        let rollup = self.rollup(content)?;
        let size = self.size(subject, content);
        self.check_room(subject, size)?;
        let sequence = match self.has_use_for(subject) {
            true => {
                let content = content.clone();
                let stored = Stored { subject: subject.into(), content, time: now, size, ends };
                let sequence = self.store.append(stored);
                self.consumers.values_mut().for_each(|consumer| consumer.on_stored(subject));
                self.roll_up(rollup, subject, sequence);
                self.remind_of_end(ends, turn);
                sequence
            }
            false => self.store.skip(now),
        };
        if let Some(id) = id {
            self.recent.add(id, sequence, now);
        }
        Ok(Published::Stored(sequence))
    }

    fn check_size(&self, content: &Content) -> Result<(), Refusal> {
        if content.headers().len() > MOST_HEADERS {
            return Err(Refusal::new(400, 10097, "header size exceeds maximum allowed of 64k"));
        }
        match limit(self.config.max_msg_size) {
            Some(most) if content.len() as u64 > most => {
                Err(Refusal::new(400, 10054, "message size exceeds maximum allowed"))
            }
            _ => Ok(()),
        }
    }

    /// When the message ends that says so itself.
    fn end_of(&self, content: &Content, now: WallTime) -> Result<Option<WallTime>, Refusal> {
        let Some(text) = content.header("Nats-TTL") else { return Ok(None) };
        if !self.config.allow_msg_ttl {
            return Err(Refusal::new(400, 10166, "per-message TTL is disabled"));
        }
        match TimeToLive::read(text) {
            None => Err(Refusal::new(400, 10165, "invalid per-message TTL")),
            Some(TimeToLive::Never) => Ok(Some(WallTime(u64::MAX))),
            Some(TimeToLive::For(duration)) => Ok(Some(now.after(duration))),
        }
    }

    fn remind_of_end(&self, ends: Option<WallTime>, turn: &mut Turn) {
        let oldest = self.config.age().map(|age| turn.now.wall.after(age));
        for end in ends.into_iter().chain(oldest) {
            turn.remind(turn.now.instant_of(end));
        }
    }

    /// As a nats-server counts it.
    fn size(&self, subject: &str, content: &Content) -> u64 {
        let around = match self.config.storage {
            Storage::Memory => 16,
            Storage::File if content.headers().is_empty() => 30,
            Storage::File => 34,
        };
        (subject.len() + content.len() + around) as u64
    }

    /// Whether there is room for one more, where old ones are not to make it.
    fn check_room(&self, subject: &str, size: u64) -> Result<(), Refusal> {
        if self.config.discard == Discard::Old {
            return Ok(());
        }
        let full = |what: &str| Err(Refusal::new(503, 10077, format!("maximum {what} exceeded")));
        let there = |subject| self.store.of_subject(subject).map_or(0, |found| found.len() as u64);
        if let Some(most) = limit(self.config.max_msgs_per_subject)
            && self.config.discard_new_per_subject
            && there(subject) >= most
        {
            return full("messages per subject");
        }
        if limit(self.config.max_msgs).is_some_and(|most| self.store.messages() >= most) {
            return full("messages");
        }
        if limit(self.config.max_bytes).is_some_and(|most| self.store.bytes() + size > most) {
            return full("bytes");
        }
        Ok(())
    }

    /// Whether anybody will want it, now or ever.
    fn has_use_for(&self, subject: &str) -> bool {
        self.config.retention != Retention::Interest
            || self.consumers.values().any(|consumer| consumer.matches(subject))
    }
}
