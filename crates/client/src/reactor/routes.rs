//! Where messages go: a table by subscription number.

use std::fmt;
use std::time::Instant;

use jetlane_proto::{ServerError, SubjectFilter, encode};

use crate::contain::contain;
use crate::sids::Sids;
use crate::sink::{CloseReason, Out, Sink, Unsent};
use crate::stats::Counters;

/// A subscription: what it asked for, and who takes its messages.
pub(crate) struct Route {
    sid: u64,
    filter: SubjectFilter,
    group: Box<str>,
    pub(crate) sink: Box<dyn Sink>,
    /// Messages that were handed over, and how many there may be at most.
    delivered: u64,
    most: u64,
    /// True while it is in `Routes::touched`.
    touched: bool,
    /// A drain of the connection drains it, too: it is the user's, and no inbox of ours.
    drains: bool,
    /// The sink was told that no more messages come.
    ended: bool,
}

impl Route {
    pub(crate) fn new(sid: u64, filter: SubjectFilter, group: &str, sink: Box<dyn Sink>) -> Self {
        Self {
            sid,
            filter,
            group: group.into(),
            sink,
            delivered: 0,
            most: u64::MAX,
            touched: false,
            drains: false,
            ended: false,
        }
    }

    /// Ends after so many messages, if any number is given.
    pub(crate) fn ends_after(mut self, most: Option<u64>) -> Self {
        self.most = most.unwrap_or(u64::MAX);
        self
    }

    /// Is drained with the connection.
    pub(crate) fn drains(mut self, drains: bool) -> Self {
        self.drains = drains;
        self
    }

    /// Whether more messages may come.
    fn goes_on(&self) -> bool {
        !self.ended && self.delivered < self.most && self.sink.wants_more()
    }

    fn subscribe(&self, out: &mut Vec<u8>) {
        let Self { filter, group, sid, most, delivered, .. } = self;
        encode::subscribe(out, filter.as_str().as_bytes(), group.as_bytes(), *sid);
        if *most != u64::MAX {
            encode::unsubscribe_after(out, *sid, most - delivered);
        }
    }

    fn end(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.ended, true) {
            self.sink.closed(reason);
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("sid", &self.sid).field("filter", &self.filter).finish()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// By [`Sids::index`].
    table: Vec<Option<Route>>,
    /// Places of those that had messages or a nudge since the last end of a turn.
    touched: Vec<usize>,
    /// Numbers of those that have timeouts.
    timed: Vec<u64>,
}

impl Routes {
    pub(crate) fn insert(&mut self, sid: u64, route: Route) {
        let index = Sids::index(sid);
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || None);
        }
        if route.sink.is_timed() {
            self.timed.push(sid);
        }
        self.table[index] = Some(route);
    }

    pub(crate) fn remove(&mut self, sid: u64) -> Option<Route> {
        let route = self.table.get_mut(Sids::index(sid))?.take_if(|route| route.sid == sid)?;
        self.timed.retain(|&timed| timed != sid);
        Some(route)
    }

    /// The sink that takes a message for `sid`; it counts as touched.
    #[inline]
    pub(crate) fn taker(&mut self, sid: u64) -> Option<&mut dyn Sink> {
        let index = Sids::index(sid);
        let route = self.table.get_mut(index)?.as_mut().filter(|route| route.sid == sid)?;
        if route.delivered >= route.most {
            return None;
        }
        route.delivered += 1;
        if !route.touched {
            route.touched = true;
            self.touched.push(index);
        }
        Some(&mut *route.sink)
    }

    /// Has the sink of `sid` end its turn. False if there is none.
    pub(crate) fn touch(&mut self, sid: u64) -> bool {
        let index = Sids::index(sid);
        let place = self.table.get_mut(index).and_then(Option::as_mut);
        let Some(route) = place.filter(|route| route.sid == sid) else { return false };
        if !route.touched {
            route.touched = true;
            self.touched.push(index);
        }
        true
    }

    pub(crate) fn end_turn(&mut self, out: &mut Out<'_>) {
        for index in self.touched.drain(..) {
            let place = &mut self.table[index];
            if let Some(route) = place {
                route.touched = false;
                out.sid = route.sid;
                route.sink.turn_end(out);
                if route.delivered >= route.most {
                    route.end(CloseReason::Complete);
                    let sid = route.sid;
                    *place = None;
                    self.timed.retain(|&timed| timed != sid);
                }
            }
        }
    }

    /// Subscribes to everything again.
    pub(crate) fn restore(&self, out: &mut Vec<u8>) {
        for route in self.table.iter().flatten().filter(|route| route.goes_on()) {
            route.subscribe(out);
        }
    }

    /// The numbers of all that [`Routes::restore`] subscribes to.
    pub(crate) fn going_on(&self) -> Vec<u64> {
        let routes = self.table.iter().flatten().filter(|route| route.goes_on());
        routes.map(|route| route.sid).collect()
    }

    /// Whether more messages may come for `sid`.
    pub(crate) fn goes_on(&self, sid: u64) -> bool {
        let route = self.table.get(Sids::index(sid)).and_then(Option::as_ref);
        route.is_some_and(|route| route.sid == sid && route.goes_on())
    }

    /// Whether `sid` shares its messages with others.
    pub(crate) fn is_shared(&self, sid: u64) -> bool {
        let route = self.table.get(Sids::index(sid)).and_then(Option::as_ref);
        route.is_some_and(|route| !route.group.is_empty())
    }

    /// Subscribes to `sid`, as it is asked for.
    pub(crate) fn subscribe_one(&self, sid: u64, out: &mut Vec<u8>) {
        if let Some(Some(route)) = self.table.get(Sids::index(sid)) {
            route.subscribe(out);
        }
    }

    /// Unsubscribes from all there is, on a link that is left.
    pub(crate) fn unsubscribe_everything(&self, out: &mut Vec<u8>) {
        for route in self.table.iter().flatten().filter(|route| !route.ended) {
            encode::unsubscribe(out, route.sid);
        }
    }

    /// Has `sid` end when it has had `most` messages in all.
    pub(crate) fn limit(&mut self, sid: u64, most: u64) {
        if let Some(Some(route)) = self.table.get_mut(Sids::index(sid))
            && route.sid == sid
        {
            route.most = most;
        }
        // It may have had them already.
        self.touch(sid);
    }

    /// No more messages come for `sid`.
    pub(crate) fn finish(&mut self, sid: u64, reason: CloseReason) {
        if let Some(mut route) = self.remove(sid) {
            route.end(reason);
        }
    }

    /// Unsubscribes from all that is the user's.
    pub(crate) fn unsubscribe_all(&self, out: &mut Vec<u8>) {
        for route in self.table.iter().flatten().filter(|route| route.drains && !route.ended) {
            encode::unsubscribe(out, route.sid);
        }
    }

    /// No more messages come for all that is the user's.
    pub(crate) fn finish_all(&mut self, reason: CloseReason) {
        for route in self.table.iter_mut().flatten().filter(|route| route.drains) {
            route.end(reason);
        }
    }

    /// True if the user has read all there is to read.
    pub(crate) fn are_read_out(&mut self) -> bool {
        self.sinks().all(|sink| sink.is_read_out())
    }

    /// True if no sink waits for something on its way to or from the server.
    pub(crate) fn are_at_rest(&mut self) -> bool {
        self.sinks().all(|sink| sink.is_at_rest())
    }

    /// The server has complained: ends the subscription that it does not permit, or tells all sinks of the publish.
    /// `wait_for_encoders` returns when no encoder is at work that began before.
    pub(crate) fn complained(&mut self, error: &ServerError, wait_for_encoders: impl FnOnce()) {
        match error {
            ServerError::SubscribePermission { subject, queue } => {
                let queue = queue.as_deref().unwrap_or_default();
                let mut denied = Vec::new();
                for route in self.table.iter_mut().flatten() {
                    if route.filter.as_str() == subject && *route.group == *queue {
                        route.sink.denied();
                        denied.push(route.sid);
                    }
                }
                wait_for_encoders();
                denied.into_iter().for_each(|sid| self.finish(sid, CloseReason::Denied));
            }
            ServerError::PublishPermission { subject } => {
                let indices = 0..self.table.len();
                for index in indices {
                    if let Some(route) = &mut self.table[index] {
                        route.sink.publish_denied(subject.as_bytes());
                        let sid = route.sid;
                        self.touch(sid);
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn connected(&mut self, out: &mut Out<'_>) {
        for route in self.table.iter_mut().flatten() {
            out.sid = route.sid;
            route.sink.connected(out);
        }
    }

    pub(crate) fn connect_one(&mut self, sid: u64, out: &mut Out<'_>) {
        if let Some(Some(route)) = self.table.get_mut(Sids::index(sid)) {
            out.sid = sid;
            route.sink.connected(out);
        }
    }

    /// Tells every sink, and marks it as touched: at the next end of the turn it can wake those whom it could not wake now.
    pub(crate) fn disconnected(&mut self, unsent: &mut Unsent<'_>) {
        self.touched.clear();
        for (index, route) in self.table.iter_mut().enumerate() {
            if let Some(route) = route {
                route.sink.disconnected(unsent);
                route.touched = true;
                self.touched.push(index);
            }
        }
    }

    pub(crate) fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        let Self { table, timed, .. } = self;
        timed
            .iter()
            .filter_map(|&sid| table[Sids::index(sid)].as_mut()?.sink.next_timeout(now))
            .min()
    }

    pub(crate) fn on_time(&mut self, out: &mut Out<'_>) {
        let now = out.now();
        for &sid in &self.timed {
            if let Some(route) = &mut self.table[Sids::index(sid)]
                && route.sink.next_timeout(now).is_some_and(|at| now >= at)
            {
                out.sid = route.sid;
                route.sink.timeout(out);
            }
        }
    }

    /// Ends all subscriptions. A sink that panics meanwhile must not keep the others from learning of it.
    pub(crate) fn close(&mut self, reason: CloseReason, counters: &Counters) {
        for mut route in std::mem::take(self).table.into_iter().flatten() {
            contain(counters, || {
                route.end(reason);
                drop(route);
            });
        }
    }

    fn sinks(&mut self) -> impl Iterator<Item = &mut Box<dyn Sink>> {
        self.table.iter_mut().flatten().map(|route| &mut route.sink)
    }
}
