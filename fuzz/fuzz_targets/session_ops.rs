//! Anything that can happen to a session: it says what a model says, and never waits forever.
#![no_main]

#[path = "../../crates/proto/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::session_ops::check(data));
