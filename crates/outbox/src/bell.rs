use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// What wakes a relay. A ring while nobody waits is not lost: the next wait ends at once.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

/// Why it has rung since the last wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rung {
    /// There is something in the table.
    pub(crate) to_look: bool,
    /// Something else has come: an outcome, or the end.
    pub(crate) other: bool,
}

impl Bell {
    pub(crate) fn ring_to_look(&self) {
        self.rung.lock().to_look = true;
        self.changed.notify_one();
    }

    pub(crate) fn ring(&self) {
        self.rung.lock().other = true;
        self.changed.notify_one();
    }

    /// Waits until it has rung since the last wait, or until `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> Rung {
        let mut rung = self.rung.lock();
        while *rung == Rung::default() {
            if self.changed.wait_until(&mut rung, deadline).timed_out() {
                break;
            }
        }
        std::mem::take(&mut rung)
    }
}
