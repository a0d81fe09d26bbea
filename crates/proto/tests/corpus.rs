//! Replays the corpus of the fuzz targets, so that what fuzzing has found once is looked at by every `cargo test`.

mod fuzz_checks;

use std::path::Path;
use std::{fs, panic};

#[test]
fn any_bytes() {
    replay("parser_bytes", fuzz_checks::parser::check_bytes);
}

#[test]
fn any_pieces() {
    replay("parser_split", fuzz_checks::parser::check_split);
}

#[test]
fn any_headers() {
    replay("headers", fuzz_checks::headers::check);
}

#[test]
fn any_info() {
    replay("info", fuzz_checks::info::check);
}

#[test]
fn any_subjects() {
    replay("subjects", fuzz_checks::subjects::check);
}

#[test]
fn any_session() {
    replay("session_ops", fuzz_checks::session_ops::check);
}

/// Runs `check` on every file of the target's corpus, and names those that fail.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus in {folder:?} is empty");

    files.retain(|file| {
        let input = fs::read(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        panic::catch_unwind(|| check(&input)).is_err()
    });
    assert!(files.is_empty(), "{target} fails on {files:#?}");
}
