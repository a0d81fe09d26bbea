//! What a recorder of metrics sees of a relay.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, counter, gauge};

use super::RelayStatus;
use crate::metrics::{
    OUTBOX_FOUND, OUTBOX_OLDEST_SECONDS, OUTBOX_ON_THEIR_WAY, OUTBOX_PUBLISHED, OUTBOX_RETRIES,
    OUTBOX_STOPPED, OUTBOX_WAITING,
};
use crate::partition::PARTITIONS;
use crate::store::PartitionBacklog;
use crate::table::Table;

/// What waits is counted so often at most,
const EVERY: Duration = Duration::from_secs(5);
/// and for no more than this part of the time.
const PART: u32 = 20;

/// Registered by the thread that starts a relay, whose recorder may be its own.
pub(crate) struct Meters {
    published: Shown<Counter>,
    found: Shown<Counter>,
    retries: Shown<Counter>,
    stopped: Shown<Counter>,
    on_their_way: Shown<Gauge>,
    /// By partition: what waits there, and the age of the oldest.
    partitions: Vec<(Shown<Gauge>, Shown<Gauge>)>,
    next_count: Option<Instant>,
}

impl Meters {
    pub(crate) fn new(table: &Table) -> Self {
        let outbox = || table.to_string();
        let of_partition = |partition: i16| {
            let partition = || partition.to_string();
            let waiting = gauge!(OUTBOX_WAITING, "outbox" => outbox(), "partition" => partition());
            let oldest =
                gauge!(OUTBOX_OLDEST_SECONDS, "outbox" => outbox(), "partition" => partition());
            (Shown::new(waiting), Shown::new(oldest))
        };
        Self {
            published: Shown::new(counter!(OUTBOX_PUBLISHED, "outbox" => outbox())),
            found: Shown::new(counter!(OUTBOX_FOUND, "outbox" => outbox())),
            retries: Shown::new(counter!(OUTBOX_RETRIES, "outbox" => outbox())),
            stopped: Shown::new(counter!(OUTBOX_STOPPED, "outbox" => outbox())),
            on_their_way: Shown::new(gauge!(OUTBOX_ON_THEIR_WAY, "outbox" => outbox())),
            partitions: (0..PARTITIONS).map(of_partition).collect(),
            next_count: None,
        }
    }

    /// What the relay tells of itself.
    pub(crate) fn tell(&mut self, status: &RelayStatus) {
        self.published.show(status.published);
        self.found.show(status.found);
        self.retries.show(status.retried);
        self.stopped.show(status.stopped);
        self.on_their_way.show(status.on_their_way as u64);
    }

    /// When what waits is to be counted next.
    pub(crate) fn next_count(&self) -> Option<Instant> {
        self.next_count
    }

    /// Whether what waits is to be counted now, which is then done.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.next_count.is_none_or(|next| now >= next);
        if is_due {
            self.next_count = Some(now + EVERY);
        }
        is_due
    }

    /// What waits in the partitions that the relay owns, and how long it took to count it.
    pub(crate) fn counted(&mut self, backlog: &[PartitionBacklog], took: Duration) {
        if let Some(next) = &mut self.next_count {
            *next += (took * PART).saturating_sub(EVERY);
        }
        let mut by_partition = [(0, 0); PARTITIONS as usize];
        for PartitionBacklog { partition, waiting, oldest } in backlog {
            let of_partition = usize::try_from(*partition).ok();
            if let Some(of) = of_partition.and_then(|at| by_partition.get_mut(at)) {
                *of = (*waiting, oldest.as_secs());
            }
        }
        for ((waiting, oldest), seen) in self.partitions.iter_mut().zip(by_partition) {
            waiting.show(seen.0);
            oldest.show(seen.1);
        }
    }
}

/// The relay owns nothing any more.
impl Drop for Meters {
    fn drop(&mut self) {
        self.on_their_way.show(0);
        self.counted(&[], Duration::ZERO);
    }
}

/// A number of this relay in a metric that it may have in common with others of this process: only what changes is told.
struct Shown<M> {
    metric: M,
    shown: u64,
}

impl<M> Shown<M> {
    fn new(metric: M) -> Self {
        Self { metric, shown: 0 }
    }
}

impl Shown<Counter> {
    fn show(&mut self, value: u64) {
        if value > self.shown {
            self.metric.increment(value - self.shown);
            self.shown = value;
        }
    }
}

impl Shown<Gauge> {
    #[expect(clippy::cast_precision_loss, reason = "whole numbers, and small ones")]
    fn show(&mut self, value: u64) {
        if value != self.shown {
            self.metric.increment(value as f64 - self.shown as f64);
            self.shown = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_every_five_seconds_and_less_often_if_that_is_slow() {
        for (took, next) in [(0, 5000), (249, 5000), (251, 5020), (1000, 20_000)] {
            let mut meters = Meters::new(&Table::default());
            let now = Instant::now();
            assert!(meters.is_due(now));
            meters.counted(&[], Duration::from_millis(took));
            let next = now + Duration::from_millis(next);
            assert_eq!(meters.next_count(), Some(next), "{took}");
            assert!(!meters.is_due(next - Duration::from_nanos(1)));
            assert!(meters.is_due(next));
            assert!(!meters.is_due(next), "also if it was not counted, as the database is away");
        }
    }
}
