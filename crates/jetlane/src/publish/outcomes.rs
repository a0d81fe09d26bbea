use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use jetlane_client::{WatchedGuard, later};

use super::Published;
use super::shared::{Shared, Told};

/// The outcomes of a [`crate::Publisher`], in bursts: each is all that is known and was not taken yet, so that a store can be updated
/// once a burst. An `Iterator` of bursts for a plain thread, and a `Stream` of them for an executor; no burst is empty.
///
/// Outcomes of one aggregate come in the order of its events, unless the order is [`crate::KeyOrder::Free`]. Both end when the publisher was
/// closed or dropped and the last outcome was taken. Nothing is ever dropped: what nobody takes stays, and its publisher
/// accepts no more than its bound. Dropping this says that nobody wants to know: events are published all the same.
pub struct Outcomes<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Outcomes<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// What is known now. `None` if that is nothing.
    pub fn try_next(&mut self) -> Option<Vec<Published<T>>> {
        self.burst(self.shared.told.lock())
    }

    /// What is known, waited for no longer than `timeout` if it is nothing yet. `None` if nothing came, or nothing will.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Vec<Published<T>>> {
        let deadline = later(Instant::now(), timeout);
        self.burst(self.shared.told.wait(Some(deadline), Told::is_ready))
    }

    /// The next burst, as a future. `None` if none will come. It may be dropped unfinished: no outcome is lost.
    pub async fn recv(&mut self) -> Option<Vec<Published<T>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// True once nothing more will come, and all that came was taken.
    pub fn has_ended(&self) -> bool {
        let told = self.shared.told.lock();
        told.has_ended && told.outcomes.is_empty()
    }

    fn burst(&self, mut told: WatchedGuard<'_, Told<T>>) -> Option<Vec<Published<T>>> {
        let burst = mem::take(&mut told.outcomes);
        drop(told);
        if burst.is_empty() {
            return None;
        }
        self.shared.release(burst.len());
        Some(burst)
    }
}

impl<T> Told<T> {
    /// There is something to take, or nothing to wait for.
    fn is_ready(&self) -> bool {
        !self.outcomes.is_empty() || self.has_ended
    }
}

impl<T> Iterator for Outcomes<T> {
    type Item = Vec<Published<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.burst(self.shared.told.wait(None, Told::is_ready))
    }
}

impl<T> Stream for Outcomes<T> {
    type Item = Vec<Published<T>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let told = self.shared.told.poll(cx, Told::is_ready);
        match told.is_ready() {
            true => Poll::Ready(self.burst(told)),
            false => Poll::Pending,
        }
    }
}

impl<T> Drop for Outcomes<T> {
    fn drop(&mut self) {
        let unread = {
            let mut told = self.shared.told.lock();
            told.is_abandoned = true;
            mem::take(&mut told.outcomes)
        };
        self.shared.release(unread.len());
    }
}

impl<T> fmt::Debug for Outcomes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes").field("known", &self.shared.told.lock().outcomes.len()).finish()
    }
}
