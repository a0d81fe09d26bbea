use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::pause;

/// How long an answer is waited for at most, before somebody else may ask.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Topics whose stream did not say what is last there. They are asked for again by one load at a time, and hold up nobody else.
#[derive(Debug, Default)]
pub(super) struct Silent {
    topics: BTreeMap<String, Silence>,
}

#[derive(Debug)]
struct Silence {
    failures: u32,
    ask_at: Instant,
}

impl Silent {
    /// There was no answer.
    pub(super) fn note(&mut self, topic: &str, now: Instant) {
        let new = Silence { failures: 1, ask_at: now + pause(1) };
        let silence = self.topics.entry(topic.to_owned()).or_insert(new);
        silence.ask_at = silence.ask_at.min(now + pause(silence.failures));
    }

    /// There was one.
    pub(super) fn answered(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// When it may be asked for, if that is not now. Whoever may asks for all.
    pub(super) fn wait(&mut self, topic: &str, now: Instant) -> Option<Instant> {
        let silence = self.topics.get_mut(topic)?;
        if now < silence.ask_at {
            return Some(silence.ask_at);
        }
        silence.failures = silence.failures.saturating_add(1);
        silence.ask_at = now + ANSWER_WAIT + pause(silence.failures);
        None
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_topic_is_asked_for_by_one_at_a_time_and_ever_more_seldom() {
        let (mut silent, start) = (Silent::default(), Instant::now());
        assert_eq!(silent.wait("a", start), None);
        silent.note("a", start);
        silent.note("a", start);
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let next = silent.wait("a", now).unwrap();
            assert_eq!(silent.wait("b", now), None, "others are asked for");
            assert_eq!(silent.wait("a", next - Duration::from_nanos(1)), Some(next));
            assert_eq!(silent.wait("a", next), None, "its time has come");
            assert!(silent.wait("a", next + ANSWER_WAIT).is_some(), "somebody asks already");
            pauses.push(next - now);
            now = next;
            // It fails at once, for many.
            silent.note("a", now);
            silent.note("a", now);
        }
        assert!(pauses[0] < Duration::from_millis(200), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(5)), "{pauses:?}");
        assert!(pauses[11] > 4 * pauses[0], "{pauses:?}");
        assert_eq!(silent.topics().collect::<Vec<_>>(), ["a"]);
        silent.answered("a");
        assert_eq!((silent.wait("a", now), silent.topics().count()), (None, 0));
    }
}
