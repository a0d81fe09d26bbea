// The end of the ring that waits for an answer.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use super::pending::PendingRing;
use super::slot;
use super::sync::yield_now;

/// Waits for the result of one claim: as a `Future` under any executor, or by `wait` on a plain thread.
///
/// A dropped ticket lets its result go; the claim itself still ends on its own.
#[derive(Debug)]
#[must_use = "the result is lost when its ticket is dropped"]
pub struct Ticket<T> {
    /// `None` once the result was taken.
    ring: Option<Arc<PendingRing<T>>>,
    slot: u32,
}

impl<T> Ticket<T> {
    pub(crate) fn new(ring: Arc<PendingRing<T>>, slot: u32) -> Self {
        Self { ring: Some(ring), slot }
    }

    /// The result, if it has come and was not taken yet.
    pub fn try_take(&mut self) -> Option<T> {
        let result = self.ring.as_ref()?.slot(self.slot).try_take()?;
        self.give_back();
        Some(result)
    }

    fn give_back(&mut self) {
        if let Some(ring) = self.ring.take() {
            ring.give_back(self.slot);
        }
    }
}

impl<T> Future for Ticket<T> {
    type Output = T;

    /// # Panics
    /// When polled again after it was ready, as futures do.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let ring = this.ring.as_ref().expect("a ticket is not polled after its result was taken");
        match ring.slot(this.slot).poll(cx.waker()) {
            slot::Poll::Ready(result) => {
                this.give_back();
                Poll::Ready(result)
            }
            slot::Poll::Waiting => Poll::Pending,
            slot::Poll::Finishing => {
                // A few instructions of the completer are left; let it have them.
                yield_now();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if let Some(ring) = &self.ring
            && ring.slot(self.slot).abandon()
        {
            self.give_back();
        }
    }
}
