use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// What wakes a relay. A ring while nobody waits is not lost: the next wait ends at once.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often it has rung.
    count: u64,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.state.lock().count += 1;
        self.rung.notify_all();
    }

    /// How often it has rung: several relays may wait for one bell.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Waits until it has rung more often than that, or until `deadline`.
    pub(crate) fn wait(&self, heard: u64, deadline: Instant) {
        let mut state = self.state.lock();
        while state.count <= heard {
            if self.rung.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}
