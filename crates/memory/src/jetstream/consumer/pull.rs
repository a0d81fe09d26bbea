use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::clock::{Now, later};
use crate::content::Content;
use crate::jetstream::Turn;
use crate::jetstream::fields::{limit, nanos};

/// What a client asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PullRequest {
    pub(super) batch: i64,
    pub(super) max_bytes: i64,
    pub(super) expires: i64,
    pub(super) idle_heartbeat: i64,
    pub(super) no_wait: bool,
}

/// A request that waits for messages.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) inbox: Arc<str>,
    /// How many messages it is still to get; never 0.
    pub(super) left: u64,
    /// How many bytes it may still get.
    pub(super) left_bytes: Option<u64>,
    pub(super) delivered: u64,
    pub(super) expires: Option<Instant>,
    /// It waits no longer than there is something for it.
    pub(super) no_wait: bool,
    heartbeat: Option<Duration>,
    next_heartbeat: Option<Instant>,
}

impl PullRequest {
    /// Reads a body: empty, a number, or JSON.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let text = body.trim_ascii();
        if text.is_empty() {
            return Ok(Self { batch: 1, ..Self::default() });
        }
        if let Ok(batch) = serde_json::from_slice(text) {
            return Ok(Self { batch, ..Self::default() });
        }
        let request: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match request.idle_heartbeat.saturating_mul(2) > request.expires {
            true if request.idle_heartbeat > 0 => Err("heartbeat value too large".into()),
            _ => Ok(request),
        }
    }

    pub(super) fn begin(&self, inbox: &str, now: Now) -> Pull {
        let in_future = |wait| later(now.instant, wait);
        let heartbeat = nanos(self.idle_heartbeat);
        Pull {
            inbox: inbox.into(),
            left: limit(self.batch).unwrap_or(1),
            left_bytes: limit(self.max_bytes),
            delivered: 0,
            expires: nanos(self.expires).map(in_future),
            no_wait: self.no_wait,
            heartbeat,
            next_heartbeat: heartbeat.map(in_future),
        }
    }
}

impl Pull {
    pub(super) fn is_expired(&self, now: Now) -> bool {
        self.expires.is_some_and(|expires| expires <= now.instant)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        [self.expires, self.next_heartbeat].into_iter().flatten().min()
    }

    /// Something was sent: the next heartbeat is as far away as it can be.
    pub(super) fn heard(&mut self, now: Now) {
        self.next_heartbeat = self.heartbeat.map(|every| later(now.instant, every));
    }

    /// Ends it with a status that says how much did not come.
    pub(super) fn end(&self, status: &str, turn: &mut Turn) {
        let (left, left_bytes) = (self.left, self.left_bytes.unwrap_or(0));
        let pending =
            format!("Nats-Pending-Messages: {left}\r\nNats-Pending-Bytes: {left_bytes}\r\n");
        turn.send(Arc::clone(&self.inbox), Content::status(status, &pending));
    }

    /// A heartbeat, if it is time for one. `consumer` and `stream` are the sequences that were delivered last.
    pub(super) fn beat(&mut self, consumer: u64, stream: u64, turn: &mut Turn) {
        if self.next_heartbeat.is_some_and(|at| at <= turn.now.instant) {
            let position =
                format!("Nats-Last-Consumer: {consumer}\r\nNats-Last-Stream: {stream}\r\n");
            turn.send(Arc::clone(&self.inbox), Content::status("100 Idle Heartbeat", &position));
            self.heard(turn.now);
        }
    }
}
