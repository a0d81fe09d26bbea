// The end of the ring that brings answers.

use std::sync::Arc;
use std::task::Waker;

use super::pending::{PendingRing, Token};
use super::slot::Finished;

/// Completes claims of a [`PendingRing`], in batches: tickets see their results at once, but waiting tasks are woken, and
/// room is made for new claims, by [`Completer::flush`]. One wake a batch costs far less than one an answer.
/// Dropping a completer flushes it.
#[derive(Debug)]
pub struct Completer<T> {
    ring: Arc<PendingRing<T>>,
    wakers: Vec<Waker>,
    /// Claims ended since the last flush.
    ended: u32,
}

impl<T> Completer<T> {
    pub(crate) fn new(ring: Arc<PendingRing<T>>) -> Self {
        Self { ring, wakers: Vec::new(), ended: 0 }
    }

    /// Completes the claim that `token` names with its answer.
    ///
    /// # Errors
    /// The result comes back if no such claim waits: the token is made up, or its claim has ended already.
    #[inline]
    pub fn complete(&mut self, token: Token, result: T) -> Result<(), T> {
        match self.ring.find(token) {
            Some(slot) if slot.win(token.epoch) => {
                self.finish(token.slot, result);
                Ok(())
            }
            _ => Err(result),
        }
    }

    /// As [`Completer::complete`], and the slot's next claim will have another token, so that a second answer to this question can
    /// not be taken for the answer to the next. For questions that more than one may answer.
    ///
    /// # Errors
    /// As [`Completer::complete`].
    #[inline]
    pub fn complete_and_retire(&mut self, token: Token, result: T) -> Result<(), T> {
        match self.ring.find(token) {
            Some(slot) if slot.win_and_retire(token.epoch) => {
                self.finish(token.slot, result);
                Ok(())
            }
            _ => Err(result),
        }
    }

    /// Ends every claim that has survived as many sweeps as its patience allows, with what `expired` makes.
    /// Returns how many ended. To be called at even intervals while [`PendingRing::in_flight`] is above 0; that interval
    /// is the unit of patience. `expired` must not panic.
    pub fn sweep(&mut self, mut expired: impl FnMut() -> T) -> u32 {
        let mut ended = 0;
        for index in 0..self.ring.touched() {
            if self.ring.slot(index).age() {
                self.finish(index, expired());
                ended += 1;
            }
        }
        ended
    }

    /// Ends every waiting claim for which `doomed` holds, with what `result` makes. Returns how many ended.
    /// Claims made while it runs may be missed: stop claiming first, or see to it that they get an answer.
    /// `result` must not panic.
    pub fn fail_where(
        &mut self,
        mut doomed: impl FnMut(Token) -> bool,
        mut result: impl FnMut() -> T,
    ) -> u32 {
        let mut ended = 0;
        for index in 0..self.ring.touched() {
            if self.ring.slot(index).win_if(|epoch| doomed(Token { slot: index, epoch })) {
                self.finish(index, result());
                ended += 1;
            }
        }
        ended
    }

    /// Wakes the tasks whose results have come, and the threads that wait for room.
    pub fn flush(&mut self) {
        self.ring.leave(std::mem::take(&mut self.ended));
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    #[inline]
    fn finish(&mut self, index: u32, result: T) {
        self.ended += 1;
        match self.ring.slot(index).finish(result) {
            Finished::Delivered(Some(waker)) => self.wakers.push(waker),
            Finished::Delivered(None) => {}
            Finished::Orphaned => self.ring.give_back(index),
        }
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        self.flush();
    }
}
