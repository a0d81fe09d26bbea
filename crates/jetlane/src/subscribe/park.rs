//! Parking: where the events of a key wait, in order, when one of them can not be handled for now.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use jetlane_jetstream::{ApiError, Get, JetStream, Purge};
use parking_lot::Mutex;

use crate::letters::token::NO_KEY;

/// How many questions are on their way at once when the parked keys are looked up.
const AT_ONCE: usize = 128;

/// Where the events of a subscription wait whose aggregate can not go on: see [`crate::Subscribe::parking`].
///
/// They are published to `<subject>.<subscription>.<aggregate id>`, so a topic `<subject>.>` must be ensured before, without limits that
/// delete what is stored. (In the subject, whatever is no letter, digit, `-` or `_` of an id is written as `%` and two hex digits.)
/// Their headers are those of [`crate::DeadLetters`], of the kind `parked`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "to be given to Subscribe::parking"]
pub struct Parking {
    pub(super) subject: String,
    pub(super) attempts: NonZeroU32,
}

impl Parking {
    /// Events wait under subjects below `subject`, after five attempts.
    pub fn to(subject: impl Into<String>) -> Self {
        let attempts = NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN);
        Self { subject: subject.into(), attempts }
    }

    /// How often an event is tried before its aggregate is parked. Default 5. Under [`crate::Settlement::Watermark`] it is sooner
    /// once half of the window is done and waits for the event, since a full one would stop the others.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = attempts;
        self
    }
}

/// The keys of a subscription that are parked, by their token. A key is parked as long as the parking stream has events of it.
#[derive(Debug, Default)]
pub(super) struct ParkedKeys {
    /// How many there are: nearly always none, and then nothing is locked. All events of a key pass on the same lane, so what
    /// one of them has written here those behind it see.
    count: AtomicUsize,
    keys: Mutex<HashMap<String, ParkedKey>>,
}

#[derive(Clone, Copy, Debug)]
struct ParkedKey {
    /// The place of its newest letter in the parking stream.
    last_letter: u64,
    /// One of those redriven has failed again: those behind it are parked, too, until the marker.
    redrive_failed: bool,
}

/// Whether an event has been parked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It comes from its stream for the first time.
    Fresh,
    /// It was redriven.
    Redriven,
}

impl ParkedKeys {
    /// Whether any key is parked.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether an event of this key is to be parked, too.
    pub(super) fn takes(&self, token: &str, way: Way) -> bool {
        let keys = self.keys.lock();
        keys.get(token).is_some_and(|key| way == Way::Fresh || key.redrive_failed)
    }

    /// An event of this key was parked.
    pub(super) fn note(&self, token: &str, letter: u64, way: Way) {
        // What has no key holds up nobody.
        if token == NO_KEY {
            return;
        }
        let mut keys = self.keys.lock();
        let new = ParkedKey { last_letter: letter, redrive_failed: false };
        let key = keys.entry(token.into()).or_insert(new);
        // A letter that the stream had already has the place of the first one.
        key.last_letter = key.last_letter.max(letter);
        key.redrive_failed |= way == Way::Redriven;
        self.count.store(keys.len(), Relaxed);
    }

    /// All letters of this key up to `through` were redriven, and what was redriven has passed. The key is free if nothing was
    /// parked since.
    pub(super) fn end_redrive(&self, token: &str, through: u64) {
        let mut keys = self.keys.lock();
        match keys.get_mut(token) {
            Some(key) if key.last_letter > through => key.redrive_failed = false,
            _ => drop(keys.remove(token)),
        }
        self.count.store(keys.len(), Relaxed);
    }

    /// Looks up which keys are parked below `subject`.
    pub(super) fn load(js: &JetStream, stream: &str, subject: &str) -> Result<Self, ApiError> {
        let mut found = Vec::new();
        loop {
            let filter = format!("{subject}.*");
            let page = js.stream_subjects(stream, &filter, found.len() as u64).wait()?;
            let before = found.len();
            found.extend(page.subjects.into_keys());
            if found.len() == before || found.len() as u64 >= page.total {
                break;
            }
        }
        let keys = Self::default();
        for some in found.chunks(AT_ONCE) {
            let last = |subject: &String| js.get_message(stream, Get::Last(subject));
            let calls: Vec<_> = some.iter().map(last).collect();
            for (subject, call) in some.iter().zip(calls) {
                match call.wait() {
                    Ok(letter) => {
                        let token = subject.rsplit('.').next().unwrap_or_default();
                        keys.note(token, letter.sequence, Way::Fresh);
                    }
                    // It was redriven just now.
                    Err(ApiError::MessageNotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(keys)
    }
}

/// Deletes the letters of a key up to `through`, which were redriven.
pub(super) fn forget(
    js: &JetStream,
    stream: &str,
    subject: &str,
    through: u64,
) -> Result<(), ApiError> {
    let purge = Purge::all().subject(subject).before(through.saturating_add(1));
    js.purge_stream(stream, &purge).wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_parked_until_all_that_was_parked_of_it_has_passed() {
        let keys = ParkedKeys::default();
        assert!(!keys.any());
        keys.note(NO_KEY, 1, Way::Fresh);
        assert!(!keys.any(), "what has no key is parked by itself");
        keys.note("a", 2, Way::Fresh);
        assert!(keys.takes("a", Way::Fresh) && !keys.takes("b", Way::Fresh));
        assert!(!keys.takes("a", Way::Redriven), "what is redriven is handled");
        // Meanwhile another one comes, and is parked behind.
        keys.note("a", 3, Way::Fresh);
        keys.end_redrive("a", 2);
        assert!(keys.takes("a", Way::Fresh) && !keys.takes("a", Way::Redriven));
        // In the second round the first one fails again, and those behind it are not handled before it.
        keys.note("a", 4, Way::Redriven);
        assert!(keys.takes("a", Way::Redriven));
        keys.end_redrive("a", 3);
        assert!(keys.takes("a", Way::Fresh) && !keys.takes("a", Way::Redriven));
        keys.end_redrive("a", 4);
        assert!(!keys.takes("a", Way::Fresh) && !keys.any());
        keys.end_redrive("a", 4);
        assert_eq!(keys.count(), 0);
    }
}
