//! Any bytes from a server, in one piece: the parser and the readers behind it keep their word.
#![no_main]

#[path = "../../crates/proto/tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::parser::check_bytes(data));
