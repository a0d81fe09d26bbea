// Who wakes the event loop.

use super::order;
use super::sync::{AtomicU32, Ordering};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

/// Lets producers wake a sleeping consumer by one system call, and leave an awake one alone.
///
/// The consumer announces its sleep, looks at its queues once more, and only then sleeps. A producer queues first and
/// then asks the gate. For neither to miss the other, **the producer's queueing and the consumer's last look must
/// take the same lock**: the lock puts one of them first, and the gate's word travels with it.
///
/// ```
/// # use jetlane_ring::WakeGate;
/// # use std::sync::Mutex;
/// # let (gate, queue) = (WakeGate::new(), Mutex::new(Vec::<u8>::new()));
/// // The consumer, about to sleep:
/// gate.falls_asleep();
/// let may_sleep = queue.lock().unwrap().is_empty();
/// // … sleep, if it may …
/// gate.wakes_up();
///
/// // A producer:
/// queue.lock().unwrap().push(1);
/// if gate.must_wake() {
///     // … the system call …
/// }
/// ```
#[derive(Debug)]
pub struct WakeGate {
    state: AtomicU32,
}

impl WakeGate {
    /// A gate whose consumer is awake.
    pub fn new() -> Self {
        Self { state: AtomicU32::new(AWAKE) }
    }

    /// Consumer: from now on producers wake me. A last look at the queues must follow.
    pub fn falls_asleep(&self) {
        self.state.store(ASLEEP, Ordering::Relaxed);
    }

    /// Consumer: from now on producers need not wake me.
    pub fn wakes_up(&self) {
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Producer, after queueing: true for one producer a sleep, which must now wake the consumer.
    #[inline]
    pub fn must_wake(&self) -> bool {
        // A plain read first: an awake consumer costs its producers no more than that.
        self.state.load(Ordering::Relaxed) == ASLEEP
            && self.state.swap(AWAKE, order::GATE) == ASLEEP
    }
}

impl Default for WakeGate {
    fn default() -> Self {
        Self::new()
    }
}
