//! Any headers and any body as an event: read within its bound in every form; what was compressed is read as it was.
#![no_main]

#[path = "../../crates/jetlane/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::envelopes::check(data));
