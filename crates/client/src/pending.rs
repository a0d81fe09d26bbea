use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

/// Something that will come: a `Future` under any executor, with `wait` for plain threads.
///
/// It always comes, at the latest when the connection is closed. It may be dropped; what was asked for happens all the
/// same.
#[derive(Debug)]
#[must_use = "it is nothing until it is waited for"]
pub struct Pending<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

/// The other end: brings it. Dropped before, it brings its fallback: whoever waits must not wait for ever.
#[derive(Debug)]
pub(crate) struct Resolver<T> {
    slot: Arc<Mutex<Slot<T>>>,
    /// `None` once it was brought.
    fallback: Option<T>,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

pub(crate) fn pending<T>(fallback: T) -> (Resolver<T>, Pending<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, waker: None }));
    (Resolver { slot: Arc::clone(&slot), fallback: Some(fallback) }, Pending { slot })
}

impl<T> Resolver<T> {
    pub(crate) fn resolve(mut self, value: T) {
        self.fallback = None;
        self.bring(value);
    }

    fn bring(&self, value: T) {
        let waker = {
            let mut slot = self.slot.lock();
            slot.value = Some(value);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        if let Some(fallback) = self.fallback.take() {
            self.bring(fallback);
        }
    }
}

impl<T> Pending<T> {
    /// Sleeps until it comes.
    pub fn wait(self) -> T {
        jetlane_ring::wait(self)
    }

    /// Sleeps until it comes or `timeout` has passed; then `None`, and it may still be waited for.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<T> {
        jetlane_ring::wait_timeout(self, timeout)
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.slot.lock();
        match slot.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
