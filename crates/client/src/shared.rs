// What the handles and the reactor of one connection share.

use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jetlane_proto::{Limits, ServerInfo};
use jetlane_ring::WakeGate;
use parking_lot::Mutex;

use crate::contain::contain;
use crate::event::EventHub;
use crate::options::ConnectOptions;
use crate::pending::{Pending, Resolver, pending};
use crate::stats::Counters;
use crate::write_queue::{Command, Refusal, WriteQueue, WriteQueueState};
use crate::{CloseError, Event, Inbox};

const WAKE_ATTEMPTS: u32 = 5;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) write_queue: WriteQueue,
    pub(crate) gate: WakeGate,
    waker: mio::Waker,
    /// The server's limit for headers and payload.
    pub(crate) max_payload: AtomicUsize,
    pub(crate) info: Mutex<Arc<ServerInfo>>,
    pub(crate) counters: Counters,
    pub(crate) events: EventHub,
    /// What inboxes begin with, if not with the usual.
    inbox_prefix: Option<String>,
    /// Why the connection was last lost, in words.
    last_error: Mutex<Option<String>>,
    pub(crate) driver: Driver,
    /// How many queues are full that must not drop anything.
    blocking: AtomicUsize,
    /// The thread that drove the reactor last; 0 before the first time.
    driven_by: AtomicUsize,
    pub(crate) ended: Ended,
}

/// Who drives the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// A thread of ours.
    Thread,
    /// Whoever holds the `LocalClient`.
    Caller,
}

/// How a connection was closed.
type Closed = Result<(), CloseError>;

/// Whether the reactor has ended, and how.
#[derive(Debug)]
pub(crate) struct Ended {
    state: Mutex<EndState>,
}

#[derive(Debug)]
enum EndState {
    /// Not yet; these wait for it.
    Awaited(Vec<Resolver<Closed>>),
    Over(Closed),
}

impl Ended {
    fn new() -> Self {
        Self { state: Mutex::new(EndState::Awaited(Vec::new())) }
    }

    /// It has ended, and left that undone.
    pub(crate) fn tell(&self, undone: CloseError) {
        let closed = undone.into_result();
        let before = mem::replace(&mut *self.state.lock(), EndState::Over(closed));
        if let EndState::Awaited(waiting) = before {
            waiting.into_iter().for_each(|waiting| waiting.resolve(closed));
        }
    }

    /// Comes when it has ended.
    pub(crate) fn wait(&self) -> Pending<Closed> {
        // Only a `LocalClient` that was forgotten never ends.
        let (resolver, ended) =
            pending(Err(CloseError { undrained: true, ..CloseError::default() }));
        let over = match &mut *self.state.lock() {
            EndState::Over(closed) => *closed,
            EndState::Awaited(waiting) => {
                waiting.push(resolver);
                return ended;
            }
        };
        resolver.resolve(over);
        ended
    }
}

impl Shared {
    pub(crate) fn new(options: &ConnectOptions, waker: mio::Waker, driver: Driver) -> Self {
        Self {
            write_queue: WriteQueue::new(&options.limits),
            limits: options.limits.clone(),
            events: EventHub::new(options.hooks.event.clone()),
            inbox_prefix: options.inbox_prefix.clone(),
            gate: WakeGate::new(),
            waker,
            max_payload: AtomicUsize::new(usize::MAX),
            info: Mutex::default(),
            counters: Counters::default(),
            last_error: Mutex::default(),
            driver,
            blocking: AtomicUsize::new(0),
            driven_by: AtomicUsize::new(0),
            ended: Ended::new(),
        }
    }

    /// From now on this thread drives the reactor.
    pub(crate) fn driven_here(&self) {
        self.driven_by.store(this_thread(), Ordering::Relaxed);
    }

    /// True on the thread that drives the reactor, which can not wait for it: in a callback or a sink, or with the
    /// `LocalClient` in hand.
    pub(crate) fn is_driven_here(&self) -> bool {
        self.driven_by.load(Ordering::Relaxed) == this_thread()
    }

    /// Wakes the reactor if it sleeps. To be called after the write queue was changed, and its lock released.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.gate.must_wake() {
            self.wake_now();
        }
    }

    #[cold]
    pub(crate) fn wake_now(&self) {
        // Nobody else will wake it in this sleep, so whatever comes in between, as a signal may, is tried again. What goes on failing is
        // an eventfd that is gone, and the reactor with it.
        let _ = (0..WAKE_ATTEMPTS).any(|_| self.waker.wake().is_ok());
    }

    /// Appends a command that a user asked for, unless too many wait, and wakes the reactor.
    pub(crate) fn command<R>(
        &self,
        make: impl FnOnce(&mut WriteQueueState) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let result = self.write_queue.command(make)?;
        self.wake();
        Ok(result)
    }

    /// Appends a command however many wait, and wakes the reactor. False if it takes none any more.
    pub(crate) fn tell(&self, append: impl FnOnce(&mut WriteQueueState)) -> bool {
        let taken = self.write_queue.tell(append);
        if taken {
            self.wake();
        }
        taken
    }

    /// Has the reactor end its turn, if it sleeps in one, and begin another.
    pub(crate) fn end_turn(&self) {
        // One that closes takes no commands, and may sleep all the same.
        if !self.tell(|state| state.commands.push(Command::EndTurn)) {
            self.wake_now();
        }
    }

    /// Asks the reactor to call the sink of `sid`.
    pub(crate) fn nudge(&self, sid: u64) {
        // A closed connection has no sinks left to nudge.
        self.tell(|state| state.commands.push(Command::Nudge { sid }));
    }

    /// A new inbox of this connection.
    pub(crate) fn new_inbox(&self) -> Inbox {
        match &self.inbox_prefix {
            Some(prefix) => Inbox::with_prefix(prefix),
            None => Inbox::new(),
        }
    }

    /// A queue is full that must not drop anything: the connection is not read.
    pub(crate) fn block(&self) {
        self.blocking.fetch_add(1, Ordering::Relaxed);
    }

    /// It has been read.
    pub(crate) fn unblock(&self) {
        self.blocking.fetch_sub(1, Ordering::Relaxed);
        // The command's lock orders this before the reactor's next look.
        self.end_turn();
    }

    /// Whether the connection must not be read.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocking.load(Ordering::Relaxed) > 0
    }

    /// Tells all who want to know.
    pub(crate) fn emit(&self, event: &Event) {
        #[cfg(feature = "tracing")]
        crate::trace::report(event);
        // It is the user's callback that may panic.
        contain(&self.counters, || self.events.emit(event));
    }

    /// Something went wrong, in words.
    pub(crate) fn tell_error(&self, error: &str) {
        *self.last_error.lock() = Some(error.into());
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    pub(crate) fn set_info(&self, info: &ServerInfo) {
        let max = usize::try_from(info.max_payload).unwrap_or(usize::MAX);
        self.max_payload.store(if max == 0 { usize::MAX } else { max }, Ordering::Relaxed);
        *self.info.lock() = Arc::new(info.clone());
    }
}

/// Tells this thread from all others that live now.
fn this_thread() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    HERE.with(|here| ptr::from_ref(here).addr())
}
