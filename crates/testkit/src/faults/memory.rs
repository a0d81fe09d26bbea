//! What stands in the memory of a program.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;

const CHUNK: usize = 1 << 20;

/// Where `needle` stands in the memory of process `pid`, a child of this one: the name of the mapping for each time, such as
/// `[heap]`; `anonymous` for those without a name.
///
/// # Errors
///
/// When the process has ended, or the system forbids the look.
pub fn occurrences(pid: u32, needle: &[u8]) -> io::Result<Vec<String>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut found = Vec::new();
    for line in maps.lines() {
        let Some((from, to, name)) = readable(line) else { continue };
        let count = count_in(&memory, from, to, needle);
        found.extend((0..count).map(|_| name.to_owned()));
    }
    Ok(found)
}

/// Start, end and name of a mapping that can be read.
fn readable(line: &str) -> Option<(u64, u64, &str)> {
    let mut words = line.split_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let name = words.nth(3).unwrap_or("anonymous");
    let address = |text| u64::from_str_radix(text, 16).ok();
    // The kernel's own pages say nothing, and some can not be read this way.
    let ours = rights.starts_with('r') && !name.starts_with("[v");
    ours.then_some((address(from)?, address(to)?, name))
}

fn count_in(memory: &File, from: u64, to: u64, needle: &[u8]) -> usize {
    let mut window = Vec::new();
    let (mut at, mut count) = (from, 0);
    let mut chunk = vec![0; CHUNK];
    while at < to {
        let size = usize::try_from(to - at).unwrap_or(CHUNK).min(CHUNK);
        let got = match memory.read_at(&mut chunk[..size], at) {
            Ok(got) if got > 0 => got,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // A page that is not there; the rest of the mapping will not be either.
            _ => break,
        };
        window.extend_from_slice(&chunk[..got]);
        count += window.windows(needle.len()).filter(|part| *part == needle).count();
        // One that stands across two chunks begins in what is kept.
        window.drain(..window.len().saturating_sub(needle.len() - 1));
        at += got as u64;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read() {
        let check = |line, expected| assert_eq!(readable(line), expected, "{line}");
        check("a0-b0 rw-p 00000000 00:00 0   [heap]", Some((0xa0, 0xb0, "[heap]")));
        check("a0-b0 rw-p 00000000 00:00 0", Some((0xa0, 0xb0, "anonymous")));
        check("a0-b0 ---p 00000000 00:00 0", None);
        check("a0-b0 r--p 00000000 00:00 0   [vvar]", None);
    }
}
