use std::fmt;
use std::task::{Context, Waker};
use std::time::Instant;

use parking_lot::{Condvar, MappedMutexGuard, Mutex, MutexGuard};

/// What one side changes and another waits for: on a plain thread, or in a task. For queues between a sink and its reader.
///
/// The lock is held only while a closure or a guard looks at the value, never while somebody is woken.
#[derive(Default)]
pub struct Watched<S> {
    inner: Mutex<Inner<S>>,
    changed: Condvar,
}

/// The value, locked.
pub type WatchedGuard<'a, S> = MappedMutexGuard<'a, S>;

#[derive(Default)]
struct Inner<S> {
    value: S,
    /// Of the task that waits. One that comes later takes its place.
    waker: Option<Waker>,
    /// How many threads wait.
    sleeping: usize,
}

impl<S> Watched<S> {
    /// The value to begin with.
    pub fn new(value: S) -> Self {
        let inner = Inner { value, waker: None, sleeping: 0 };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// A look at the value. What is changed by it wakes nobody.
    pub fn lock(&self) -> WatchedGuard<'_, S> {
        MutexGuard::map(self.inner.lock(), |inner| &mut inner.value)
    }

    /// Changes the value, and wakes who waits.
    pub fn change<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let (result, waker) = {
            let mut inner = self.inner.lock();
            let result = change(&mut inner.value);
            if inner.sleeping > 0 {
                self.changed.notify_all();
            }
            (result, inner.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Sleeps until `is_ready` holds, or `deadline` has passed if there is one, and looks at the value.
    pub fn wait(
        &self,
        deadline: Option<Instant>,
        is_ready: impl Fn(&S) -> bool,
    ) -> WatchedGuard<'_, S> {
        let mut inner = self.inner.lock();
        let mut in_time = true;
        while in_time && !is_ready(&inner.value) {
            inner.sleeping += 1;
            match deadline {
                Some(at) => in_time = !self.changed.wait_until(&mut inner, at).timed_out(),
                None => self.changed.wait(&mut inner),
            }
            inner.sleeping -= 1;
        }
        MutexGuard::map(inner, |inner| &mut inner.value)
    }

    /// Looks at the value, and has the task of `cx` woken by the next change unless `is_ready` holds.
    pub fn poll(
        &self,
        cx: &mut Context<'_>,
        is_ready: impl FnOnce(&S) -> bool,
    ) -> WatchedGuard<'_, S> {
        let mut inner = self.inner.lock();
        if !is_ready(&inner.value) {
            inner.waker = Some(cx.waker().clone());
        }
        MutexGuard::map(inner, |inner| &mut inner.value)
    }
}

impl<S> fmt::Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}
