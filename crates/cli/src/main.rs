#![forbid(unsafe_code)]
//! The `jetlane` program.
fn main() {}
