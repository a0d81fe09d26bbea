//! Where messages go: a table by subscription number.

use std::fmt;
use std::time::Instant;

use jetlane_proto::{SubjectFilter, encode};

use crate::sids::Sids;
use crate::sink::{CloseReason, Out, Sink, Unsent};

/// A subscription: what it asked for, and who takes its messages.
pub(crate) struct Route {
    sid: u64,
    filter: SubjectFilter,
    group: Box<str>,
    pub(crate) sink: Box<dyn Sink>,
    /// True while it is in `Routes::touched`.
    touched: bool,
}

impl Route {
    pub(crate) fn new(sid: u64, filter: SubjectFilter, group: &str, sink: Box<dyn Sink>) -> Self {
        Self { sid, filter, group: group.into(), sink, touched: false }
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
        if !route.touched {
            route.touched = true;
            self.touched.push(index);
        }
        Some(&mut *route.sink)
    }

    pub(crate) fn touch(&mut self, sid: u64) {
        self.taker(sid);
    }

    pub(crate) fn end_turn(&mut self, out: &mut Out<'_>) {
        for index in self.touched.drain(..) {
            if let Some(route) = &mut self.table[index] {
                route.touched = false;
                out.sid = route.sid;
                route.sink.turn_end(out);
            }
        }
    }

    /// Subscribes to everything again.
    pub(crate) fn restore(&self, out: &mut Vec<u8>) {
        for Route { filter, group, sid, .. } in self.table.iter().flatten() {
            encode::subscribe(out, filter.as_str().as_bytes(), group.as_bytes(), *sid);
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

    /// Ends all subscriptions.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.sinks().for_each(|sink| sink.closed(reason));
        *self = Self::default();
    }

    fn sinks(&mut self) -> impl Iterator<Item = &mut Box<dyn Sink>> {
        self.table.iter_mut().flatten().map(|route| &mut route.sink)
    }
}
