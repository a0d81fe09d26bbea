//! What happens to a connection, for those who want to see it.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use jetlane_proto::ServerError;
use parking_lot::Mutex;

use crate::{Watched, later};

/// How many events wait for a reader; then they are counted instead.
const WAITING: usize = 1024;

/// Something that happened to a connection. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first connection stands. Seen by [`crate::ConnectOptions::on_event`]; for [`crate::Client::events`] it has happened before, unless
    /// connecting goes on in the background.
    Connected {
        /// The server, as `nats://host:port`.
        server: String,
    },
    /// The connection was lost: another one is tried, or [`Event::Closed`] follows.
    Disconnected {
        /// The server.
        server: String,
        /// Why, in words.
        reason: String,
        /// What the server said, if it was the server that ended it.
        said: Option<ServerError>,
    },
    /// The connection stands again, perhaps with another server. Subscriptions are restored.
    Reconnected {
        /// The server.
        server: String,
    },
    /// A server could not be connected to. The next attempt follows.
    ConnectFailed {
        /// The server.
        server: String,
        /// Why, in words.
        reason: String,
        /// What the server said, if it was the server that ended it.
        said: Option<ServerError>,
    },
    /// Servers of the cluster that were not known before.
    ServersDiscovered {
        /// Them.
        servers: Vec<String>,
    },
    /// The server is about to stop, and its clients should leave.
    LameDuck {
        /// The server.
        server: String,
    },
    /// The connection has moved away from a server that is about to stop, as [`crate::ConnectOptions::stay_on_lame_duck`] describes.
    Moved {
        /// The server it was connected to.
        from: String,
        /// The server it is connected to now.
        to: String,
    },
    /// A queued subscription is full, as its reader is too slow: messages are dropped, as its `Overflow` says. Told once, and again only
    /// after the reader has caught up.
    SlowConsumer {
        /// What it subscribed to.
        subject: String,
        /// The number that the server knows it by.
        sid: u64,
        /// How many messages it has dropped so far.
        dropped: u64,
    },
    /// The server complained of something, and the connection goes on.
    ServerError(ServerError),
    /// The connection is closed for good.
    Closed,
    /// The reader was too slow, and this many events were left out here.
    Missed {
        /// How many.
        count: u64,
    },
}

/// The events of a connection from now on, oldest first: an `Iterator`, and a `Stream` for an executor. It ends when the connection
/// is closed. At most 1024 events wait; what comes then is counted, and the count is an [`Event::Missed`].
#[derive(Debug)]
pub struct Events {
    queue: Arc<Watched<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    missed: u64,
    closed: bool,
}

/// What a user wants called with every event.
pub(crate) type Callback = Arc<dyn Fn(&Event) + Send + Sync>;

/// Hands events to all who want them.
#[derive(Default)]
pub(crate) struct EventHub {
    queues: Mutex<Vec<Weak<Watched<Queue>>>>,
    callback: Option<Callback>,
}

impl EventHub {
    pub(crate) fn new(callback: Option<Callback>) -> Self {
        Self { callback, ..Self::default() }
    }

    pub(crate) fn subscribe(&self, is_closed: impl FnOnce() -> bool) -> Events {
        let queue = Arc::<Watched<Queue>>::default();
        self.queues.lock().push(Arc::downgrade(&queue));
        // Asked only now: a close before this is seen here, and one after it is told.
        queue.lock().closed |= is_closed();
        Events { queue }
    }

    /// To be called by the reactor only, which contains what the callback may panic with.
    pub(crate) fn emit(&self, event: &Event) {
        // Without the lock, as a waker may do whatever it likes.
        let mut listening = Vec::new();
        self.queues.lock().retain(|queue| {
            let queue = queue.upgrade();
            let is_there = queue.is_some();
            listening.extend(queue);
            is_there
        });
        listening.iter().for_each(|queue| queue.change(|queue| queue.push(event)));
        // Last, as it may panic.
        if let Some(callback) = &self.callback {
            callback(event);
        }
    }
}

impl fmt::Debug for EventHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventHub")
    }
}

impl Queue {
    fn push(&mut self, event: &Event) {
        if self.missed > 0 || self.events.len() >= WAITING {
            self.missed += 1;
        } else {
            self.events.push_back(event.clone());
        }
        self.closed |= *event == Event::Closed;
    }

    /// There is something to take, or nothing to wait for.
    fn is_ready(&self) -> bool {
        !self.events.is_empty() || self.missed > 0 || self.closed
    }

    fn take(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| match std::mem::take(&mut self.missed) {
            0 => None,
            count => Some(Event::Missed { count }),
        })
    }
}

impl Events {
    /// The next event, if one is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.queue.lock().take()
    }

    /// The next event, waited for no longer than `timeout`. `None` if none came, or the connection is closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Event> {
        self.wait(Some(later(Instant::now(), timeout)))
    }

    /// The next event, as a future. `None` if the connection is closed. It may be dropped unfinished: no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Option<Event> {
        self.queue.wait(deadline, Queue::is_ready).take()
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.wait(None)
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.queue.poll(cx, Queue::is_ready);
        match queue.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_slow_reader_misses_is_counted_in_its_place() {
        let hub = EventHub::new(None);
        let mut events = hub.subscribe(|| false);
        let lame = |n: usize| Event::LameDuck { server: n.to_string() };
        (0..WAITING + 5).for_each(|n| hub.emit(&lame(n)));
        hub.emit(&Event::Closed);
        for n in 0..WAITING {
            assert_eq!(events.next(), Some(lame(n)));
        }
        assert_eq!(events.next(), Some(Event::Missed { count: 6 }));
        assert_eq!(events.next(), None, "the closing was among them");
    }

    #[test]
    fn who_begins_to_listen_to_a_closed_connection_hears_nothing_and_does_not_wait() {
        let hub = EventHub::new(None);
        hub.emit(&Event::Closed);
        assert_eq!(hub.subscribe(|| true).next(), None);
    }

    #[test]
    fn a_reader_that_is_gone_costs_nothing() {
        let hub = EventHub::new(None);
        drop(hub.subscribe(|| false));
        hub.emit(&Event::Closed);
        assert!(hub.queues.lock().is_empty());
    }
}
