use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use jetlane_proto::{SubjectError, encode};

use crate::client::MAX_LINE;
use crate::lossy::lossy_queue;
use crate::queue::{Bounds, Overflow, queue};
use crate::reactor::Route;
use crate::sids::Sids;
use crate::sink::{Out, Sink};
use crate::subscription::Reader;
use crate::write_queue::{Command, Refusal};
use crate::{
    Client, Containment, MessageRef, SinkHandle, SubjectFilter, SubscribeError, Subscription,
};

/// A subscription about to be made: set it up, then choose how its messages are taken.
///
/// *queued*: a bounded queue that you read on your own thread or task. *inline*: a callback on the reactor thread, with
/// borrowed bytes, for the lowest latency. *sink*: for layers that take whole batches.
#[derive(Debug)]
#[must_use = "nothing is subscribed before queued, inline or sink is called"]
pub struct Subscribe<'a> {
    client: &'a Client,
    filter: &'a str,
    group: &'a str,
    /// After how many messages it ends.
    most: Option<NonZeroU64>,
    bounds: Bounds,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn new(client: &'a Client, filter: &'a str) -> Self {
        let limits = client.limits();
        let bounds = Bounds {
            messages: limits.subscription_messages,
            bytes: limits.subscription_bytes,
            overflow: Overflow::DropNewest,
        };
        Self { client, filter, group: "", most: None, bounds }
    }

    /// Shares the messages with all others that subscribe with the same queue group: each goes to one of them.
    pub fn queue_group(mut self, group: &'a str) -> Self {
        self.group = group;
        self
    }

    /// Ends after so many messages: the server sends no more, and the queue ends when they are read. Default: never.
    pub fn max_messages(mut self, most: NonZeroU64) -> Self {
        self.most = Some(most);
        self
    }

    /// How many messages may wait in the queue; of no use to callbacks and sinks. Default: [`crate::Limits::subscription_messages`].
    pub fn queue_messages(mut self, most: usize) -> Self {
        self.bounds.messages = most.max(1);
        self
    }

    /// How many bytes may wait in the queue. Default: [`crate::Limits::subscription_bytes`].
    pub fn queue_bytes(mut self, most: usize) -> Self {
        self.bounds.bytes = most;
        self
    }

    /// What happens to messages when the queue is full. Default: [`Overflow::DropNewest`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.bounds.overflow = overflow;
        self
    }

    /// Subscribes with a bounded queue.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is subscribed then.
    pub fn queued(self) -> Result<Subscription, SubscribeError> {
        let (filter, bounds, shared) = (self.filter, self.bounds, self.client.shared());
        match bounds.overflow {
            Overflow::DropNewest | Overflow::Block => {
                let (sink, reader) = queue(filter, bounds, &shared.limits, Arc::clone(shared));
                Ok(Subscription::new(Reader::Usual(reader), self.users_sink(sink)?))
            }
            Overflow::DropOldest | Overflow::Conflate => {
                let (sink, reader) = lossy_queue(filter, bounds, Arc::clone(shared));
                Ok(Subscription::new(Reader::Lossy(reader), self.users_sink(sink)?))
            }
        }
    }

    /// Subscribes with a callback on the reactor thread. It must not block, since the whole connection waits for it;
    /// a panic is contained and counted, and the next message calls it again.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is subscribed then.
    pub fn inline(
        self,
        callback: impl FnMut(&MessageRef<'_>) + Send + 'static,
    ) -> Result<SinkHandle, SubscribeError> {
        let containment = self.client.containment();
        self.users_sink(Inline { callback, containment })
    }

    /// Subscribes with a sink. A drain of the connection leaves it to the layer whose sink it is.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is subscribed then.
    pub fn sink(self, sink: impl Sink) -> Result<SinkHandle, SubscribeError> {
        self.sink_with(sink, Sids::take, false)
    }

    /// A sink whose messages the user takes: drained with the connection.
    pub(crate) fn users_sink(self, sink: impl Sink) -> Result<SinkHandle, SubscribeError> {
        self.sink_with(sink, Sids::take, true)
    }

    /// As [`Subscribe::sink`], for an inbox of our own: no limit of the user's keeps it from being made.
    pub(crate) fn inbox_sink(self, sink: impl Sink) -> Result<SinkHandle, SubscribeError> {
        self.sink_with(sink, Sids::take_beyond_limit, false)
    }

    fn sink_with(
        self,
        sink: impl Sink,
        take_sid: fn(&mut Sids) -> Option<u64>,
        drains: bool,
    ) -> Result<SinkHandle, SubscribeError> {
        let Self { client, filter, group, most, .. } = self;
        let most = most.map(NonZeroU64::get);
        let filter = SubjectFilter::new(filter)?;
        check_group(group)?;
        let len = filter.as_str().len() + group.len();
        if len > MAX_LINE {
            return Err(SubjectError::TooLong { len }.into());
        }
        let shared = client.shared();
        // Dropped out here if it is not taken: a sink may own handles, whose end takes the lock again.
        let mut sink: Option<Box<dyn Sink>> = Some(Box::new(sink));
        let made = shared.command(|state| {
            let Some(sid) = take_sid(&mut state.sids) else { return Ok(None) };
            if let Some(sink) = sink.take() {
                let (subject, queue) = (filter.as_str().as_bytes(), group.as_bytes());
                encode::subscribe(&mut state.bytes, subject, queue, sid);
                if let Some(most) = most {
                    encode::unsubscribe_after(&mut state.bytes, sid, most);
                }
                let route = Route::new(sid, filter.clone(), group, sink);
                let route = route.ends_after(most).drains(drains);
                state.commands.push(Command::Subscribe { sid, route });
            }
            Ok(Some(sid))
        });
        match made {
            Ok(Some(sid)) => Ok(SinkHandle::new(sid, client.clone())),
            Ok(None) => Err(SubscribeError::TooMany { limit: shared.limits.subscriptions }),
            Err(Refusal::Full) => Err(SubscribeError::Full),
            Err(Refusal::Closed) => Err(SubscribeError::Closed),
        }
    }
}

/// A queue group is any word: the server asks no more of it.
fn check_group(group: &str) -> Result<(), SubscribeError> {
    match group.bytes().position(|byte| byte <= b' ' || byte == 0x7f) {
        Some(at) => Err(SubscribeError::Queue { group: group.into(), at }),
        None => Ok(()),
    }
}

struct Inline<F> {
    callback: F,
    containment: Containment,
}

impl<F: FnMut(&MessageRef<'_>) + Send + 'static> Sink for Inline<F> {
    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        self.containment.call(|| (self.callback)(message));
    }
}

impl<F> fmt::Debug for Inline<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inline")
    }
}
