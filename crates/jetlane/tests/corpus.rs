//! Replays the corpus of the fuzz target of envelopes, so that what fuzzing has found once is looked at by every `cargo test`.

mod fuzz_checks;

use std::path::Path;
use std::{fs, panic};

#[test]
fn any_envelope() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/envelopes");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus in {folder:?} is empty");
    files.retain(|file| {
        let input = fs::read(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        panic::catch_unwind(|| fuzz_checks::envelopes::check(&input)).is_err()
    });
    assert!(files.is_empty(), "envelopes fails on {files:#?}");
}
