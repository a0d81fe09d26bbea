//! What keeps jobs in order.

use std::hash::Hasher;
use std::num::NonZeroUsize;

use rustc_hash::FxHasher;

/// A key, already hashed: jobs with equal keys run in the order in which they were pushed.
///
/// Two keys with the same hash are treated as one. Their order still holds; they only share their fate, so that one
/// waits when the other does. The hash is the same in every process of one version of this crate, and it is not keyed:
/// whoever may choose keys can make two of them collide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(u64);

impl Key {
    /// The key of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Key {
        let mut hasher = FxHasher::default();
        hasher.write(bytes);
        Key(mix(hasher.finish()))
    }

    /// A key that was hashed elsewhere. It need not be mixed well: counted numbers spread over the lanes too.
    #[must_use]
    pub fn from_hash(hash: u64) -> Key {
        Key(hash)
    }

    /// The lane of this key: a function of the hash and of the number of lanes, and of nothing else.
    pub(crate) fn lane(self, lanes: NonZeroUsize) -> usize {
        // The high half of the product maps the mixed hash evenly onto 0..lanes, without a division.
        let scaled = u128::from(mix(self.0)) * lanes.get() as u128;
        usize::try_from(scaled >> 64)
            .expect("a 64-bit fraction of a usize is smaller than that usize")
    }
}

/// The finalizer of MurmurHash3: every bit of the input changes about half of the bits of the output.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check_even(keys: impl Iterator<Item = Key>, lanes: usize) {
        let mut count = vec![0_usize; lanes];
        for key in keys {
            count[key.lane(NonZeroUsize::new(lanes).unwrap())] += 1;
        }
        let mean = count.iter().sum::<usize>() / lanes;
        for jobs in &count {
            assert!(jobs.abs_diff(mean) < mean / 10, "uneven over {lanes} lanes: {count:?}");
        }
    }

    #[test]
    fn keys_that_resemble_each_other_spread_evenly() {
        for lanes in [1, 2, 3, 4, 7, 16] {
            check_even((0..100_000).map(|n| Key::of(format!("order-{n}").as_bytes())), lanes);
            check_even((0..100_000_u64).map(|n| Key::of(&n.to_be_bytes())), lanes);
            check_even((0..100_000).map(Key::from_hash), lanes);
            check_even((0..100_000).map(|n| Key::from_hash(n << 40)), lanes);
        }
    }

    #[test]
    fn keys_that_resemble_each_other_do_not_collide() {
        let keys: HashSet<Key> =
            (0..500_000).map(|n| Key::of(format!("order-{n}").as_bytes())).collect();
        assert_eq!(keys.len(), 500_000);
        assert_ne!(Key::of(b""), Key::of(b"\0"));
        assert_ne!(Key::of(b"\0"), Key::of(b"\0\0"));
    }

    #[test]
    fn each_bit_of_the_input_moves_half_of_the_hash() {
        let base = Key::of(&[0; 16]).0;
        for bit in 0..128 {
            let mut bytes = [0_u8; 16];
            bytes[bit / 8] = 1 << (bit % 8);
            let moved = (Key::of(&bytes).0 ^ base).count_ones();
            assert!((16..=48).contains(&moved), "bit {bit} moves {moved} of 64 bits");
        }
    }
}
