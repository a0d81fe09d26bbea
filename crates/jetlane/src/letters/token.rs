//! The token of a subject that stands for a key.

/// Longer keys are cut, and told apart by their hash.
const LONGEST: usize = 128;

/// The token of events that have no key.
pub(crate) const NO_KEY: &str = "_";

/// The key as one token of a subject: letters, digits, `-` and `_` as they are, everything else as `%` and two digits of
/// base 16. Two keys have the same token only if both are long and their hashes are equal.
pub(crate) fn token(key: &[u8]) -> String {
    let mut token = String::with_capacity(key.len());
    for &byte in key {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => token.push(char::from(byte)),
            _ => token.push_str(&format!("%{byte:02X}")),
        }
    }
    if token.len() > LONGEST {
        token.truncate(LONGEST);
        token.push_str(&format!("~{:016x}", hash(key)));
    }
    match token.as_str() {
        // It has a key: an empty one, or one that looks like none.
        "" | NO_KEY => format!("%{token}"),
        _ => token,
    }
}

/// A key as one token of a subject: letters, digits, `-` and `_` as they are, every other byte as `%` and two digits of base 16. Keys of more
/// than 128 bytes (as a token) are cut, and told apart by a hash. An empty key is `%`, and the key `_` is `%_`.
///
/// ```
/// assert_eq!(jetlane::key_token("order-42"), "order-42");
/// assert_eq!(jetlane::key_token("a.b c"), "a%2Eb%20c");
/// ```
pub fn key_token(key: &str) -> String {
    token(key.as_bytes())
}

/// FNV-1a, as it is written into subjects that outlive this version.
fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_token_of_its_own_that_a_subject_can_have() {
        let long = "x".repeat(1000);
        let keys = ["order-42", "a.b", "a b", "", "_", "%", "ä", "a*", ">", "\r\n", &long];
        let tokens: Vec<_> = keys.iter().map(|key| token(key.as_bytes())).collect();
        assert_eq!(
            tokens[..10],
            ["order-42", "a%2Eb", "a%20b", "%", "%_", "%25", "%C3%A4", "a%2A", "%3E", "%0D%0A"]
        );
        for token in &tokens {
            let subject = format!("parked.s.{token}");
            assert!(jetlane_client::proto::Subject::new(&subject).is_ok(), "{subject}");
        }
        assert!(tokens[10].len() < 2 * LONGEST);
        assert_ne!(token(&[b'x'; 1001]), tokens[10], "long ones are told apart");
    }
}
