//! The requests that wait for messages.

use std::sync::Arc;

use super::pull::{Pull, PullRequest};
use super::{Consumer, Turn};
use crate::content::Content;
use crate::jetstream::fields::{go_text, limit, nanos};
use crate::routes::Routes;

impl Consumer {
    /// Somebody asks for messages.
    pub(in crate::jetstream) fn pull(
        &mut self,
        inbox: &str,
        body: &[u8],
        routes: &Routes,
        turn: &mut Turn,
    ) {
        self.heard = turn.now.instant;
        match PullRequest::read(body) {
            Err(reason) => refuse(inbox, &format!("400 Bad Request - {reason}"), turn),
            Ok(request) => {
                if let Err(status) = self.add(&request, inbox, routes, turn) {
                    status.inspect(|status| refuse(inbox, status, turn));
                }
            }
        }
    }

    /// Lets a request wait. The error is the status to refuse it with, if any.
    fn add(
        &mut self,
        request: &PullRequest,
        inbox: &str,
        routes: &Routes,
        turn: &mut Turn,
    ) -> Result<(), Option<String>> {
        self.check_limits(request).map_err(Some)?;
        self.drop_ended(routes, turn);
        if request.no_wait {
            self.check_no_wait(request).map_err(|status| Some(status.into()))?;
        }
        if self.waiting.len() as u64 >= limit(self.config.max_waiting).unwrap_or(u64::MAX) {
            // Who listens for heartbeats will miss them, and is told nothing else.
            let wants_to_know = request.idle_heartbeat == 0;
            return Err(wants_to_know.then(|| "409 Exceeded MaxWaiting".into()));
        }
        let pull = request.begin(inbox, turn.now);
        pull.next_due().into_iter().for_each(|due| turn.remind(due));
        self.waiting.push_back(pull);
        Ok(())
    }

    fn check_limits(&self, request: &PullRequest) -> Result<(), String> {
        let config = &self.config;
        let beyond = |asked: i64, most: i64| most > 0 && asked > most;
        if beyond(request.batch, config.max_batch) {
            return Err(format!("409 Exceeded MaxRequestBatch of {}", config.max_batch));
        }
        if beyond(request.expires, config.max_expires) {
            let most = go_text(nanos(config.max_expires).unwrap_or_default());
            return Err(format!("409 Exceeded MaxRequestExpires of {most}"));
        }
        if beyond(request.max_bytes, config.max_bytes) {
            return Err(format!("409 Exceeded MaxRequestMaxBytes of {}", config.max_bytes));
        }
        Ok(())
    }

    /// Whether there is something for a request that does not wait.
    fn check_no_wait(&self, request: &PullRequest) -> Result<(), &'static str> {
        let there = self.undelivered + self.again.len() as u64;
        if there == 0 {
            return if request.expires > 0 { Ok(()) } else { Err("404 No Messages") };
        }
        let claimed: u64 = self.waiting.iter().map(|pull| pull.left).sum();
        if claimed >= there { Err("408 Requests Pending") } else { Ok(()) }
    }

    /// Ends requests whose time is over, and forgets those that nobody listens for any more.
    pub(super) fn drop_ended(&mut self, routes: &Routes, turn: &mut Turn) {
        self.waiting.retain(|pull| {
            if !routes.has_interest(&pull.inbox) {
                return false;
            }
            let expired = pull.is_expired(turn.now);
            if expired {
                pull.end("408 Request Timeout", turn);
            }
            !expired
        });
    }

    /// There is nothing more: who got something and does not wait is told.
    pub(super) fn end_one_shots(&mut self, turn: &mut Turn) {
        self.waiting.retain(|pull: &Pull| {
            let is_over = pull.no_wait && (pull.delivered > 0 || pull.expires.is_none());
            if is_over {
                turn.send(Arc::clone(&pull.inbox), Content::status("404 No Messages", ""));
            }
            !is_over
        });
    }
}

fn refuse(inbox: &str, status: &str, turn: &mut Turn) {
    turn.send(inbox.into(), Content::status(status, ""));
}
