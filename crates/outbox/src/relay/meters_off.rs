//! What stands in for metrics where they are not built in (without the feature `metrics`): nothing.

use std::time::{Duration, Instant};

use super::RelayStatus;
use crate::store::PartitionBacklog;
use crate::table::Table;

pub(crate) struct Meters;

impl Meters {
    pub(crate) fn new(_: &Table) -> Self {
        Self
    }

    pub(crate) fn tell(&mut self, _: &RelayStatus) {}

    pub(crate) fn next_count(&self) -> Option<Instant> {
        None
    }

    pub(crate) fn is_due(&mut self, _: Instant) -> bool {
        false
    }

    pub(crate) fn counted(&mut self, _: &[PartitionBacklog], _: Duration) {}
}
