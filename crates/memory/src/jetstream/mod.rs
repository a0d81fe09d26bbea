//! JetStream without I/O: it is told what is published and what time it is, and says what is to be sent.

mod advisory;
mod api;
mod consumer;
mod error;
mod fields;
mod store;
mod stream;
mod turn;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::clock::Now;
use crate::content::Content;
use crate::routes::Routes;
use consumer::Ack;
use stream::Stream;
pub(crate) use turn::{Emission, Turn};

const API: &str = "$JS.API.";
const ACK: &str = "$JS.ACK.";

/// Something that was published, and may be for JetStream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) subject: &'a str,
    pub(crate) reply: Option<&'a str>,
    pub(crate) content: &'a Content,
}

/// Whether something was for JetStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    Yes,
    No,
}

/// All streams, by name.
#[derive(Debug, Default)]
pub(crate) struct JetStream {
    streams: BTreeMap<String, Stream>,
    /// How many API requests were answered, and how many with an error.
    api_total: u64,
    api_errors: u64,
}

impl JetStream {
    pub(crate) fn handle(
        &mut self,
        request: &Request<'_>,
        routes: &Routes,
        turn: &mut Turn,
    ) -> Handled {
        if let Some(call) = request.subject.strip_prefix(API) {
            return self.api(call, request, routes, turn);
        }
        if let Some(ack) = request.subject.strip_prefix(ACK) {
            return self.ack(ack, request, routes, turn);
        }
        match self.streams.values_mut().find(|stream| stream.takes(request.subject)) {
            Some(stream) => {
                stream.publish(request, routes, turn);
                Handled::Yes
            }
            None => Handled::No,
        }
    }

    fn ack(
        &mut self,
        tokens: &str,
        request: &Request<'_>,
        routes: &Routes,
        turn: &mut Turn,
    ) -> Handled {
        let Some(ack) = Ack::read(tokens, request) else { return Handled::No };
        let Some(stream) = self.streams.get_mut(ack.stream) else { return Handled::No };
        stream.ack(&ack, routes, turn)
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, routes: &Routes, turn: &mut Turn) {
        self.streams.values_mut().for_each(|stream| stream.on_time(routes, turn));
    }

    /// When something is due next.
    pub(crate) fn next_due(&self, now: Now) -> Option<Instant> {
        self.streams.values().filter_map(|stream| stream.next_due(now)).min()
    }
}
