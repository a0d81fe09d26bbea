// Every memory ordering that the ring relies on, by the step that needs it. They are named so that each can be
// weakened in turn by the models, which must then fail: an ordering no model needs has no place here.

use core::sync::atomic::Ordering;

/// Claiming a slot publishes that its former user is done with its cells.
pub(crate) const CLAIM: Ordering = Ordering::Release;
/// Winning the right to complete a slot sees that its former user is done with its cells: a token may be guessed, or come
/// a second time, and then nothing else has ordered the claim before it.
pub(crate) const WIN: Ordering = Ordering::Acquire;
/// Setting WAKER publishes the waker in its cell.
pub(crate) const REGISTER: Ordering = Ordering::Release;
/// A completer's look at the slot sees the registered waker, all that an abandoning ticket did, or the patience that
/// the claim set.
pub(crate) const INSPECT: Ordering = Ordering::Acquire;
/// Setting DONE publishes the result in its cell, and that the completer is done with the waker's.
pub(crate) const FINISH: Ordering = Ordering::Release;
/// The ticket's look at the slot sees that result.
pub(crate) const OBSERVE: Ordering = Ordering::Acquire;
/// Abandoning publishes that the ticket is done with the waker's cell.
pub(crate) const ABANDON: Ordering = Ordering::Release;
/// Giving a slot back publishes that its user is done with it.
pub(crate) const GIVE: Ordering = Ordering::Release;
/// Taking a free slot sees all that its last user did.
pub(crate) const TAKE: Ordering = Ordering::Acquire;
/// Counting oneself as waiting, and looking for those who wait after making room: whichever comes second sees what
/// the other did before.
pub(crate) const ROOM: Ordering = Ordering::AcqRel;
/// Only the number of wake-ups depends on the gate's own exchange; what was queued is ordered by the queue's lock.
pub(crate) const GATE: Ordering = Ordering::Relaxed;
