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
    /// The place of the newest letter of one that was redriven, and has failed again. Those that were redriven with it, whose
    /// redrive does not reach up to here, stand behind it: they are parked, too.
    failed_letter: u64,
}

/// Whether an event has been parked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It comes from its stream for the first time.
    Fresh,
    /// It was redriven, with the letters of its key up to `through`.
    Redriven { through: u64 },
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
        keys.get(token).is_some_and(|key| match way {
            Way::Fresh => true,
            Way::Redriven { through } => through < key.failed_letter,
        })
    }

    /// An event of this key was parked.
    pub(super) fn note(&self, token: &str, letter: u64, way: Way) {
        // What has no key holds up nobody.
        if token == NO_KEY {
            return;
        }
        let mut keys = self.keys.lock();
        let new = ParkedKey { last_letter: letter, failed_letter: 0 };
        let key = keys.entry(token.into()).or_insert(new);
        // A letter that the stream had already has the place of the first one.
        key.last_letter = key.last_letter.max(letter);
        if way != Way::Fresh {
            key.failed_letter = key.failed_letter.max(letter);
        }
        self.count.store(keys.len(), Relaxed);
    }

    /// All letters of this key up to `through` were redriven, and what was redriven has passed. The key is free if nothing was
    /// parked since.
    pub(super) fn end_redrive(&self, token: &str, through: u64) {
        let mut keys = self.keys.lock();
        if keys.get(token).is_some_and(|key| key.last_letter <= through) {
            keys.remove(token);
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
                        // Whether one of those redriven has failed nobody knows any more. A redrive that was planned before the newest
                        // letter was written is taken for one: its events are parked once more.
                        keys.note(token, letter.sequence, Way::Redriven { through: 0 });
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
        let redriven = |through| Way::Redriven { through };
        assert!(!keys.takes("a", redriven(2)), "what is redriven is handled");
        // Meanwhile another one comes, and is parked behind.
        keys.note("a", 3, Way::Fresh);
        keys.end_redrive("a", 2);
        assert!(keys.takes("a", Way::Fresh) && !keys.takes("a", redriven(3)));
        // In the second round the first one fails again, and those behind it are not handled before it.
        keys.note("a", 4, redriven(3));
        assert!(keys.takes("a", redriven(3)));
        // Nor by a marker: another redrive may have been planned before it failed.
        keys.end_redrive("a", 2);
        assert!(keys.takes("a", redriven(3)));
        keys.end_redrive("a", 3);
        assert!(keys.takes("a", Way::Fresh) && !keys.takes("a", redriven(4)));
        keys.end_redrive("a", 4);
        assert!(!keys.takes("a", Way::Fresh) && !keys.any());
        keys.end_redrive("a", 4);
        assert_eq!(keys.count(), 0);
        // After a restart: what was planned before the newest letter is parked once more.
        keys.note("b", 7, redriven(0));
        assert!(keys.takes("b", redriven(6)) && !keys.takes("b", redriven(7)));
        assert!(!keys.takes("b", redriven(u64::MAX)), "a dead letter stands behind nothing");
    }
}
