/// Places are the lower bits of a subscription number.
const INDEX_BITS: u32 = 20;

/// Hands out subscription numbers. The lower 20 bits are the place of the route in its table; the rest counts how
/// often the place was used, so that late messages of a former subscription are told apart.
#[derive(Debug, Default)]
pub(crate) struct Sids {
    free: Vec<u64>,
    used: usize,
    limit: usize,
}

impl Sids {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// A number for a new subscription; `None` if there are too many. Places begin at 1: nobody expects a sid of 0.
    pub(crate) fn take(&mut self) -> Option<u64> {
        (self.used - self.free.len() < self.limit).then(|| self.take_beyond_limit())?
    }

    /// A number for an inbox of our own, which no limit of the user's must keep from being made.
    pub(crate) fn take_beyond_limit(&mut self) -> Option<u64> {
        if let Some(sid) = self.free.pop() {
            return Some(sid);
        }
        let next = self.used + 1;
        if next >> INDEX_BITS != 0 {
            return None;
        }
        self.used = next;
        Some(next as u64)
    }

    /// `sid` is used no more; its place may be, with another number.
    pub(crate) fn give_back(&mut self, sid: u64) {
        self.free.push(sid.wrapping_add(1 << INDEX_BITS));
    }

    pub(crate) fn index(sid: u64) -> usize {
        usize::try_from(sid & ((1 << INDEX_BITS) - 1)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_are_dense_and_never_mistaken_for_their_predecessors() {
        let mut sids = Sids::new(3);
        let first: Vec<_> = (0..3).map(|_| sids.take().unwrap()).collect();
        assert_eq!(first, [1, 2, 3]);
        assert_eq!(sids.take(), None);
        assert_eq!(sids.take_beyond_limit(), Some(4), "our own");
        sids.give_back(2);
        assert_eq!(sids.take(), None, "three of four are in use");
        sids.give_back(4);
        let again = sids.take().unwrap();
        assert!(again != 2 && again != 4);
        assert!([2, 4].contains(&Sids::index(again)));
    }
}
