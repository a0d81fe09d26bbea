//! Any bytes as INFO: read as a slow reader reads them, and what they come to in a session.
#![no_main]

#[path = "../../crates/proto/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::info::check(data));
