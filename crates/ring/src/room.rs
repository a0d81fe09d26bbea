// Room in the window: how many claims are in flight, and the threads that wait until there are fewer.

use std::sync::PoisonError;
use std::time::Duration;

use super::order;
use super::sync::{AtomicU32, Condvar, Mutex, Ordering};

/// A waiting thread looks for itself this often: what it waits for need not be room in the window, and a window that
/// is less than a quarter open wakes nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Room {
    /// `0 <= in_flight <= window`
    in_flight: AtomicU32,
    window: u32,
    /// Threads that wait for room.
    waiting: AtomicU32,
    turnstile: Mutex<()>,
    opened: Condvar,
}

impl Room {
    pub(crate) fn new(window: u32) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            window,
            waiting: AtomicU32::new(0),
            turnstile: Mutex::new(()),
            opened: Condvar::new(),
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes one place in the window.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        let mut now = self.in_flight.load(Ordering::Relaxed);
        while now < self.window {
            match self.in_flight.compare_exchange_weak(
                now,
                now + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(changed) => now = changed,
            }
        }
        false
    }

    /// Gives `count` places back and wakes those who wait, once a quarter of the window is open: waking a
    /// thread for every single place would cost more than the place is worth.
    pub(crate) fn leave(&self, count: u32) {
        if count == 0 {
            return;
        }
        let left = self.in_flight.fetch_sub(count, Ordering::Relaxed) - count;
        if left > self.window - self.window.div_ceil(4) {
            return;
        }
        // Leaving and waiting both change `waiting`, so one of the two comes first: if it is us, the one who waits sees
        // the places we gave back; if not, we see it wait. Adding nothing is how to read a word and still take part.
        if self.waiting.fetch_add(0, order::ROOM) > 0 {
            // Holding the lock once means that whoever counted itself and found no room is asleep by now.
            drop(self.turnstile.lock().unwrap_or_else(PoisonError::into_inner));
            self.opened.notify_all();
        }
    }

    /// Sleeps until there may be room; returns at once if there is.
    pub(crate) fn wait(&self) {
        let guard = self.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, order::ROOM);
        if self.in_flight() == self.window {
            let woken = self.opened.wait_timeout(guard, LOOK_AGAIN);
            drop(woken.unwrap_or_else(PoisonError::into_inner));
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sleeps for a while: what is waited for makes no room here, and wakes nobody.
    pub(crate) fn nap(&self) {
        let guard = self.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.opened.wait_timeout(guard, LOOK_AGAIN);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }
}
