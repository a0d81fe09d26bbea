use anyhow::{Result, ensure};
use jetlane_cli::bench::{Line, Meter, Options};

use super::wire::{CHUNK, Wire};
use super::{frames, line};

pub(super) fn run(options: &Options, wire: &mut Wire) -> Result<Line> {
    let common = &options.common;
    ensure!(common.rate.is_none(), "a bare socket keeps no pace");
    let one = frames(1, common.size, |_| options.subject_of(0)).len();
    let subjects = common.subjects;
    // Whole rounds over all subjects.
    let count = (CHUNK / one).max(1).div_ceil(subjects) * subjects;
    let block = frames(count, common.size, |n| options.subject_of(n));
    let ends: Vec<_> = memchr::memmem::find_iter(&block, b"PUB ").skip(1).collect();

    let meter = Meter::start();
    let mut left = common.msgs;
    while left >= count as u64 {
        wire.send(&block)?;
        left -= count as u64;
    }
    if left > 0 {
        let end = ends[usize::try_from(left)? - 1];
        wire.send(&block[..end])?;
    }
    wire.barrier()?;
    Ok(line(options, &meter))
}
