use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jetlane_client::{Client, CloseReason, Message, SinkHandle, State, later};
use jetlane_lanes::{Drained, Lanes};
use parking_lot::Mutex;

use super::shared::Shared;
use crate::CloseError;
use crate::bus::{EventBus, WeakBus};

/// How long a drain waits for the server to confirm that nothing more is on its way.
const BARRIER: Duration = Duration::from_secs(1);

/// What a listener has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerCounts {
    /// Events that a handler is done with.
    pub handled: u64,
    /// Events that a handler failed on, by an error, a verdict or a panic, or that could not be read. Nobody tries them again.
    pub failed: u64,
    /// Events that are done without a handler: of a type that no handler here is for, or redriven for a subscription.
    pub passed_over: u64,
    /// Events that there was no room for: the handlers are too slow.
    pub dropped: u64,
    /// Panics of handlers, contained.
    pub panics: u64,
}

/// How a listener is: see [`crate::EventBus::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerHealth {
    /// Its name.
    pub name: String,
    /// What it has done.
    pub counts: ListenerCounts,
    /// Events that have come and are not handled.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Why no more events come, if they do not: mostly that the server does not permit it to this user.
    pub end: Option<CloseReason>,
    /// What went wrong last, in words.
    pub last_error: Option<String>,
}

/// A listener that runs. It belongs to its bus: dropping this handle changes nothing, and keeping it does not keep the bus
/// open.
#[derive(Clone)]
pub struct Listener {
    name: String,
    shared: Arc<Shared>,
    bus: WeakBus,
    running: Weak<Listening>,
}

impl Listener {
    pub(super) fn new(running: &Arc<Listening>, bus: &EventBus) -> Self {
        let (name, shared) = (running.name.clone(), Arc::clone(&running.shared));
        Self { name, shared, bus: bus.downgrade(), running: Arc::downgrade(running) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has done so far.
    pub fn counts(&self) -> ListenerCounts {
        self.shared.counts()
    }

    /// What went wrong last, in words.
    pub fn last_error(&self) -> Option<String> {
        self.shared.last_error()
    }

    /// How it is now.
    pub fn health(&self) -> ListenerHealth {
        self.shared.health(&self.name)
    }

    /// Ends it: wants no more events, and handles those that are here until `timeout`. What is left then is lost. What has ended already,
    /// with its bus or before it, is fine.
    ///
    /// # Errors
    /// [`CloseError`] counts what was not finished in time.
    pub fn stop(&self, timeout: Duration) -> Result<(), CloseError> {
        let (Some(bus), Some(running)) = (self.bus.upgrade(), self.running.upgrade()) else {
            return Ok(());
        };
        running.stop();
        let undone = running.drain(bus.client(), later(Instant::now(), timeout));
        bus.listeners().lock().retain(|other| !Arc::ptr_eq(other, &running));
        if undone == CloseError::default() { Ok(()) } else { Err(undone) }
    }
}

impl Shared {
    fn counts(&self) -> ListenerCounts {
        ListenerCounts {
            handled: self.handled.get(),
            failed: self.failed.get(),
            passed_over: self.passed_over.get(),
            dropped: self.dropped.get(),
            panics: self.panics.get(),
        }
    }

    fn health(&self, name: &str) -> ListenerHealth {
        ListenerHealth {
            name: name.into(),
            counts: self.counts(),
            waiting: self.waiting.events(),
            waiting_bytes: self.waiting.bytes(),
            end: self.end_reason(),
            last_error: self.last_error(),
        }
    }
}

/// The parts of a listener that runs.
pub(crate) struct Listening {
    name: String,
    shared: Arc<Shared>,
    /// `None` once it was drained.
    parts: Mutex<Option<Parts>>,
}

struct Parts {
    lanes: Lanes<Message>,
    /// One for each topic.
    sinks: Vec<SinkHandle>,
}

impl Listening {
    pub(super) fn new(
        name: String,
        shared: Arc<Shared>,
        lanes: Lanes<Message>,
        sinks: Vec<SinkHandle>,
    ) -> Self {
        Self { name, shared, parts: Mutex::new(Some(Parts { lanes, sinks })) }
    }

    pub(crate) fn health(&self) -> ListenerHealth {
        self.shared.health(&self.name)
    }

    /// Wants no more events than those that are published by now.
    pub(crate) fn stop(&self) {
        if let Some(Parts { sinks, .. }) = &*self.parts.lock() {
            sinks.iter().for_each(SinkHandle::drain);
        }
    }

    /// Lets the lanes finish what has come until `deadline`, and ends it.
    pub(crate) fn drain(&self, client: &Client, deadline: Instant) -> CloseError {
        let Some(Parts { lanes, sinks }) = self.parts.lock().take() else {
            return CloseError::default();
        };
        if client.state() == State::Connected {
            // What was on its way is on the lanes then. (A flush would be told of losses that others ask for.)
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = client.rtt().wait_timeout(left.min(BARRIER));
        }
        let Drained { untouched, stuck, .. } = lanes.drain(deadline);
        drop(sinks);
        let refused = self.shared.refused.load(Relaxed);
        self.shared.meters.ended(untouched.len() + stuck);
        let lost = untouched.len().saturating_add(usize::try_from(refused).unwrap_or(usize::MAX));
        CloseError { lost, stuck, ..CloseError::default() }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, .. } = self;
        f.debug_struct("Listener").field("name", name).field("counts", &self.counts()).finish()
    }
}
