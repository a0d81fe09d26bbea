// The ring itself: slots in chunks, who may claim them, and what ends a claim.

use std::sync::{Arc, OnceLock};

use super::completer::Completer;
use super::free_list::FreeList;
use super::room::Room;
use super::slot::Slot;
use super::sync::{AtomicU32, Ordering};
use super::ticket::Ticket;

/// Slots are made in chunks of this many when they are first needed, so an idle ring costs little memory.
const CHUNK: u32 = 256;

/// The two bounds of a [`PendingRing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// How many claims may exist at once: waiting for an answer, or answered and not yet taken by their ticket.
    /// When it is reached, claims fail with [`Full::Tickets`]. At least 1; at most 2^24.
    pub capacity: u32,
    /// How many claims may wait for an answer at once. When it is reached, claims fail with [`Full::Window`].
    /// `1 <= window <= capacity` (larger values are cut to `capacity`).
    pub window: u32,
}

/// Why nothing could be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many claims as the window allows wait for their answer; answers will open it again.
    Window,
    /// Every slot is taken, most of them by results that no ticket has taken yet. Only taking or dropping tickets
    /// opens the ring again.
    Tickets,
}

/// Names one claim of one slot, small enough to travel with a question and come back with its answer.
///
/// An answer finds its claim if its way orders the claim before it, as every lock, channel and socket does. A token that was made
/// up, or comes again, does no harm beyond completing the claim it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The slot, below [`RingConfig::capacity`]. Slots given back last are claimed first.
    pub slot: u32,
    /// Moves on when a claim of this slot ends without an answer, so that a late answer completes nothing.
    pub epoch: u32,
}

/// A fixed set of slots for questions that wait for their answers.
///
/// Any thread may claim; any number of [`Completer`]s may complete. Each claim ends exactly once: by its answer
/// ([`Completer::complete`]), because its patience ended ([`Completer::sweep`]), or because answers can no longer
/// come ([`Completer::fail_where`]). The result then stays in its slot until the [`Ticket`] takes it or is dropped.
pub struct PendingRing<T> {
    /// `chunks.len() * chunk_len >= capacity`
    chunks: Vec<OnceLock<Vec<Slot<T>>>>,
    chunk_len: u32,
    capacity: u32,
    /// Slots below this have been used; those above need no look. `touched <= capacity`
    touched: AtomicU32,
    free: FreeList,
    room: Room,
}

impl<T> core::fmt::Debug for PendingRing<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PendingRing")
            .field("capacity", &self.capacity)
            .field("in_flight", &self.room.in_flight())
            .finish_non_exhaustive()
    }
}

impl<T: Send> PendingRing<T> {
    /// Makes an empty ring. Out-of-range bounds are cut to the range that [`RingConfig`] documents.
    pub fn new(config: RingConfig) -> Arc<Self> {
        let capacity = config.capacity.clamp(1, 1 << 24);
        let chunk_len = capacity.min(CHUNK);
        Arc::new(Self {
            chunks: (0..capacity.div_ceil(chunk_len)).map(|_| OnceLock::new()).collect(),
            chunk_len,
            capacity,
            touched: AtomicU32::new(0),
            free: FreeList::new(),
            room: Room::new(config.window.clamp(1, capacity)),
        })
    }

    /// Claims a slot for a question about to be asked.
    ///
    /// `patience` is the number of [`Completer::sweep`]s the claim survives: it expires in the sweep after those.
    ///
    /// # Errors
    /// [`Full`] says which bound is reached; nothing is claimed then.
    #[inline]
    pub fn claim(self: &Arc<Self>, patience: u32) -> Result<Claim<T>, Full> {
        if !self.room.enter() {
            return Err(Full::Window);
        }
        let Some(slot) = self.free.take(|index| self.slot(index)).or_else(|| self.touch_next())
        else {
            self.room.leave(1);
            return Err(Full::Tickets);
        };
        let epoch = self.slot(slot).claim(patience);
        Ok(Claim { ring: Some(Arc::clone(self)), token: Token { slot, epoch } })
    }

    /// Sleeps until a claim that failed because of `why` may succeed, a few milliseconds at most. The caller then tries
    /// again, and may have to wait again: another thread can be faster, and tickets come back without a word.
    pub fn wait_for_room(&self, why: Full) {
        match why {
            Full::Window => self.room.wait(),
            Full::Tickets => self.room.nap(),
        }
    }

    /// How many claims wait for their answer now.
    pub fn in_flight(&self) -> u32 {
        self.room.in_flight()
    }

    /// Makes an end that completes claims; usually one, owned by the thread that receives the answers.
    pub fn completer(self: &Arc<Self>) -> Completer<T> {
        Completer::new(Arc::clone(self))
    }

    /// Takes a slot that was never used before.
    fn touch_next(&self) -> Option<u32> {
        self.touched
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |touched| {
                (touched < self.capacity).then_some(touched + 1)
            })
            .ok()
    }
}

impl<T> PendingRing<T> {
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> &Slot<T> {
        let chunk = self.chunks[(index / self.chunk_len) as usize]
            .get_or_init(|| (0..self.chunk_len).map(|_| Slot::new()).collect());
        &chunk[(index % self.chunk_len) as usize]
    }

    /// The slot that a token from outside names, if there is such a slot.
    #[inline]
    pub(crate) fn find(&self, token: Token) -> Option<&Slot<T>> {
        (token.slot < self.touched()).then(|| self.slot(token.slot))
    }

    pub(crate) fn touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }

    /// Gives back a slot whose result was taken or dropped.
    pub(crate) fn give_back(&self, index: u32) {
        self.free.give(index, self.slot(index));
    }

    /// Counts `ended` claims as no longer in flight.
    pub(crate) fn leave(&self, ended: u32) {
        self.room.leave(ended);
    }
}

/// A claimed slot whose question has not been asked yet. Dropping it gives the slot back.
#[derive(Debug)]
#[must_use = "dropping a claim gives its slot back"]
pub struct Claim<T> {
    /// `None` only while the claim becomes a ticket.
    ring: Option<Arc<PendingRing<T>>>,
    token: Token,
}

impl<T> Claim<T> {
    /// What the answer must bring back.
    pub fn token(&self) -> Token {
        self.token
    }

    /// The question is asked: from here on the claim ends by a completer.
    #[inline]
    pub fn into_ticket(mut self) -> Ticket<T> {
        let ring = self.ring.take().unwrap_or_else(|| unreachable!("taken only here"));
        Ticket::new(ring, self.token.slot)
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        let Some(ring) = self.ring.take() else { return };
        let Token { slot, epoch } = self.token;
        if ring.slot(slot).win_and_retire(epoch) {
            ring.slot(slot).reset();
            ring.leave(1);
            ring.give_back(slot);
        } else if ring.slot(slot).abandon() {
            // A sweep was faster; its result is nobody's now.
            ring.give_back(slot);
        }
    }
}
