//! Messages as they are, without JSON around them (ADR-31).

use std::collections::BTreeSet;

use jetlane_proto::SubjectFilter;
use serde::Deserialize;

use crate::clock::WallTime;
use crate::content::Content;
use crate::jetstream::store::{Store, Stored};
use crate::jetstream::stream::Stream;
use crate::jetstream::{Handled, JetStream, Request, Turn};

/// Most messages, and most subjects, of one request.
const MOST: usize = 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    seq: u64,
    #[serde(deserialize_with = "crate::clock::read_time")]
    start_time: Option<WallTime>,
    last_by_subj: String,
    next_by_subj: String,
    multi_last: Vec<String>,
    batch: usize,
    max_bytes: usize,
    up_to_seq: u64,
    #[serde(deserialize_with = "crate::clock::read_time")]
    up_to_time: Option<WallTime>,
    no_hdr: bool,
}

/// An error is the status to answer with.
type Found<T> = Result<T, &'static str>;

impl JetStream {
    /// `subject` is empty where the body says what is wanted.
    pub(super) fn direct_get(
        &mut self,
        stream: &str,
        subject: &str,
        request: &Request<'_>,
        turn: &mut Turn,
    ) -> Handled {
        let allowed = self.streams.get(stream).filter(|stream| stream.config.allow_direct);
        let (Some(stream), Some(reply)) = (allowed, request.reply) else { return Handled::No };
        let found = read(request.content.payload(), subject).and_then(|ask| ask.find(stream));
        match found {
            Ok(answers) => {
                answers.into_iter().for_each(|answer| turn.send(reply.into(), answer));
            }
            Err(status) => turn.send(reply.into(), Content::status(status, "")),
        }
        Handled::Yes
    }
}

fn read(body: &[u8], subject: &str) -> Found<Ask> {
    if !subject.is_empty() {
        return Ok(Ask { last_by_subj: subject.into(), ..Ask::default() });
    }
    if body.is_empty() {
        return Err("408 Empty Request");
    }
    serde_json::from_slice(body).map_err(|_| "408 Malformed Request")
}

impl Ask {
    fn find(&self, stream: &Stream) -> Found<Vec<Content>> {
        if self.no_hdr {
            return Err("400 Not Supported By The Server In Memory");
        }
        let store = &stream.store;
        if !self.multi_last.is_empty() {
            return self.last_of_each(stream);
        }
        let from = match self.start_time {
            Some(_) if self.seq > 0 => return Err("408 Bad Request"),
            Some(time) => store.since(time).unwrap_or(u64::MAX),
            None => self.seq,
        };
        let gone = "404 Message Not Found";
        let one = |found: Option<(u64, &Stored)>| {
            let (sequence, stored) = found.ok_or(gone)?;
            Ok(vec![message(stream, sequence, stored, "")])
        };
        match (from, self.last_by_subj.as_str(), self.next_by_subj.as_str()) {
            (0, "", "") => Err("408 Empty Request"),
            (0, last, "") => one(store.last_of(&[filter(last)?])),
            (_, "", next) if self.batch == 0 => one(match next {
                "" => store.get(from).map(|stored| (from, stored)),
                next => store.next(&[filter(next)?], from),
            }),
            (_, "", next) => {
                let next = if next.is_empty() { ">" } else { next };
                let found: Vec<u64> =
                    store.from(&[filter(next)?], from).map(|(sequence, _)| sequence).collect();
                if found.is_empty() { Err(gone) } else { Ok(self.batch(stream, &found, "")) }
            }
            _ => Err("408 Bad Request"),
        }
    }

    fn last_of_each(&self, stream: &Stream) -> Found<Vec<Content>> {
        let store = &stream.store;
        let filters = self.multi_last.iter().map(|text| filter(text));
        let filters = filters.collect::<Found<Vec<SubjectFilter>>>()?;
        let up_to = match (self.up_to_seq, self.up_to_time) {
            (0, None) => store.last_sequence(),
            (sequence, None) => sequence,
            (0, Some(time)) => before(store, time),
            _ => return Err("408 Bad Request"),
        };
        let found: BTreeSet<u64> = store.last_of_each(&filters, up_to);
        match found.len() {
            0 => Err("404 No Results"),
            1..=MOST => {
                let found: Vec<u64> = found.into_iter().collect();
                Ok(self.batch(stream, &found, &format!("Nats-UpTo-Sequence: {up_to}\r\n")))
            }
            _ => Err("413 Too Many Results"),
        }
    }

    /// As many as fit, and a last word.
    fn batch(&self, stream: &Stream, found: &[u64], end: &str) -> Vec<Content> {
        let most = if self.batch == 0 { MOST } else { self.batch.min(MOST) };
        let mut answers = Vec::new();
        let (mut bytes, mut last, mut pending) = (0, 0, found.len());
        for &sequence in found.iter().take(most) {
            let Some(stored) = stream.store.get(sequence) else { continue };
            pending -= 1;
            let position = format!("Nats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last}\r\n");
            answers.push(message(stream, sequence, stored, &position));
            last = sequence;
            bytes += stored.subject.len() + stored.content.len();
            if self.max_bytes > 0 && bytes >= self.max_bytes {
                break;
            }
        }
        let position =
            format!("Nats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last}\r\n{end}");
        answers.push(Content::status("204 EOB", &position));
        answers
    }
}

fn filter(text: &str) -> Found<SubjectFilter> {
    SubjectFilter::new(text).map_err(|_| "408 Bad Request")
}

/// The last message that was stored before `time`.
fn before(store: &Store, time: WallTime) -> u64 {
    store.since(time).map_or(store.last_sequence(), |first| first.saturating_sub(1))
}

fn message(stream: &Stream, sequence: u64, stored: &Stored, position: &str) -> Content {
    stored.content.with_lines(&format!(
        "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {sequence}\r\nNats-Time-Stamp: {}\r\n{position}",
        stream.name,
        stored.subject,
        stored.time.text(),
    ))
}
