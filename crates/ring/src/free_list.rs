// The free slots, as a stack (Treiber's): the slot given back last is claimed first, so a few slots, their cache
// lines and their tokens stay hot. The head is `tag << 32 | index + 1`; the tag moves on with every change, so a head
// that was taken and put back in between (ABA) is not mistaken for an unchanged one.

use super::order;
use super::slot::Slot;
use super::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct FreeList {
    head: AtomicU64,
}

impl FreeList {
    pub(crate) fn new() -> Self {
        Self { head: AtomicU64::new(0) }
    }

    /// Takes the slot that was given back last.
    pub(crate) fn take<'a, T: 'a>(&self, slot: impl Fn(u32) -> &'a Slot<T>) -> Option<u32> {
        let mut head = self.head.load(order::TAKE);
        loop {
            let index = link_of(head).checked_sub(1)?;
            // Another thread may take this slot first; then `next` is stale, but so is `head`, and the exchange fails.
            let next = slot(index).next_free.load(Ordering::Relaxed);
            match self.head.compare_exchange_weak(
                head,
                retagged(head, next),
                order::TAKE,
                order::TAKE,
            ) {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    /// Gives a slot back.
    pub(crate) fn give<T>(&self, index: u32, slot: &Slot<T>) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            slot.next_free.store(link_of(head), Ordering::Relaxed);
            match self.head.compare_exchange_weak(
                head,
                retagged(head, index + 1),
                order::GIVE,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

fn retagged(head: u64, link: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(link)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn link_of(head: u64) -> u32 {
    head as u32
}
