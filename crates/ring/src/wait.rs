// Any future, on a plain thread.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::ticket::Ticket;

/// Runs `future` on this thread until it is done, sleeping while it waits.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    PARKER.with(|(parker, waker)| {
        let _nested = Nested(parker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return output;
            }
            parker.park(None);
        }
    })
}

/// Runs `future` on this thread until it is done or `timeout` has passed; then `None`, and it may be run on later.
pub fn wait_timeout<F: Future + Unpin>(future: &mut F, timeout: Duration) -> Option<F::Output> {
    // A timeout too large for the clock means no end.
    let deadline = Instant::now().checked_add(timeout);
    PARKER.with(|(parker, waker)| {
        let _nested = Nested(parker);
        loop {
            let mut pinned = Pin::new(&mut *future);
            if let Poll::Ready(output) = pinned.as_mut().poll(&mut Context::from_waker(waker)) {
                return Some(output);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            parker.park(left);
        }
    })
}

impl<T> Ticket<T> {
    /// Sleeps until the result is there. It comes by the deadline of the claim at the latest.
    pub fn wait(mut self) -> T {
        // Most results are there when they are asked for; then there is nothing to set up.
        match self.try_take() {
            Some(result) => result,
            None => wait(self),
        }
    }

    /// Sleeps until the result is there or `timeout` has passed; then `None`, and the ticket still waits.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<T> {
        wait_timeout(self, timeout)
    }
}

/// Wakes the thread that made it. One a thread, so that waiting allocates nothing.
struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

/// Leaves the parker woken when a wait ends: a wait around this one on the same thread may have been woken meanwhile, and must
/// look again. It costs any later wait one look too many.
struct Nested<'a>(&'a Parker);

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        self.0.woken.store(true, Ordering::Release);
    }
}

thread_local! {
    static PARKER: (Arc<Parker>, Waker) = {
        let parker = Arc::new(Parker { thread: std::thread::current(), woken: AtomicBool::new(false) });
        (Arc::clone(&parker), Waker::from(parker))
    };
}

impl Parker {
    /// Sleeps until woken, unless woken since the last time. May return early.
    fn park(&self, timeout: Option<Duration>) {
        // `unpark` of other users of this thread may end our sleep early; our own flag tells the two apart.
        if !self.woken.swap(false, Ordering::Acquire) {
            match timeout {
                None => std::thread::park(),
                Some(timeout) => std::thread::park_timeout(timeout),
            }
            self.woken.swap(false, Ordering::Acquire);
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}
