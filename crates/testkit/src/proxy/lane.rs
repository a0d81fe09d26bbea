//! One direction of one connection: what has been read and is to be written.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use super::faults::Faults;

/// What a lane holds at most, give or take one read: about what a fast network holds in flight.
const HELD_LIMIT: usize = 1024 * 1024;
const READ_SIZE: usize = 64 * 1024;
const SEEN_LIMIT: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Lane {
    held: VecDeque<Piece>,
    held_bytes: usize,
    next_write: Instant,
    /// There is nothing more to read.
    source_ended: bool,
    /// There is nothing more to write: the receiver has been told so.
    finished: bool,
}

#[derive(Debug)]
struct Piece {
    due: Instant,
    /// Empty for the end of the stream.
    bytes: Vec<u8>,
    /// How many of them have been written.
    written: usize,
}

/// What one direction of one connection has forwarded.
#[derive(Debug, Default, Clone)]
pub(super) struct Record {
    pub(super) forwarded: u64,
    /// The first of it.
    pub(super) seen: Vec<u8>,
}

impl Lane {
    pub(super) fn new() -> Lane {
        Lane {
            held: VecDeque::new(),
            held_bytes: 0,
            next_write: Instant::now(),
            source_ended: false,
            finished: false,
        }
    }

    pub(super) fn wants_to_read(&self, faults: &Faults) -> bool {
        let flows = self.finished || (!faults.stalled && self.held_bytes < HELD_LIMIT);
        flows && !self.source_ended
    }

    /// From when on there is something to write.
    pub(super) fn write_due(&self, faults: &Faults) -> Option<Instant> {
        let first = self.held.front().filter(|_| !faults.stalled)?;
        Some(first.due.max(self.next_write))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn is_over(&self) -> bool {
        self.source_ended && self.finished
    }

    /// Reads once.
    pub(super) fn read(&mut self, mut from: &TcpStream, faults: &mut Faults) -> io::Result<()> {
        let mut buffer = [0; READ_SIZE];
        let count = match from.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(()),
            // Who is gone after the last word has nothing more to say.
            Err(_) if self.finished => 0,
            Err(error) => return Err(error),
        };
        self.source_ended = count == 0;
        // Nobody is there to hear what comes after the end.
        if self.finished {
            return Ok(());
        }
        let bytes = faults.spoil(buffer[..count].to_vec());
        if self.source_ended || !bytes.is_empty() {
            self.held_bytes += bytes.len();
            self.held.push_back(Piece { due: Instant::now() + faults.delay, bytes, written: 0 });
        }
        Ok(())
    }

    /// Writes once.
    pub(super) fn write(
        &mut self,
        mut to: &TcpStream,
        faults: &Faults,
        record: &mut Record,
    ) -> io::Result<()> {
        let Some(first) = self.held.front_mut() else { return Ok(()) };
        if first.bytes.is_empty() {
            return self.finish(to);
        }
        let left = &first.bytes[first.written..];
        let size = faults.room(record.forwarded).min(left.len());
        let count = match to.write(&left[..size]) {
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let unseen = count.min(SEEN_LIMIT.saturating_sub(record.seen.len()));
        record.seen.extend_from_slice(&left[..unseen]);
        record.forwarded += count as u64;
        first.written += count;
        if first.written == first.bytes.len() {
            self.held.pop_front();
        }
        self.held_bytes -= count;
        self.next_write = self.next_write.max(Instant::now()) + faults.duration_of(count);
        Ok(())
    }

    /// Tells the receiver that nothing more comes, and forgets what was held.
    pub(super) fn finish(&mut self, to: &TcpStream) -> io::Result<()> {
        self.held.clear();
        self.held_bytes = 0;
        self.finished = true;
        to.shutdown(Shutdown::Write)
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
