//! What a reactor does between reading and writing: nothing, in one of several ways.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::{Intake, LONGEST_SLEEP, Link, Reactor};
use crate::Idle;
use crate::write_queue::Command;

impl Reactor {
    /// Sleeps until something happens, for `most` at most; not at all if there is something to do.
    pub(super) fn sleep(&mut self, most: Duration) {
        let may_read = !self.shared.is_blocked();
        let busy = |link: &Link| {
            ((may_read || link.reads_anyway()) && link.may_read()) || link.can_write_more()
        };
        let moving = self.moving.as_ref().and_then(|moving| moving.link.as_ref());
        let busy = self.link.as_ref().is_some_and(busy) || moving.is_some_and(busy);
        if busy {
            return self.look(Duration::ZERO);
        }
        let now = Instant::now();
        let until = now + self.next_timeout(now).min(most);
        if !self.spin(now, until) {
            self.park(until);
        }
    }

    /// Looks again and again, for as long as the strategy says. True if something happened, or the time is over.
    fn spin(&mut self, since: Instant, until: Instant) -> bool {
        let spin_until = match self.options.idle {
            Idle::Park => return false,
            Idle::Spin(most) => (since + most.min(LONGEST_SLEEP)).min(until),
            Idle::Busy => until,
        };
        let had_link = self.link.is_some();
        loop {
            // Nobody needs to wake us: we look by ourselves.
            self.look(Duration::ZERO);
            let lost = had_link && self.link.is_none();
            if !self.events.is_empty() || lost || self.write_queue_wants_us() {
                return true;
            }
            let now = Instant::now();
            if now >= spin_until {
                return now >= until;
            }
            std::hint::spin_loop();
        }
    }

    fn park(&mut self, until: Instant) {
        self.shared.gate.falls_asleep();
        // The last look, under the lock that every producer takes before it asks the gate.
        let timeout = match self.write_queue_wants_us() {
            true => Duration::ZERO,
            false => until.saturating_duration_since(Instant::now()),
        };
        self.look(timeout);
        self.shared.gate.wakes_up();
    }

    /// Asks the system what has happened, and waits for it until `timeout` has passed.
    fn look(&mut self, timeout: Duration) {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            // A signal: this turn has no events, the next one will have them.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.events.clear(),
            Err(error) => self.lost(error.into()),
        }
        for event in &self.events {
            let moving = self.moving.as_mut().and_then(|moving| moving.link.as_mut());
            let leaving = self.leaving.as_mut().map(|leaving| &mut leaving.link);
            let mut links = [self.link.as_mut(), moving, leaving].into_iter().flatten();
            if let Some(link) = links.find(|link| link.token == event.token()) {
                link.read_closed |= event.is_read_closed() || event.is_error();
                link.must_read |= event.is_readable() || link.read_closed;
                link.writable |= event.is_writable() || event.is_write_closed();
            }
        }
    }

    fn write_queue_wants_us(&self) -> bool {
        let write_queue = self.shared.write_queue.lock();
        match self.intake() {
            Intake::All => !write_queue.bytes.is_empty() || !write_queue.commands.is_empty(),
            Intake::Ready => write_queue.commands.iter().any(Command::is_bare),
            Intake::Commands => !write_queue.commands.is_empty(),
        }
    }

    fn next_timeout(&mut self, now: Instant) -> Duration {
        let reads = !self.shared.is_blocked();
        let link = self.link.as_ref().filter(|_| reads);
        let session = link.map(|link| link.session.next_timeout());
        let closing = self.shared.write_queue.lock().closing;
        let sinks = self.routes.next_timeout(now);
        let drain = self.drain.map(|drain| drain.deadline.min(now + super::draining::DRAIN_TICK));
        [session, self.next_dial(), self.next_move(), closing, sinks, drain]
            .into_iter()
            .flatten()
            .map(|at| at.saturating_duration_since(now))
            .min()
            .unwrap_or(LONGEST_SLEEP)
    }
}
