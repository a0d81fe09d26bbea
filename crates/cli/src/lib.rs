//! What the `jetlane` program is made of. A library, so that `jetlane-bench` measures jetlane with the very code that
//! users run as `jetlane bench`.
#![forbid(unsafe_code)]

pub mod bench;
pub mod demo;
pub mod dlq;
pub mod outbox;
pub mod process;
mod progress;
