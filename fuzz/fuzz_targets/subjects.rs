//! Any texts as subjects, filters and names: what the rules allow, and one word of one frame.
#![no_main]

#[path = "../../crates/proto/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::subjects::check(data));
