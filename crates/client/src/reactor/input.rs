/// How much is read at once. Larger reads mean fewer system calls; this is about what a server writes at once.
const BASE: usize = 128 << 10;

/// What is enough for a connection that mostly writes. The first read that fills it gives it the usual size.
const FIRST: usize = 16 << 10;

/// What was read from the socket and not yet taken by a frame.
///
/// `start <= end <= buffer.len()`; the bytes in between are unparsed. All of `buffer` is initialised once, so reading needs no
/// clearing and no `unsafe`.
#[derive(Debug)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; FIRST], start: 0, end: 0 }
    }

    /// Where to read to. Never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.end..]
    }

    /// `count` bytes were read into the space.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// What no frame has taken yet.
    #[inline]
    pub(crate) fn unparsed(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// A frame took `count` bytes.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) {
        self.start += count;
    }

    /// Makes space for more, when all frames that were whole have been taken, and the one at hand needs `needed` bytes.
    ///
    /// The buffer grows with what has arrived, not with what a frame claims: a claim alone costs nothing.
    pub(crate) fn make_space(&mut self, needed: usize) {
        let have = self.end - self.start;
        if self.end == self.buffer.len() && self.buffer.len() < BASE {
            // More comes than was thought.
            self.buffer.resize(BASE, 0);
        }
        if have == 0 {
            (self.start, self.end) = (0, 0);
            // A large message has passed: give its memory back.
            if self.buffer.len() > BASE {
                self.buffer = vec![0; BASE];
            }
            return;
        }
        // Moving the rest to the front is cheap unless there is much of it; then there is space behind it as a rule.
        let short =
            self.buffer.len() - self.start < needed || self.buffer.len() - self.end < BASE / 2;
        if short && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, have);
        }
        if self.end == self.buffer.len() {
            // A line does not say how long it is: it needs just one byte more, again and again.
            let larger = (self.buffer.len() * 2).min(needed.max(self.buffer.len() + BASE));
            self.buffer.resize(larger, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(input: &mut Input, count: usize) {
        let space = input.space();
        let count = count.min(space.len());
        space[..count].fill(b'x');
        input.filled(count);
    }

    #[test]
    fn a_large_frame_grows_the_buffer_as_it_arrives_and_gives_it_back() {
        let mut input = Input::new();
        let needed = 10 * BASE;
        while input.unparsed().len() < needed {
            let before = input.unparsed().len();
            assert!(input.buffer.len() <= (2 * before).max(BASE), "{before}");
            fill(&mut input, 1 << 20);
            input.make_space(needed);
            assert!(!input.space().is_empty() || input.unparsed().len() == needed);
        }
        input.take(needed);
        input.make_space(1);
        assert_eq!(input.buffer.len(), BASE);
    }

    #[test]
    fn the_first_read_that_fills_the_buffer_gives_it_its_usual_size() {
        for rest in [0, 10] {
            let mut input = Input::new();
            fill(&mut input, FIRST - 1);
            input.take(FIRST - 1);
            input.make_space(1);
            assert_eq!(input.space().len(), FIRST, "it was not filled");
            fill(&mut input, FIRST);
            input.take(FIRST - rest);
            input.make_space(rest + 1);
            assert_eq!(input.buffer.len(), BASE);
            assert!(input.space().len() >= BASE - FIRST);
        }
    }

    #[test]
    fn a_line_whose_end_is_not_known_does_not_come_byte_by_byte() {
        let mut input = Input::new();
        let mut reads = 0;
        while input.unparsed().len() < 8 * BASE {
            fill(&mut input, usize::MAX);
            input.make_space(input.unparsed().len() + 1);
            reads += 1;
        }
        assert!(reads <= 9, "{reads}");
    }

    #[test]
    fn a_rest_moves_to_the_front_when_space_gets_short() {
        let mut input = Input::new();
        fill(&mut input, BASE);
        input.take(FIRST);
        input.make_space(1);
        fill(&mut input, BASE);
        input.take(BASE - 10);
        input.make_space(20);
        assert_eq!(input.unparsed().len(), 10);
        assert_eq!(input.space().len(), BASE - 10);
    }
}
