use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jetlane_client::Nudger;
use parking_lot::Mutex;

/// Names one delivery of one consumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Never used twice in one consumption.
    pub(super) arrival: u64,
    pub(super) sequence: u64,
}

impl Receipt {
    /// The message's place in the stream.
    pub fn stream_sequence(&self) -> u64 {
        self.sequence
    }
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settle {
    /// It is done.
    Ack,
    /// It goes back to the server, to be delivered again after `delay`, to whoever asks.
    Nak {
        /// How long to wait; zero for at once.
        delay: Duration,
    },
    /// It will never be done, and shall not be delivered again.
    Term {
        /// Why, in words; part of the server's advisory.
        reason: String,
    },
    /// Nothing is said: the server delivers it again after the ack wait.
    Forget,
}

/// A delivery, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by takers, by the batch")]
pub struct Settled {
    /// Which.
    pub receipt: Receipt,
    /// What.
    pub settle: Settle,
}

/// Settles deliveries from any thread. Acks are written by the reactor, as many in one write as have gathered.
#[derive(Clone, Debug)]
pub struct Settler {
    queue: Arc<SettleQueue>,
}

impl Settler {
    pub(super) fn new(queue: Arc<SettleQueue>) -> Self {
        Self { queue }
    }

    /// Settles all of `batch`, and leaves it empty: one lock, and at most one wake, whatever its size.
    pub fn settle_all(&self, batch: &mut Vec<Settled>) {
        self.queue.push(|settled| settled.append(batch));
    }

    /// Under [`Settlement::Watermark`](crate::Settlement::Watermark): how many messages are done and can not be acknowledged, as the
    /// watermark waits for this one. They take room of the window; once they fill it, nothing more is pulled. 0 if the
    /// watermark waits for another one. As of the reactor's last turn.
    pub fn holds_up(&self, receipt: Receipt) -> usize {
        self.queue.held_up_by(receipt.sequence)
    }

    /// Settles one delivery.
    pub fn settle(&self, receipt: Receipt, settle: Settle) {
        self.queue.push(|settled| settled.push(Settled { receipt, settle }));
    }
}

/// On the way from those who settle to the reactor.
#[derive(Debug, Default)]
pub(super) struct SettleQueue {
    settled: Mutex<Vec<Settled>>,
    nudger: OnceLock<Nudger>,
    stopped: AtomicBool,
    /// What the watermark waits for, and how many that are done wait with it. The two are told one after the other, so for a
    /// moment they may be of different turns: they are for decisions that can be wrong a little.
    blocker: AtomicU64,
    held_up: AtomicUsize,
}

impl SettleQueue {
    /// From now on the reactor can be told. It is at once, as something may have been settled before.
    pub(super) fn connect(&self, nudger: Nudger) {
        self.nudger.get_or_init(|| nudger).nudge();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn note_blocked(&self, blocked: Option<(u64, usize)>) {
        let (blocker, held_up) = blocked.unwrap_or_default();
        self.blocker.store(blocker, Ordering::Relaxed);
        self.held_up.store(held_up, Ordering::Relaxed);
    }

    fn held_up_by(&self, sequence: u64) -> usize {
        match self.blocker.load(Ordering::Relaxed) == sequence {
            true => self.held_up.load(Ordering::Relaxed),
            false => 0,
        }
    }

    /// Takes all that was settled, in exchange for an empty `spare`.
    pub(super) fn take(&self, spare: Vec<Settled>) -> Vec<Settled> {
        mem::replace(&mut *self.settled.lock(), spare)
    }

    fn push(&self, add: impl FnOnce(&mut Vec<Settled>)) {
        let first = {
            let mut settled = self.settled.lock();
            let was_empty = settled.is_empty();
            add(&mut settled);
            was_empty && !settled.is_empty()
        };
        // Whoever finds the queue not empty knows that the reactor was told already.
        if first && let Some(nudger) = self.nudger.get() {
            nudger.nudge();
        }
    }
}
