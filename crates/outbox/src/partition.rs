//! Which partition a key is in. It stands in rows, so it never changes.

/// How many partitions the keys of an outbox are spread over. A relay owns whole partitions, so no more relays than that have work.
pub const PARTITIONS: i16 = 64;

/// The partition of a key: FNV-1a of its bytes, of which the low six bits count.
///
/// Whoever writes rows without this library has to do the same.
pub fn partition(key: &str) -> i16 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Less than 64.
    i16::try_from(hash % PARTITIONS.unsigned_abs() as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_partition_that_it_always_had() {
        for (key, expected) in [("", 37), ("order-42", 20), ("a", 12), ("ä", 2)] {
            assert_eq!(partition(key), expected, "{key}");
        }
    }

    #[test]
    fn keys_are_spread() {
        let mut counts = [0; PARTITIONS as usize];
        for n in 0..64_000 {
            counts[partition(&format!("order-{n}")) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (700..1300).contains(count)), "{counts:?}");
    }
}
