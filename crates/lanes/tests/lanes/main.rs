//! Lanes from outside: order, room, the end and what a user's panics do to it.
//!
//! No test waits for time to pass in order to let something happen: each waits for the event itself, and gives up on it
//! after [`common::LONG`], which no test takes unless it fails.

mod capacity;
mod common;
mod drain;
mod order;
mod panics;
mod random;
mod start;
