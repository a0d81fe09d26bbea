use std::collections::{BTreeMap, BTreeSet};
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

    /// There was one; whether it was silent.
    pub(super) fn answered(&mut self, topic: &str) -> bool {
        self.topics.remove(topic).is_some()
    }

    pub(super) fn has(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// When these may all be asked for, if that is not now. Whoever may asks for all others.
    pub(super) fn wait(&mut self, topics: &BTreeSet<&str>, now: Instant) -> Option<Instant> {
        let ask_at = topics.iter().filter_map(|topic| Some(self.topics.get(*topic)?.ask_at)).max();
        if ask_at.is_some_and(|at| now < at) {
            return ask_at;
        }
        for topic in topics {
            if let Some(silence) = self.topics.get_mut(*topic) {
                silence.failures = silence.failures.saturating_add(1);
                silence.ask_at = now + ANSWER_WAIT + pause(silence.failures);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_topic_is_asked_for_by_one_at_a_time_and_ever_more_seldom() {
        let (mut silent, start) = (Silent::default(), Instant::now());
        let [a, b, both] =
            [&["a"][..], &["b"], &["a", "b"]].map(|of| BTreeSet::from_iter(of.iter().copied()));
        assert_eq!(silent.wait(&a, start), None);
        silent.note("a", start);
        silent.note("a", start);
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let next = silent.wait(&a, now).unwrap();
            assert_eq!(silent.wait(&b, now), None, "others are asked for");
            assert_eq!(silent.wait(&both, next - Duration::from_nanos(1)), Some(next));
            assert_eq!(silent.wait(&both, next), None, "its time has come");
            assert!(silent.wait(&a, next + ANSWER_WAIT).is_some(), "somebody asks already");
            pauses.push(next - now);
            now = next;
            // It fails at once, for many.
            silent.note("a", now);
            silent.note("a", now);
        }
        assert!(pauses[0] < Duration::from_millis(200), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(5)), "{pauses:?}");
        assert!(pauses[11] > 4 * pauses[0], "{pauses:?}");
        // Who may not ask for all takes nobody's turn.
        silent.note("b", now);
        let [for_a, for_b] = [&a, &b].map(|topics| silent.wait(topics, now).unwrap());
        assert!(for_b < for_a);
        assert_eq!(silent.wait(&both, for_b), Some(for_a));
        assert_eq!(silent.wait(&b, for_b), None);
        assert_eq!(["a", "b", "c"].map(|topic| silent.has(topic)), [true, true, false]);
        assert_eq!([silent.answered("a"), silent.answered("a")], [true, false]);
        assert_eq!(silent.wait(&a, now), None);
    }
}
