use std::fmt;

use jetlane_ring::Token;

/// 32 digits that are all letters and numbers, so that a token is shifts and masks.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// Slots are written with this many digits: 2^20 of them.
const SLOT_DIGITS: usize = 4;

/// Longest token: the slot, and an epoch of 32 bits.
const MAX_TOKEN: usize = SLOT_DIGITS + 7;

/// An id with its dots: `.`, 12 digits, `.`.
const ID: usize = 14;

/// Longest prefix: what the user chose, and the id.
const MAX_PREFIX: usize = 60 + ID;

/// The subjects of one long-lived subscription for answers: `_INBOX.<id>.<token>`.
///
/// The id is random (60 bits from the operating system), so nobody else can guess where our answers go. The token is that
/// of a slot in a pending ring; slots are reused, and so are these subjects, which a server caches.
#[derive(Clone, Copy, Debug)]
pub struct Inbox {
    /// With room for a token, so that a subject is one copy of it.
    prefix: [u8; MAX_PREFIX + MAX_TOKEN],
    prefix_len: usize,
    /// The end of the prefix. Nobody else has it, so that is all there is to compare.
    id: [u8; ID],
}

/// A reply subject of an [`Inbox`].
#[derive(Clone, Copy, Debug)]
pub struct ReplySubject {
    bytes: [u8; MAX_PREFIX + MAX_TOKEN],
    len: usize,
}

impl Inbox {
    /// How many slots have a subject. A ring behind an inbox must not be larger.
    pub const SLOTS: u32 = 1 << (5 * SLOT_DIGITS);

    /// A new inbox below the usual prefix, with an id of its own. [`crate::Client::inbox`] begins as its connection wants it.
    pub fn new() -> Self {
        Self::with_prefix("_INBOX")
    }

    /// Whether inboxes can begin with `prefix`.
    pub(crate) fn takes_prefix(prefix: &str) -> bool {
        prefix.len() <= MAX_PREFIX - ID && jetlane_proto::check_subject(prefix).is_ok()
    }

    /// A new inbox below another prefix, which must be taken.
    pub(crate) fn with_prefix(text: &str) -> Self {
        debug_assert!(Self::takes_prefix(text));
        let mut random = [0u8; 12];
        // Without randomness from the system ids could collide or be guessed; a seeded generator is still better than none.
        if getrandom::fill(&mut random).is_err() {
            random.fill_with(|| fastrand::u8(..));
        }
        let mut id = [b'.'; ID];
        for (digit, random) in id[1..].iter_mut().zip(random) {
            *digit = DIGITS[usize::from(random & 31)];
        }
        let mut inbox = Self { prefix: [0; MAX_PREFIX + MAX_TOKEN], prefix_len: 0, id };
        for part in [text.as_bytes(), &id] {
            let end = inbox.prefix_len + part.len();
            inbox.prefix[inbox.prefix_len..end].copy_from_slice(part);
            inbox.prefix_len = end;
        }
        inbox
    }

    /// What to subscribe to for all answers.
    pub fn filter(&self) -> String {
        format!("{}*", String::from_utf8_lossy(self.prefix()))
    }

    /// What every subject of this inbox begins with.
    #[inline]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix[..self.prefix_len]
    }

    /// Where the answer to the question with `token` goes.
    #[inline]
    pub fn subject(&self, token: Token) -> ReplySubject {
        let mut bytes = self.prefix;
        for digit in 0..SLOT_DIGITS {
            let shift = 5 * (SLOT_DIGITS - 1 - digit);
            bytes[self.prefix_len + digit] = DIGITS[(token.slot >> shift) as usize & 31];
        }
        let mut len = self.prefix_len + SLOT_DIGITS;
        // Nearly every slot is in its first epoch, which is not written.
        let mut epoch = token.epoch;
        while epoch != 0 {
            bytes[len] = DIGITS[epoch as usize & 31];
            epoch >>= 5;
            len += 1;
        }
        ReplySubject { bytes, len }
    }

    /// The token in a subject of this inbox. `None` if it is not one of ours.
    #[inline]
    pub fn token(&self, subject: &[u8]) -> Option<Token> {
        let (prefix, token) = subject.split_at_checked(self.prefix_len)?;
        if prefix.last_chunk() != Some(&self.id) {
            return None;
        }
        let (slot, epoch) = token.split_at_checked(SLOT_DIGITS)?;
        if epoch.len() > MAX_TOKEN - SLOT_DIGITS || epoch.last() == Some(&b'0') {
            return None;
        }
        let slot = slot.iter().try_fold(0, |slot, &byte| Some(slot << 5 | digit(byte)?))?;
        let epoch = epoch.iter().rev().try_fold(0u32, |epoch, &byte| {
            (epoch >> 27 == 0).then_some(())?;
            Some(epoch << 5 | digit(byte)?)
        })?;
        Some(Token { slot, epoch })
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ReplySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl ReplySubject {
    /// The subject.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[inline]
fn digit(byte: u8) -> Option<u32> {
    match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'A'..=b'V' => Some(u32::from(byte - b'A') + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        let inbox = Inbox::new();
        for slot in [0, 1, 31, 32, 999, 65_535, (1 << 20) - 1] {
            for epoch in [0, 1, 31, 32, 1023, 1024, u32::MAX - 1, u32::MAX] {
                let token = Token { slot, epoch };
                assert_eq!(inbox.token(inbox.subject(token).as_bytes()), Some(token));
            }
        }
        let first = inbox.subject(Token { slot: 0, epoch: 0 });
        assert_eq!(first.as_bytes().len(), 24, "the usual subject is short");
    }

    #[test]
    fn prefixes() {
        let longest = "x".repeat(60);
        for (prefix, taken) in [
            ("a", true),
            ("_INBOX.me", true),
            (&*longest, true),
            ("", false),
            ("a.*", false),
            ("a b", false),
            ("a.", false),
        ] {
            assert_eq!(Inbox::takes_prefix(prefix), taken, "{prefix}");
            if taken {
                let inbox = Inbox::with_prefix(prefix);
                let token = Token { slot: Inbox::SLOTS - 1, epoch: u32::MAX };
                let subject = inbox.subject(token);
                assert!(subject.as_bytes().starts_with(format!("{prefix}.").as_bytes()));
                assert_eq!(inbox.token(subject.as_bytes()), Some(token));
                jetlane_proto::check_subject(std::str::from_utf8(subject.as_bytes()).unwrap())
                    .unwrap();
            }
        }
        assert!(!Inbox::takes_prefix(&"x".repeat(61)));
    }

    #[test]
    fn only_our_own_subjects_have_a_token() {
        let inbox = Inbox::new();
        let prefix = String::from_utf8_lossy(inbox.prefix()).into_owned();
        for token in
            ["", "000", "000!", "00w0", "000000000000", "0000VVVVVVV", "00000", "0000-1", "0000.1"]
        {
            assert_eq!(inbox.token(format!("{prefix}{token}").as_bytes()), None, "{token}");
        }
        assert_eq!(inbox.token(Inbox::new().subject(Token { slot: 0, epoch: 0 }).as_bytes()), None);
    }
}
