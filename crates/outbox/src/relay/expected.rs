use std::collections::HashMap;
use std::mem;

/// How many subjects are remembered twice over: some 10 MB.
const MOST: usize = 50_000;

/// The sequence of the last message of each subject, as far as it is known: of those that were used lately.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    young: HashMap<String, u64>,
    old: HashMap<String, u64>,
}

impl Expected {
    /// What is expected to be last on a subject. One that is not known is taken to be new: if it is not, the server says so, and it is looked up.
    pub(crate) fn last(&self, subject: &str) -> u64 {
        self.young.get(subject).or_else(|| self.old.get(subject)).copied().unwrap_or(0)
    }

    pub(crate) fn note(&mut self, subject: &str, sequence: u64) {
        if self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
        }
        match self.young.get_mut(subject) {
            Some(known) => *known = sequence,
            None => drop(self.young.insert(subject.to_owned(), sequence)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_lately_is_known_and_the_rest_is_forgotten_in_time() {
        let mut expected = Expected::default();
        assert_eq!(expected.last("a"), 0);
        expected.note("a", 7);
        expected.note("a", 9);
        assert_eq!(expected.last("a"), 9);
        for n in 0..2 * MOST {
            assert_eq!(expected.last("a"), 9, "{n}");
            expected.note(&n.to_string(), 1);
            expected.note("a", 9);
        }
        for n in 0..2 * MOST {
            expected.note(&format!("{n}/"), 1);
        }
        assert_eq!(expected.last("a"), 0);
        assert!(expected.young.len() + expected.old.len() <= 2 * MOST);
    }
}
