use std::collections::BTreeMap;
use std::time::Instant;

use crate::relay::lines::Load;

/// Loads by the time of what is to be done with them; the number keeps them apart and in order.
#[derive(Default)]
pub(super) struct Resting {
    pub(super) loads: BTreeMap<(Instant, u64), Load>,
    count: u64,
}

impl Resting {
    pub(super) fn add(&mut self, at: Instant, load: Load) {
        self.count += 1;
        self.loads.insert((at, self.count), load);
    }

    pub(super) fn due(&mut self, now: Instant) -> Option<Load> {
        let first = self.loads.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Takes out all that are so.
    pub(super) fn take(&mut self, is_so: impl Fn(&Load) -> bool) -> Vec<Load> {
        let such = self.loads.iter().filter(|(_, load)| is_so(load));
        let such: Vec<_> = such.map(|(at, _)| *at).collect();
        such.iter().filter_map(|at| self.loads.remove(at)).collect()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.loads.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.loads.len()
    }
}
