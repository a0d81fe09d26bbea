//! Any bytes from a server, in any pieces: the same frames and the same error as in one piece.
#![no_main]

#[path = "../../crates/proto/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::parser::check_split(data));
