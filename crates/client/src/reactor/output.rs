//! What is on its way to the socket.

use std::io::{self, IoSlice, Write};
use std::mem;

use jetlane_proto::{encode, outbound};

use crate::sink::keep_publishes;

/// What sinks may leave to be written while the socket takes nothing. More can only come of one turn.
const MOST_OWED: usize = 1 << 20;

/// Buffers that a large message has made larger than this are given back.
const KEEP: usize = 4 << 20;

/// Frames to be written: those that are being written, and those behind them.
///
/// What user threads queue is taken over as a whole buffer, so that nothing is copied on its way, and two buffers go round
/// between them and the socket.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Whole frames, of which `written` bytes are written: where a frame begins that was written in part can be found
    /// out, should it matter.
    writing: Vec<u8>,
    /// `written <= writing.len()`
    written: usize,
    /// Whole frames.
    next: Vec<u8>,
    /// How much of `next` was not written by sinks.
    others: usize,
    /// An empty buffer.
    spare: Vec<u8>,
    /// What buffers for user threads are made for, in bytes.
    usual: usize,
    /// Messages that sinks have published since somebody asked.
    published: u64,
    /// Where the last PONG in `writing` ends, and that in `next`; 0 if there is none.
    pong_end: usize,
    next_pong_end: usize,
}

impl Output {
    /// Nothing to write yet. User threads queue up to `most_queued` bytes.
    pub(crate) fn new(most_queued: usize) -> Self {
        Self { usual: most_queued.min(KEEP), ..Self::default() }
    }

    /// Lets the connection itself append whole frames.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.next.len();
        write(&mut self.next);
        self.others += self.next.len() - before;
    }

    /// Appends a PING.
    pub(crate) fn ping(&mut self) {
        self.append(|frames| frames.extend_from_slice(encode::PING));
    }

    /// Where sinks append to, and count what they publish.
    #[inline]
    pub(crate) fn for_sinks(&mut self) -> (&mut Vec<u8>, &mut u64) {
        (&mut self.next, &mut self.published)
    }

    /// How many messages sinks have published since this was asked last.
    pub(crate) fn take_published(&mut self) -> u64 {
        mem::take(&mut self.published)
    }

    /// How many bytes are not written yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.writing.len() - self.written + self.next.len()
    }

    /// Whether more should be pushed. Not while the socket has stopped in the midst of what it was given: more would only
    /// need more buffers. But if sinks have written behind that, user threads may, too, or they could wait for ever; and
    /// more than sinks may, or they would find it full whenever they come.
    pub(crate) fn wants_more(&self) -> bool {
        self.keeps_up() || (self.owed_by_sinks() > 0 && self.next.len() < 2 * MOST_OWED)
    }

    /// Whether sinks have left so much behind what is being written that they should get nothing more that they could answer:
    /// the peer has to take first.
    pub(crate) fn owes_much(&self) -> bool {
        self.owed_by_sinks() >= MOST_OWED
    }

    fn owed_by_sinks(&self) -> usize {
        self.next.len() - self.others
    }

    fn keeps_up(&self) -> bool {
        self.written == self.writing.len()
    }

    /// A buffer that is not needed now: empty, to be filled and pushed.
    pub(crate) fn spare(&mut self) -> Vec<u8> {
        let mut empty = mem::take(&mut self.spare);
        if self.keeps_up() && empty.capacity() == 0 {
            self.finish();
            empty = mem::take(&mut self.writing);
        }
        // Made at once for all that may come: one that grew would leave what it has outgrown behind in the heap. Of memory
        // that was never written to, the system gives nothing yet.
        if empty.capacity() < self.usual {
            empty = Vec::with_capacity(self.usual);
        }
        empty
    }

    /// Appends whole frames, or puts a spare buffer back that was not filled.
    pub(crate) fn push(&mut self, mut frames: Vec<u8>) {
        if frames.is_empty() {
            return self.put_by(frames);
        }
        if self.keeps_up() {
            // What stands there goes first, and leaves the place to them.
            self.begin_next();
        }
        self.others += frames.len();
        if self.next.is_empty() {
            self.next = frames;
        } else {
            self.next.append(&mut frames);
            self.put_by(frames);
        }
    }

    fn put_by(&mut self, empty: Vec<u8>) {
        if (1..=KEEP).contains(&empty.capacity()) {
            self.spare = empty;
        }
    }

    /// Answers a PING, unless the last answer is not written yet: a peer that does not read gets no second one.
    pub(crate) fn pong(&mut self) {
        if self.next_pong_end == 0 && self.pong_end <= self.written {
            self.append(|frames| frames.extend_from_slice(encode::PONG));
            self.next_pong_end = self.next.len();
        }
    }

    /// Gives the socket all there is, once. Returns how much it took.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        if self.keeps_up() {
            self.begin_next();
        }
        let rest = &self.writing[self.written..];
        let count = match self.next.is_empty() {
            true => socket.write(rest)?,
            false => socket.write_vectored(&[IoSlice::new(rest), IoSlice::new(&self.next)])?,
        };
        match count.checked_sub(rest.len()) {
            Some(of_next) if !self.next.is_empty() => {
                self.begin_next();
                self.written = of_next;
            }
            _ => self.written += count,
        }
        Ok(count)
    }

    /// Appends the publishes that are not written whole to `unsent`. One that was written in part counts as not written,
    /// as the server drops its beginning with the connection; unless it is to blame for the end.
    pub(crate) fn keep_unwritten(&self, blame_the_cut_one: bool, unsent: &mut Vec<u8>) {
        let cut = outbound::frame_around(&self.writing, self.written);
        let from = if blame_the_cut_one { cut.end } else { cut.start };
        keep_publishes(unsent, &self.writing[from..]);
        keep_publishes(unsent, &self.next);
    }

    fn begin_next(&mut self) {
        self.finish();
        mem::swap(&mut self.writing, &mut self.next);
        (self.pong_end, self.next_pong_end) = (self.next_pong_end, 0);
        self.others = 0;
    }

    /// All of `writing` is written.
    fn finish(&mut self) {
        self.writing.clear();
        if self.writing.capacity() > KEEP {
            self.writing = Vec::new();
        }
        (self.written, self.pong_end) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so much a call, of one slice or several.
    struct Narrow {
        most: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.most);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn publish(name: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        encode::publish(&mut frame, format!("s.{name}").as_bytes(), b"", &vec![b'x'; name]);
        frame
    }

    #[test]
    fn all_is_written_in_order_however_little_the_socket_takes() {
        for most in 1..60 {
            let mut socket = Narrow { most, taken: Vec::new() };
            let (mut output, mut expected) = (Output::default(), Vec::new());
            for name in 0..40 {
                let frame = publish(name);
                expected.extend_from_slice(&frame);
                match name % 3 {
                    0 => output.append(|frames| frames.extend_from_slice(&frame)),
                    // In between, a write that may end in the midst of a frame.
                    1 => {
                        output.push(frame);
                        output.write_to(&mut socket).unwrap();
                    }
                    _ => {
                        let mut frames = output.spare();
                        assert!(frames.is_empty());
                        frames.extend_from_slice(&frame);
                        output.push(frames);
                    }
                }
                let unwritten = expected.len() - socket.taken.len();
                assert_eq!(output.unwritten(), unwritten, "most {most}, name {name}");
            }
            while output.unwritten() > 0 {
                output.write_to(&mut socket).unwrap();
            }
            assert!(output.keeps_up());
            assert_eq!(socket.taken, expected, "most {most}");
        }
    }

    #[test]
    fn after_any_number_of_bytes_what_is_not_written_whole_is_kept() {
        let frames: Vec<_> = (0..6).map(publish).collect();
        let whole: usize = frames.iter().map(Vec::len).sum();
        for written in 0..=whole {
            for blame in [false, true] {
                let mut output = Output::default();
                frames[..3]
                    .iter()
                    .for_each(|frame| output.append(|to| to.extend_from_slice(frame)));
                let mut socket = Narrow { most: 0, taken: Vec::new() };
                // Nothing is written of the first three before the others are queued behind them.
                output.write_to(&mut socket).unwrap();
                frames[3..]
                    .iter()
                    .for_each(|frame| output.append(|to| to.extend_from_slice(frame)));
                output.ping();
                socket.most = written;
                output.write_to(&mut socket).unwrap();
                let (mut end, mut expected) = (0, Vec::new());
                for frame in &frames {
                    let start = end;
                    end += frame.len();
                    if end > written && (!blame || start >= written) {
                        expected.extend_from_slice(frame);
                    }
                }
                let mut unsent = Vec::new();
                output.keep_unwritten(blame, &mut unsent);
                let unsent = String::from_utf8(unsent).unwrap();
                let expected = String::from_utf8(expected).unwrap();
                assert_eq!(unsent, expected, "{written} of {whole} written, blame {blame}");
            }
        }
    }

    #[test]
    fn a_peer_that_does_not_read_gets_one_pong() {
        let mut output = Output::default();
        let mut socket = Narrow { most: 3, taken: Vec::new() };
        output.pong();
        output.pong();
        assert_eq!(output.next, encode::PONG);
        output.write_to(&mut socket).unwrap();
        output.pong();
        assert_eq!(output.unwritten(), encode::PONG.len() - 3, "half of it is written");
        output.write_to(&mut socket).unwrap();
        output.pong();
        assert_eq!(output.unwritten(), encode::PONG.len(), "it is written");
    }

    #[test]
    fn only_what_sinks_have_written_keeps_them_from_being_given_more() {
        let mut output = Output::default();
        let mut socket = Narrow { most: 1, taken: Vec::new() };
        output.push(vec![b' '; 10]);
        output.write_to(&mut socket).unwrap();
        assert!(!output.wants_more(), "it stands still, and nobody else has written");
        output.pong();
        output.ping();
        assert!(!output.wants_more(), "an answer to a PING is no reason to take over more");
        output.for_sinks().0.push(b'x');
        assert!(output.wants_more());
        output.push(vec![b' '; 2 * MOST_OWED]);
        assert!(!output.wants_more() && !output.owes_much());
        output.for_sinks().0.extend_from_slice(&vec![b' '; MOST_OWED]);
        assert!(output.owes_much());
        socket.most = usize::MAX;
        output.write_to(&mut socket).unwrap();
        assert!(output.wants_more() && !output.owes_much());
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut output = Output::default();
        output.push(vec![b' '; 2 * KEEP]);
        let mut socket = Narrow { most: usize::MAX, taken: Vec::new() };
        output.write_to(&mut socket).unwrap();
        assert_eq!(output.spare().capacity(), 0);
        let mut frames = Vec::with_capacity(KEEP / 2);
        frames.push(b' ');
        output.push(frames);
        output.write_to(&mut socket).unwrap();
        assert!(output.spare().capacity() >= KEEP / 2, "others go round");
    }
}
