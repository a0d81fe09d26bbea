//! Which partitions this relay should have: a fair share of those of the relays that live. Compares no clocks: who lives is who moves, as seen by
//! this relay's own.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::partition::PARTITIONS;
use crate::store::{Lease, Leases, Owned, RelayBeat};

/// A relay's view of all leases.
#[derive(Debug)]
pub(crate) struct Watch {
    relay: String,
    /// A beat that stands still for so long is that of the dead.
    lease_time: Duration,
    /// Of each relay its beat, and since when it stands so.
    relays: HashMap<String, Seen>,
    /// Of each partition.
    leases: HashMap<i16, Seen>,
    /// Partition and epoch of what is ours.
    owned: BTreeMap<i16, i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    epoch: i64,
    beat: i64,
    since: Instant,
}

/// What is to be done about leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Not ours any more.
    pub(crate) lost: Vec<i16>,
    /// To be taken, as they were seen.
    pub(crate) take: Vec<Lease>,
    /// To be given back once nothing of them is on its way: others want them.
    pub(crate) give: Vec<Owned>,
    /// Relays to be forgotten.
    pub(crate) gone: Vec<RelayBeat>,
}

impl Watch {
    pub(crate) fn new(relay: String, lease_time: Duration) -> Self {
        let (relays, leases, owned) = (HashMap::new(), HashMap::new(), BTreeMap::new());
        Self { relay, lease_time, relays, leases, owned }
    }

    pub(crate) fn owned(&self) -> impl Iterator<Item = Owned> {
        self.owned.iter().map(|(&partition, &epoch)| Owned { partition, epoch })
    }

    pub(crate) fn epoch(&self, partition: i16) -> Option<i64> {
        self.owned.get(&partition).copied()
    }

    pub(crate) fn took(&mut self, taken: &[Owned]) {
        self.owned.extend(taken.iter().map(|owned| (owned.partition, owned.epoch)));
    }

    pub(crate) fn dropped(&mut self, partitions: &[i16]) {
        self.owned.retain(|partition, _| !partitions.contains(partition));
    }

    /// Looks at how things stand, as they were read at `now`.
    pub(crate) fn look(&mut self, now: Instant, seen: &Leases) -> Plan {
        let (live, gone) = self.look_at_relays(now, &seen.relays);
        let mut plan = Plan { gone, ..Plan::default() };
        let mut free = Vec::new();
        for lease in &seen.leases {
            let epoch = self.epoch(lease.partition);
            let has_our_name = lease.owner.as_ref() == Some(&self.relay);
            let is_ours = has_our_name && epoch == Some(lease.epoch);
            if epoch.is_some() && !is_ours {
                plan.lost.push(lease.partition);
                self.owned.remove(&lease.partition);
            }
            // What stands there by our name and is not known to us we have given up, or were never told that we got it; our own beat
            // keeps it from everybody else.
            if !is_ours && (has_our_name || self.is_free(now, lease)) {
                free.push(lease.clone());
            }
        }
        let all = usize::from(PARTITIONS.unsigned_abs());
        let share = all.div_ceil(live.max(1));
        let room = share.saturating_sub(self.owned.len());
        free.truncate(room);
        plan.take = free;
        plan.give = self.owned().skip(share).collect();
        plan
    }

    /// How many live, this one included, and those that do not.
    fn look_at_relays(&mut self, now: Instant, relays: &[RelayBeat]) -> (usize, Vec<RelayBeat>) {
        self.relays.retain(|known, _| relays.iter().any(|relay| relay.relay == *known));
        let mut gone = Vec::new();
        for relay in relays {
            let seen = Seen { epoch: 0, beat: relay.beat, since: now };
            let known = self.relays.entry(relay.relay.clone()).or_insert(seen);
            if known.beat != relay.beat {
                *known = seen;
            }
            if relay.relay != self.relay && now.duration_since(known.since) >= self.lease_time {
                gone.push(relay.clone());
            }
        }
        (relays.len() - gone.len(), gone)
    }

    /// Nobody's, or that of somebody who does not move.
    fn is_free(&mut self, now: Instant, lease: &Lease) -> bool {
        let seen = Seen { epoch: lease.epoch, beat: lease.beat, since: now };
        let known = self.leases.entry(lease.partition).or_insert(seen);
        if (known.epoch, known.beat) != (seen.epoch, seen.beat) {
            *known = seen;
        }
        lease.owner.is_none() || now.duration_since(known.since) >= self.lease_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE_TIME: Duration = Duration::from_secs(10);

    /// A table of leases, and a clock.
    struct Bench {
        table: Leases,
        start: Instant,
        at: Duration,
    }

    impl Bench {
        fn new() -> Self {
            let lease = |partition| Lease { partition, owner: None, epoch: 0, beat: 0 };
            let leases = (0..PARTITIONS).map(lease).collect();
            let table = Leases { relays: Vec::new(), leases };
            Self { table, start: Instant::now(), at: Duration::ZERO }
        }

        /// What the watch's relay does in a beat.
        fn beat(&mut self, watch: &mut Watch) -> Plan {
            let relay = watch.relay.clone();
            match self.table.relays.iter_mut().find(|known| known.relay == relay) {
                Some(known) => known.beat += 1,
                None => self.table.relays.push(RelayBeat { relay: relay.clone(), beat: 0 }),
            }
            let ours = |lease: &&mut Lease| lease.owner.as_ref() == Some(&relay);
            self.table.leases.iter_mut().filter(ours).for_each(|lease| lease.beat += 1);
            let plan = watch.look(self.start + self.at, &self.table);
            for lease in &plan.take {
                let known = &mut self.table.leases[usize::try_from(lease.partition).unwrap()];
                assert_eq!(known, lease);
                known.owner = Some(relay.clone());
                known.epoch += 1;
                let Lease { partition, epoch, .. } = *known;
                watch.took(&[Owned { partition, epoch }]);
            }
            for owned in &plan.give {
                self.table.leases[usize::try_from(owned.partition).unwrap()].owner = None;
                watch.dropped(&[owned.partition]);
            }
            self.table.relays.retain(|relay| !plan.gone.contains(relay));
            plan
        }

        fn pass(&mut self, seconds: u64) {
            self.at += Duration::from_secs(seconds);
        }
    }

    fn watch(relay: &str) -> Watch {
        Watch::new(relay.into(), LEASE_TIME)
    }

    #[test]
    fn relays_share_the_partitions() {
        let mut bench = Bench::new();
        let (mut one, mut two, mut three) = (watch("1"), watch("2"), watch("3"));
        assert_eq!(bench.beat(&mut one).take.len(), 64);
        assert_eq!(bench.beat(&mut two).take.len(), 0);
        assert_eq!(bench.beat(&mut one).give.len(), 32);
        assert_eq!(bench.beat(&mut two).take.len(), 32);
        for _ in 0..3 {
            for watch in [&mut one, &mut two, &mut three] {
                bench.beat(watch);
            }
            bench.pass(1);
        }
        let counts = [&one, &two, &three].map(|watch| watch.owned().count());
        assert_eq!(counts.iter().sum::<usize>(), 64);
        assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
    }

    #[test]
    fn what_a_dead_relay_had_goes_to_others_after_the_time_of_a_lease_and_not_before() {
        let mut bench = Bench::new();
        let (mut one, mut two) = (watch("1"), watch("2"));
        bench.beat(&mut one);
        bench.beat(&mut two);
        for _ in 0..9 {
            bench.pass(1);
            bench.beat(&mut one);
        }
        // It is seen to have moved, and stands from then on.
        assert_eq!(bench.beat(&mut two).take.len(), 32);
        let had = one.owned().count();
        bench.pass(9);
        assert_eq!(bench.beat(&mut two), Plan::default());
        bench.pass(1);
        let plan = bench.beat(&mut two);
        assert_eq!((plan.take.len(), plan.gone.len()), (had, 1));
        assert!(plan.take.iter().all(|lease| lease.owner.as_deref() == Some("1")));
        let lost = bench.beat(&mut one).lost;
        assert_eq!((lost.len(), one.owned().count()), (had, 0), "it comes back, and knows");
    }

    #[test]
    fn what_stands_by_our_name_and_we_do_not_know_of_is_taken_again() {
        let mut bench = Bench::new();
        let mut one = watch("1");
        bench.beat(&mut one);
        one.dropped(&[3, 4]);
        let plan = bench.beat(&mut one);
        assert_eq!(plan.take.iter().map(|lease| lease.partition).collect::<Vec<_>>(), [3, 4]);
        assert_eq!((one.epoch(3), one.epoch(5)), (Some(2), Some(1)));
    }

    #[test]
    fn an_epoch_that_is_not_ours_is_a_partition_that_was_lost_meanwhile() {
        let mut bench = Bench::new();
        let mut one = watch("1");
        bench.beat(&mut one);
        // Somebody had it, and gave it back, and somebody by our name has it.
        bench.table.leases[7].epoch += 2;
        assert_eq!(bench.beat(&mut one).lost, [7]);
    }
}
