//! What happens to the messages of a link while another one takes over from it, so that none is lost and none comes twice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// More is not held: the link is not read then.
const MOST_HELD: usize = 32 << 20;

/// Publishers send side by side, so by the two links their messages may come in different orders; but when the twin of one has come, those
/// of all that the other link brought so long before it have come, too, or will never.
const REORDERED: Duration = Duration::from_millis(50);

/// No link is further behind the other one than this; what comes later and looks the same is another message.
const LAG: Duration = Duration::from_secs(1);

/// More is not remembered: the move is given up.
const MOST_REMEMBERED: usize = 4_000_000;

/// So long after a link was left no more twins of what it brought come by the new one, however far that one is behind.
pub(crate) const BEHIND: Duration = Duration::from_secs(2);

/// What is done besides handing messages on, or instead of it.
#[derive(Debug, Default)]
pub(crate) enum Watch {
    /// Nothing.
    #[default]
    Off,
    /// Those that were handed on are remembered.
    Remember(Twins),
    /// They are kept for later, in order.
    Hold(Held),
    /// Those that the other link has handed on are left out, until it can have no more twins.
    LeaveOut(Twins, Instant),
}

impl Watch {
    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Hold(_))
    }

    /// True if so much was remembered that it had better be given up.
    pub(crate) fn remembers_too_much(&self) -> bool {
        matches!(self, Self::Remember(twins) if twins.count > MOST_REMEMBERED)
    }

    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Hold(held) if held.frames.len() >= MOST_HELD)
    }

    /// Sees a frame that came at `at`. True if it is to be handed on now. One that is `shared` came to one member of a queue group, so
    /// it has no twin.
    pub(crate) fn passes(&mut self, frame: &[u8], shared: bool, at: Instant) -> bool {
        match self {
            Self::Off => true,
            Self::Remember(twins) => {
                if !shared {
                    twins.add(frame, at);
                }
                true
            }
            Self::Hold(held) => {
                held.add(frame, at);
                false
            }
            Self::LeaveOut(twins, _) => shared || !twins.take(frame, at),
        }
    }

    /// True if it has nothing more to do.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        matches!(self, Self::LeaveOut(twins, until) if now >= *until || twins.times.is_empty())
    }
}

/// Frames of messages, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) frames: Vec<u8>,
    /// Where those of a turn begin, and when they came.
    turns: Vec<(usize, Instant)>,
}

impl Held {
    fn add(&mut self, frame: &[u8], at: Instant) {
        if self.turns.last().is_none_or(|(_, last)| *last != at) {
            self.turns.push((self.frames.len(), at));
        }
        self.frames.extend_from_slice(frame);
    }

    /// When the frame at `place` came.
    pub(crate) fn came_at(&self, place: usize) -> Option<Instant> {
        let turn = self.turns.partition_point(|(begins, _)| *begins <= place).checked_sub(1)?;
        Some(self.turns[turn].1)
    }
}

/// Messages that came by one link and may come by the other as well. Of each only a hash is kept: with a key of its own, so that nobody
/// can make two messages that look like one.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    keys: RandomState,
    /// When they came.
    times: HashMap<u64, Vec<Instant>>,
    /// How many came.
    count: usize,
    /// When the latest of them came whose twin has come.
    reached: Option<Instant>,
}

impl Twins {
    fn add(&mut self, frame: &[u8], at: Instant) {
        self.count += 1;
        self.times.entry(self.keys.hash_one(frame)).or_default().push(at);
    }

    /// Whether a frame that comes now, at `at`, is the twin of one of them. Among equals the nearest one is taken, once.
    fn take(&mut self, frame: &[u8], at: Instant) -> bool {
        let hash = self.keys.hash_one(frame);
        let Some(times) = self.times.get_mut(&hash) else { return false };
        // What only the other link brought, at the beginning, has no twin.
        times.retain(|time| self.reached.is_none_or(|reached| *time + REORDERED >= reached));
        let apart = |time: &Instant| at.max(*time) - at.min(*time);
        let nearest = (0..times.len()).min_by_key(|&place| apart(&times[place]));
        let nearest = nearest.filter(|&place| apart(&times[place]) <= LAG);
        let time = nearest.map(|place| times.remove(place));
        if times.is_empty() {
            self.times.remove(&hash);
        }
        self.reached = self.reached.max(time);
        time.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twins(frames: &[(&[u8], Instant)]) -> Twins {
        let mut watch = Watch::Remember(Twins::default());
        assert!(frames.iter().all(|(frame, at)| watch.passes(frame, false, *at)));
        let Watch::Remember(twins) = watch else { panic!() };
        twins
    }

    #[test]
    fn what_was_handed_on_is_left_out_as_often_as_it_was() {
        let now = Instant::now();
        let twins = twins(&[(b"a", now), (b"b", now), (b"a", now)]);
        let mut new = Watch::LeaveOut(twins, now);
        let passed =
            [b"a", b"c", b"a", b"a", b"b", b"b"].map(|frame| new.passes(frame, false, now));
        assert_eq!(passed, [false, true, false, true, false, true]);
        assert!(new.is_over(now), "none is left");
    }

    #[test]
    fn the_same_message_again_and_again_is_never_taken_for_one_of_another_time() {
        let start = Instant::now();
        let at = |n: u32| start + n * REORDERED / 4;
        // The old link brings 0 to 9; the new one has missed 0, and goes on alone from 10.
        let old: Vec<(&[u8], _)> = (0..10).map(|n| (&b"tick"[..], at(n))).collect();
        let mut new = Watch::LeaveOut(twins(&old), at(100));
        let passed: Vec<_> = (1..14).filter(|&n| new.passes(b"tick", false, at(n))).collect();
        assert_eq!(passed, [10, 11, 12, 13]);
    }

    #[test]
    fn messages_of_a_queue_group_have_no_twins() {
        let now = Instant::now();
        let mut old = Watch::Remember(Twins::default());
        assert!(old.passes(b"go", true, now) && old.passes(b"other", false, now));
        let Watch::Remember(twins) = old else { panic!() };
        assert!(Watch::LeaveOut(twins, now).passes(b"go", true, now));
    }

    #[test]
    fn however_far_a_link_is_behind_twins_are_known() {
        let start = Instant::now();
        let frames: Vec<_> = (0..100u8).map(|n| [n]).collect();
        let old: Vec<(&[u8], _)> = frames.iter().map(|frame| (&frame[..], start)).collect();
        let late = start + LAG;
        let mut new = Watch::LeaveOut(twins(&old), late + BEHIND);
        assert!(frames.iter().all(|frame| !new.passes(frame, false, late)));
    }

    #[test]
    fn what_is_held_is_bounded_and_knows_when_it_came() {
        let (first, mut watch) = (Instant::now(), Watch::Hold(Held::default()));
        let second = first + REORDERED;
        assert!(!watch.passes(b"ab", false, first) && !watch.passes(b"cd", true, first));
        assert!(!watch.passes(b"ef", false, second));
        while !watch.is_full() {
            assert!(!watch.passes(&[0; 1 << 20], false, second));
        }
        let Watch::Hold(held) = watch else { panic!() };
        let times = [0, 2, 4, 6].map(|place| held.came_at(place).unwrap());
        assert_eq!(times, [first, first, second, second]);
    }
}
