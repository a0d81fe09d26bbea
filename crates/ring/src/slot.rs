// One slot of the ring: a small state machine in one atomic word, and two cells that it guards.
//
// The word is `epoch << 32 | claims << 8 | flags`. A slot without flags is free, or being claimed. `claims` counts the
// claims of this slot (and wraps), so that a sweep never ends a newer claim than the one it looked at. A claim's life:
//
//   free ──claim──► PENDING ──win──► (no flag) ──finish──► DONE ──take──► free
//
// WAKER may come and go while the ticket waits; ABANDONED means that the ticket is gone, so whoever finishes the
// slot also frees it. Who may touch which cell follows from the word alone:
//
//   result: the winner between win and finish; the ticket once DONE is set.
//   waker:  the ticket while WAKER is clear; while WAKER is set, the ticket may clear it again only under PENDING.
//           So once PENDING is gone, a set WAKER hands the cell to the winner for good.

use core::mem::MaybeUninit;
use core::task::Waker;

use super::order;
use super::sync::{AtomicU32, AtomicU64, Ordering, UnsafeCell};

/// Claimed, and no answer has won yet.
const PENDING: u64 = 1;
/// The result can be read by the ticket.
const DONE: u64 = 2;
/// The waker cell is set.
const WAKER: u64 = 4;
/// The ticket was dropped before the result came.
const ABANDONED: u64 = 8;

const FLAGS: u64 = 0xff;
const EPOCH_SHIFT: u32 = 32;
const CLAIMS_ONE: u64 = 1 << 8;
const CLAIMS: u64 = 0xffff_ff00;

/// What a ticket finds when it looks at its slot.
pub(crate) enum Poll<T> {
    /// The result; the slot must be given back now.
    Ready(T),
    /// Nothing yet; the waker is registered.
    Waiting,
    /// The winner is just finishing with another waker in its hands: look again at once.
    Finishing,
}

/// What is left to do after a slot was finished.
pub(crate) enum Finished {
    /// The ticket will take the result; wake it if it waits.
    Delivered(Option<Waker>),
    /// Nobody will take the result: it is dropped, and the slot must be given back now.
    Orphaned,
}

pub(crate) struct Slot<T> {
    word: AtomicU64,
    /// Sweeps left until the claim expires.
    pub(crate) patience: AtomicU32,
    /// Index + 1 of the next free slot while this one is free; 0 ends the list.
    pub(crate) next_free: AtomicU32,
    waker: UnsafeCell<Option<Waker>>,
    result: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the cells are handed between threads by the protocol above, each hand-over with release and acquire on
// `word`; what moves through them is a `T` and a `Waker`, and both are `Send`.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            patience: AtomicU32::new(0),
            next_free: AtomicU32::new(0),
            waker: UnsafeCell::new(None),
            result: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Starts a claim on a slot just taken from the free list, and returns its epoch.
    pub(crate) fn claim(&self, patience: u32) -> u32 {
        let word = self.word.load(Ordering::Relaxed);
        debug_assert_eq!(word & FLAGS, 0, "a free slot has no flags");
        self.patience.store(patience, Ordering::Relaxed);
        let claims = word.wrapping_add(CLAIMS_ONE) & CLAIMS;
        self.word.store(word & !CLAIMS | claims | PENDING, order::CLAIM);
        epoch_of(word)
    }

    /// Tries to become the one that completes the claim of `epoch` with its answer.
    pub(crate) fn win(&self, epoch: u32) -> bool {
        self.win_while(|word| epoch_of(word) == epoch, epoch)
    }

    /// As [`Slot::win`], for an end that did not come from outside: the epoch moves on, so that an answer still
    /// under way can never complete a later claim of this slot.
    pub(crate) fn win_and_retire(&self, epoch: u32) -> bool {
        self.win_while(|word| epoch_of(word) == epoch, epoch.wrapping_add(1))
    }

    /// Ends the claim that waits here without an answer, if `doomed` says so of its epoch; true if it did.
    pub(crate) fn win_if(&self, doomed: impl FnOnce(u32) -> bool) -> bool {
        let seen = self.word.load(order::INSPECT);
        let epoch = epoch_of(seen);
        if seen & PENDING == 0 || !doomed(epoch) {
            return false;
        }
        // Same epoch and same count: the very claim that was judged, not a later one of the same slot.
        self.win_while(|word| (word ^ seen) & !FLAGS == 0, epoch.wrapping_add(1))
    }

    /// One sweep passes over this slot; true if it ended the claim here, whose patience was used up.
    pub(crate) fn age(&self) -> bool {
        self.win_if(|_| {
            let left = self.patience.load(Ordering::Relaxed);
            if left > 0 {
                // A newer claim may have set its own patience meanwhile; then the exchange fails, rightly.
                let _ = self.patience.compare_exchange(
                    left,
                    left - 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
            left == 0
        })
    }

    fn win_while(&self, is_ours: impl Fn(u64) -> bool, next_epoch: u32) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        // Only the flags WAKER and ABANDONED can change under us while the claim is pending; then we try again.
        while is_ours(word) && word & PENDING != 0 {
            let rest = word & (FLAGS | CLAIMS) & !PENDING;
            let won = u64::from(next_epoch) << EPOCH_SHIFT | rest;
            match self.word.compare_exchange_weak(word, won, order::WIN, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Hands over the result. Only the winner may call this, once.
    pub(crate) fn finish(&self, result: T) -> Finished {
        // SAFETY: PENDING is gone and DONE not yet set, so the result cell is the winner's alone.
        self.result.with_mut(|cell| unsafe { (*cell).write(result) });
        let mut waker = None;
        let mut word = self.word.load(order::INSPECT);
        loop {
            // The ticket is gone: what it left belongs to us now, and no one will read the result.
            if word & ABANDONED != 0 {
                self.drop_result();
                if word & WAKER != 0 && waker.is_none() {
                    waker = self.take_waker();
                }
                drop(waker);
                self.word.store(word & !FLAGS, Ordering::Relaxed);
                return Finished::Orphaned;
            }
            // A waker is set, and without PENDING the ticket can not take it back: it is ours.
            if word & WAKER != 0 && waker.is_none() {
                waker = self.take_waker();
            }
            let done = (word | DONE) & !WAKER;
            match self.word.compare_exchange_weak(word, done, order::FINISH, order::INSPECT) {
                Ok(_) => return Finished::Delivered(waker),
                Err(now) => word = now,
            }
        }
    }

    /// The ticket's look: takes the result, or leaves `waker` to be woken when it comes.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<T> {
        let mut word = self.word.load(order::OBSERVE);
        // A waker from an earlier look is set. While the claim is pending we may take the cell back to renew it.
        while word & (DONE | WAKER) == WAKER {
            if word & PENDING == 0 {
                return Poll::Finishing;
            }
            let cleared = word & !WAKER;
            match self.word.compare_exchange_weak(word, cleared, order::OBSERVE, order::OBSERVE) {
                Ok(_) => word = cleared,
                Err(now) => word = now,
            }
        }
        if word & DONE == 0 {
            self.set_waker(waker);
        }
        while word & DONE == 0 {
            let set = word | WAKER;
            match self.word.compare_exchange_weak(word, set, order::REGISTER, order::OBSERVE) {
                Ok(_) => return Poll::Waiting,
                Err(now) => word = now,
            }
        }
        Poll::Ready(self.take_result(word))
    }

    /// The result, if it is there already.
    pub(crate) fn try_take(&self) -> Option<T> {
        let word = self.word.load(order::OBSERVE);
        (word & DONE != 0).then(|| self.take_result(word))
    }

    /// The ticket goes. True if the slot must be given back now, false if the winner will do it.
    pub(crate) fn abandon(&self) -> bool {
        let mut word = self.word.load(order::OBSERVE);
        loop {
            if word & DONE != 0 {
                drop(self.take_result(word));
                return true;
            }
            // Taking the waker back first means that the winner need not look after it.
            let (next, took_waker) = if word & (WAKER | PENDING) == WAKER | PENDING {
                (word & !WAKER, true)
            } else {
                (word | ABANDONED, false)
            };
            match self.word.compare_exchange_weak(word, next, order::ABANDON, order::OBSERVE) {
                Ok(_) if took_waker => {
                    drop(self.take_waker());
                    word = next;
                }
                Ok(_) => return false,
                Err(now) => word = now,
            }
        }
    }

    /// Makes the slot free again after [`Slot::win_and_retire`] by the claimer itself.
    pub(crate) fn reset(&self) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word & !FLAGS, Ordering::Relaxed);
    }

    /// Takes the result out of a slot in state DONE and leaves the slot without flags.
    fn take_result(&self, word: u64) -> T {
        // SAFETY: DONE is set, so the result was written and the cell is the ticket's alone; clearing the flags
        // below means that it is read once.
        let result = self.result.with_mut(|cell| unsafe { (*cell).assume_init_read() });
        // A waker that was written but never registered may still lie in its cell: it is the ticket's to drop.
        drop(self.take_waker());
        self.word.store(word & !FLAGS, Ordering::Relaxed);
        result
    }

    fn drop_result(&self) {
        // SAFETY: the winner wrote the result, and no ticket is left to read it.
        self.result.with_mut(|cell| unsafe { (*cell).assume_init_drop() });
    }

    fn set_waker(&self, waker: &Waker) {
        // SAFETY: called by the ticket while WAKER is clear: the cell is the ticket's alone.
        self.waker.with_mut(|cell| match unsafe { &mut *cell } {
            Some(set) => set.clone_from(waker),
            unset => *unset = Some(waker.clone()),
        });
    }

    fn take_waker(&self) -> Option<Waker> {
        // SAFETY: called by whoever owns the cell by the rules at the top of this file.
        self.waker.with_mut(|cell| unsafe { (*cell).take() })
    }
}

fn epoch_of(word: u64) -> u32 {
    (word >> EPOCH_SHIFT) as u32
}
