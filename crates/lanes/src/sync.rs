//! The locks of this crate, in the shape that `intake.rs` and `gate.rs` use. The models in `model/` give these files
//! loom's locks in the same shape.

pub(crate) use parking_lot::{Mutex, MutexGuard};

use crate::patience::Patience;

pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(parking_lot::Condvar::new())
    }

    /// Unlocks, waits for a notification or for the end of the patience, and locks again. May return for no reason.
    pub(crate) fn wait<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        patience: Patience,
    ) -> MutexGuard<'a, T> {
        match patience {
            Patience::Forever => self.0.wait(&mut guard),
            Patience::Until(end) => {
                // Whether the time is up is asked of the clock by all callers, so that there is one way to know it.
                let _ = self.0.wait_until(&mut guard, end);
            }
        }
        guard
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}
