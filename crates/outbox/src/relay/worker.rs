//! The thread of a relay.

mod outcomes;
mod recovering;
mod resting;
mod silent;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jetlane::client::Backoff;
use jetlane::jetstream::JetStream;

use super::Settings;
use super::courier::{Courier, Unsent};
use super::leases::Watch;
use super::lines::{Lines, Load};
use super::lookup::Lookup;
use super::meters::Meters;
use super::recovery::Page;
use super::status::{Busy, Kind, Shared, Trouble};
use crate::DatabaseError;
use crate::database::Database;
use crate::store::{Owned, PassedOver, Store, Wanted};
use crate::table::Table;

use recovering::Recovering;
use resting::Resting;
use silent::Silent;

/// Rows that come one by one are gathered for so long.
const GATHER: Duration = Duration::from_millis(2);

pub(crate) struct Worker<'a> {
    name: String,
    database: Database,
    table: Table,
    settings: Settings,
    meters: Meters,
    shared: &'a Shared,
    store: Option<Box<dyn Store>>,
    courier: Courier,
    /// Loads that may be stored, of which that is being looked up.
    doubts: Lookup<Load>,
    silent: Silent,
    watch: Watch,
    /// Of partitions that were taken, by the number of when.
    recoveries: BTreeMap<u64, Recovering>,
    taken: u64,
    /// Rows that are being looked up for a recovery.
    pages: Lookup<(u64, Page)>,
    /// To be given back once nothing of them is on its way.
    leaving: Vec<Owned>,
    lines: Lines,
    /// Loads that are stored, whose rows are to be taken out; with the sequence of the first row.
    stored: Vec<(Load, u64)>,
    /// Loads that may be stored, by when they are to be looked up.
    doubtful: Resting,
    /// Loads that are to be sent again, by when.
    resting: Resting,
    /// Why the last load was not stored that was to be.
    reason: String,
    next_connect: Instant,
    failed_connects: u32,
    next_beat: Instant,
    /// Until then nobody can have taken over what is ours.
    valid_until: Instant,
    next_look: Instant,
    /// The connection takes nothing until then.
    blocked_until: Instant,
    is_closed: bool,
    busy: Busy,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        name: String,
        js: JetStream,
        database: Database,
        table: Table,
        settings: Settings,
        meters: Meters,
        shared: &'a Shared,
    ) -> Self {
        let now = Instant::now();
        Self {
            watch: Watch::new(name.clone(), settings.lease_time),
            doubts: Lookup::new(js.clone(), shared.bell.clone()),
            silent: Silent::default(),
            recoveries: BTreeMap::new(),
            taken: 0,
            pages: Lookup::new(js.clone(), shared.bell.clone()),
            courier: Courier::new(js, shared.bell.clone()),
            name,
            database,
            table,
            settings,
            meters,
            shared,
            store: None,
            leaving: Vec::new(),
            lines: Lines::new(settings.most),
            stored: Vec::new(),
            doubtful: Resting::default(),
            resting: Resting::default(),
            reason: String::new(),
            next_connect: now,
            failed_connects: 0,
            next_beat: now,
            valid_until: now,
            next_look: now,
            blocked_until: now,
            is_closed: false,
            busy: Busy::default(),
        }
    }

    /// Until it is stopped.
    pub(crate) fn run(mut self) {
        let mut last_turn = None;
        loop {
            self.timed(|busy| &mut busy.leases, Self::keep_leases);
            self.timed(|busy| &mut busy.publishing, Self::land);
            self.timed(|busy| &mut busy.looking_up, Self::resolve);
            self.timed(|busy| &mut busy.taking_out, Self::take_out);
            self.timed(|busy| &mut busy.leases, Self::give_back);
            let is_ending = self.is_closed || self.shared.is_stopping();
            if is_ending {
                let now = Instant::now();
                let last = *last_turn.get_or_insert(now + self.settings.lease_time);
                if self.is_done() || now >= last {
                    break;
                }
            } else {
                self.timed(|busy| &mut busy.recovering, Self::recover);
                self.timed(|busy| &mut busy.reading, Self::look);
                self.timed(|busy| &mut busy.publishing, Self::send);
            }
            self.count_what_waits();
            self.tell();
            let rung = self.shared.bell.wait(self.next_turn(is_ending));
            if rung.to_look {
                self.next_look = self.next_look.min(Instant::now());
            }
        }
        self.leave();
        self.tell();
    }

    fn timed(&mut self, of: impl Fn(&mut Busy) -> &mut Duration, work: impl FnOnce(&mut Self)) {
        let begun = Instant::now();
        work(self);
        *of(&mut self.busy) += begun.elapsed();
    }

    /// Whether all that was sent is settled, as far as it can be: what is doubtful is the next owner's to look up.
    fn is_done(&self) -> bool {
        self.courier.on_their_way() == 0 && self.stored.is_empty()
    }

    /// When there is something to do, as far as it can be done: a time that has passed and changes nothing would be waited for by a busy loop.
    fn next_turn(&self, is_ending: bool) -> Instant {
        let has_store = self.store.is_some();
        let may_read = !is_ending && has_store && Instant::now() < self.valid_until;
        [
            Some(self.next_beat),
            self.doubtful.next().filter(|_| self.may_look_up()),
            self.resting.next().filter(|_| !is_ending).map(|at| at.max(self.blocked_until)),
            (may_read && self.room().is_some()).then_some(self.next_look),
            self.next_recovery().filter(|_| may_read),
            (!has_store).then_some(self.next_connect),
            self.meters.next_count().filter(|_| has_store),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.next_beat)
    }

    // The database.

    /// Asks the database, if there is a connection or can be one now.
    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut dyn Store) -> Result<T, DatabaseError>,
    ) -> Option<T> {
        let answer = self.connected().map(ask)?;
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.store = None;
                self.database_failed(&error);
                None
            }
        }
    }

    fn connected(&mut self) -> Option<&mut dyn Store> {
        if self.store.is_none() && Instant::now() >= self.next_connect {
            match self.database.connect(&self.table) {
                Ok(store) => self.store = Some(store),
                Err(error) => self.database_failed(&error),
            }
        }
        self.store.as_deref_mut().map(|store| store as &mut dyn Store)
    }

    fn database_failed(&mut self, error: &DatabaseError) {
        self.failed_connects = self.failed_connects.saturating_add(1);
        self.next_connect = Instant::now() + pause(self.failed_connects);
        self.shared.trouble(Kind::Database, Some(Trouble::Database(error.to_string())));
    }

    // Leases.

    fn keep_leases(&mut self) {
        let now = Instant::now();
        if now >= self.next_beat {
            self.beat(now);
        }
        if Instant::now() >= self.valid_until && self.watch.owned().next().is_some() {
            let all: Vec<_> = self.watch.owned().map(|owned| owned.partition).collect();
            self.lose(&all);
        }
    }

    fn beat(&mut self, now: Instant) {
        let name = self.name.clone();
        let trouble = self.shared.status().troubles.first().map(Trouble::to_string);
        let Some(leases) = self.ask(|store| store.beat(&name, trouble.as_deref())) else {
            self.next_beat = self.next_connect.max(now + Duration::from_millis(1));
            return;
        };
        self.failed_connects = 0;
        self.shared.trouble(Kind::Database, None);
        // A tenth of it is for clocks that do not run alike.
        self.valid_until = now + self.settings.lease_time * 9 / 10;
        self.next_beat = now + self.settings.lease_time / 4;
        let plan = self.watch.look(now, &leases);
        self.lose(&plan.lost);
        self.leaving = plan.give;
        if !plan.gone.is_empty() {
            self.ask(|store| store.forget(&plan.gone));
        }
        let is_ending = self.is_closed || self.shared.is_stopping();
        if plan.take.is_empty() || is_ending {
            return;
        }
        if let Some(taken) = self.ask(|store| store.take(&name, &plan.take)) {
            self.watch.took(&taken);
            self.begin_recovery(taken);
        }
    }

    /// Somebody else has these partitions, or may have. What is on its way goes on, and does no harm.
    fn lose(&mut self, partitions: &[i16]) {
        if partitions.is_empty() {
            return;
        }
        self.watch.dropped(partitions);
        self.lines.forget_partitions(partitions);
        let is_lost = |load: &Load| load.rows.iter().any(|row| partitions.contains(&row.partition));
        for resting in [&mut self.doubtful, &mut self.resting] {
            resting.loads.retain(|_, load| !is_lost(load));
        }
        self.recoveries.values_mut().for_each(|recovering| recovering.recovery.lost(partitions));
    }

    /// Gives partitions that others want back as soon as nothing of them is on its way.
    fn give_back(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        // What is not on its way can as well be published by the next owner, who looks up what is doubtful.
        let leaving: Vec<_> = self.leaving.iter().map(|owned| owned.partition).collect();
        let leaves = |load: &Load| load.rows.iter().any(|row| leaving.contains(&row.partition));
        for resting in [&mut self.doubtful, &mut self.resting] {
            for (_, load) in resting.loads.iter().filter(|(_, load)| leaves(load)) {
                self.lines.again(load);
            }
            resting.loads.retain(|_, load| !leaves(load));
        }
        let mut free = self.leaving.clone();
        free.retain(|owned| !self.lines.is_busy(owned.partition));
        if free.is_empty() {
            return;
        }
        let name = self.name.clone();
        if self.ask(|store| store.release(&name, &free)).is_some() {
            self.leaving.retain(|owned| !free.contains(owned));
            let partitions: Vec<_> = free.iter().map(|owned| owned.partition).collect();
            self.lose(&partitions);
        }
    }

    fn leave(&mut self) {
        let (name, owned): (_, Vec<_>) = (self.name.clone(), self.watch.owned().collect());
        self.ask(|store| {
            store.release(&name, &owned)?;
            let relays = store.beat(&name, None)?.relays;
            let us: Vec<_> = relays.into_iter().filter(|relay| relay.relay == name).collect();
            store.forget(&us)
        });
        let partitions: Vec<_> = owned.iter().map(|owned| owned.partition).collect();
        self.watch.dropped(&partitions);
    }

    // Rows.

    /// How many rows can be read, if it is worth it: few large reads cost less than many small ones.
    fn room(&self) -> Option<u32> {
        let held = self.lines.len_but_for(&self.held_topics());
        let most = self.settings.most;
        let room = most.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        // What is held and can not go waits for something in the table: the rest of a unit.
        let is_idle = self.is_done() && self.unsettled() == 0;
        let room = if is_idle { room.max(most / 2) } else { room };
        (room >= most / 2).then_some(room.max(1))
    }

    /// Loads that are neither stored nor on their way.
    fn unsettled(&self) -> usize {
        self.resting.len() + self.doubtful.len() + self.doubts.len()
    }

    /// The topics whose stream takes no events now, or does not answer. They take no room from others, and nothing more of them is read, nor of
    /// their keys behind them.
    fn held_topics(&self) -> BTreeSet<&str> {
        let refused = self.resting.loads.values().filter(|load| load.attempts > 0);
        let asking = self.doubtful.loads.values().chain(self.doubts.cargos());
        let unanswered = asking.flat_map(Load::topics).filter(|topic| self.silent.has(topic));
        let recoveries = self.recoveries.values();
        let recovering = recoveries.flat_map(|recovering| recovering.recovery.topics());
        refused.flat_map(Load::topics).chain(unanswered).chain(recovering).collect()
    }

    /// Reads rows that were added.
    fn look(&mut self) {
        let now = Instant::now();
        if now < self.next_look || now >= self.valid_until {
            return;
        }
        if !self.stored.is_empty() {
            // A row that is to be taken out must not be read again.
            self.next_look = self.next_connect.max(now + GATHER);
            return;
        }
        let Some(most) = self.room() else { return };
        let recoveries = self.recoveries.values();
        let closed: Vec<_> = recoveries.flat_map(|of| of.recovery.closed()).collect();
        let is_ready = |owned: &Owned| !closed.contains(&owned) && !self.leaving.contains(owned);
        let partitions: Vec<_> =
            self.watch.owned().filter(is_ready).map(|owned| owned.partition).collect();
        if partitions.is_empty() {
            self.next_look = now + self.settings.poll;
            return;
        }
        let held = self.lines.positions();
        let keys = self.lines.passed_over();
        let topics: Vec<_> = self.held_topics().into_iter().map(str::to_owned).collect();
        let passed_over = PassedOver { positions: &held, keys: &keys, topics: &topics };
        let wanted = Wanted { partitions: &partitions, passed_over, most };
        let Some(rows) = self.ask(|store| store.read(&wanted)) else {
            self.next_look = self.next_connect;
            return;
        };
        // Where there was something there may be more.
        self.next_look = now + if rows.is_empty() { self.settings.poll } else { GATHER };
        rows.into_iter().for_each(|row| self.lines.add(row));
    }

    fn send(&mut self) {
        let now = Instant::now();
        if now < self.blocked_until {
            return;
        }
        while let Some(load) = self.resting.due(now) {
            if !self.send_load(load, now) {
                return;
            }
        }
        if now >= self.valid_until {
            return;
        }
        let leaving: Vec<_> = self.leaving.iter().map(|owned| owned.partition).collect();
        while let Some(mut load) = self.lines.next(|partition| !leaving.contains(&partition)) {
            load.epoch = self.watch.epoch(load.rows[0].partition);
            if !self.send_load(load, now) {
                return;
            }
        }
    }

    /// Whether more can be sent.
    fn send_load(&mut self, load: Load, now: Instant) -> bool {
        match self.courier.send(load) {
            Ok(()) => true,
            Err((load, Unsent::Fate(fate))) => {
                self.conclude(load, fate, now);
                true
            }
            Err((load, Unsent::NoRoom)) => {
                self.blocked_until = now + GATHER;
                self.resting.add(now, load);
                false
            }
            Err((_, Unsent::Closed)) => {
                self.is_closed = true;
                self.shared.trouble(Kind::Closed, Some(Trouble::Closed));
                false
            }
        }
    }

    /// For who looks at metrics, if anybody can.
    fn count_what_waits(&mut self) {
        let now = Instant::now();
        if !self.meters.is_due(now) {
            return;
        }
        if let Some(mut backlog) = self.ask(|store| store.backlog()) {
            backlog.retain(|waits| self.watch.epoch(waits.partition).is_some());
            self.meters.counted(&backlog, now.elapsed());
        }
    }

    fn tell(&mut self) {
        let waiting = self.unsettled();
        let is_halted = waiting > 0 || self.recoveries.values().any(Recovering::is_halted);
        let reason = self.reason.clone();
        let trouble = is_halted.then_some(Trouble::Stream { waiting, reason });
        self.shared.trouble(Kind::Stream, trouble);
        self.shared.change(|status| {
            status.partitions = self.watch.owned().count();
            status.held = self.lines.len();
            status.on_their_way = self.courier.on_their_way();
            status.busy = self.busy;
            self.meters.tell(status);
        });
    }
}

/// How long something rests after so many failures.
fn pause(failures: u32) -> Duration {
    Backoff::default().delay(failures, u32::MAX).min(Duration::from_secs(5))
}
