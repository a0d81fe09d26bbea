//! What is wrong with one direction at the moment.

use std::num::NonZeroU64;
use std::time::Duration;

use super::End;

type Rewrite = Box<dyn FnMut(&mut Vec<u8>) + Send>;

#[derive(Default)]
pub(super) struct Faults {
    pub(super) stalled: bool,
    pub(super) deaf: bool,
    pub(super) slice: Option<usize>,
    /// Bytes per second.
    pub(super) rate: Option<u32>,
    pub(super) delay: Duration,
    pub(super) rewrite: Option<Rewrite>,
    /// Ends to come, each of one connection, and after how many bytes.
    pub(super) cuts: Vec<(u64, End)>,
    pub(super) lost: Vec<u8>,
}

impl Faults {
    /// What is left of bytes that were just read.
    pub(super) fn spoil(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.deaf {
            self.lost.append(&mut bytes);
        } else if let Some(rewrite) = &mut self.rewrite {
            rewrite(&mut bytes);
        }
        bytes
    }

    /// How many bytes may be written at once by a connection that has forwarded `forwarded`.
    pub(super) fn room(&self, forwarded: u64) -> usize {
        let cut = self.cuts.iter().filter_map(|(at, _)| at.checked_sub(forwarded)).min();
        let cut = cut.and_then(|room| usize::try_from(room).ok()).unwrap_or(usize::MAX);
        // A hundredth of a second's worth, so that a throttled stream flows rather than jumps.
        let rate = self.rate.map_or(usize::MAX, |rate| (rate as usize / 100).max(1));
        cut.min(rate).min(self.slice.unwrap_or(usize::MAX).max(1))
    }

    /// How long `count` bytes take.
    pub(super) fn duration_of(&self, count: usize) -> Duration {
        let rate = self.rate.and_then(|rate| NonZeroU64::new(rate.into()));
        rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos(count as u64 * 1_000_000_000 / rate)
        })
    }

    /// The end of a connection that stands at byte `forwarded`, if there is one to be made.
    pub(super) fn take_cut(&mut self, forwarded: u64) -> Option<End> {
        let index = self.cuts.iter().position(|(at, _)| *at == forwarded)?;
        Some(self.cuts.remove(index).1)
    }
}
