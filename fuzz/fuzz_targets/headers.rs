//! Any bytes as a header block: read as a slow reader reads them; and what is sent is what was given.
#![no_main]

#[path = "../../crates/proto/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::headers::check(data));
