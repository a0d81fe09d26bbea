//! The checks that the fuzz targets and the replay of their corpus share: one module per target (`parser` has two),
//! and next to it what is slow and obvious, for jetlane to agree with.
#![allow(dead_code, reason = "each fuzz target calls one of the checks")]

pub(crate) mod parser;

mod owned;
mod parts;
