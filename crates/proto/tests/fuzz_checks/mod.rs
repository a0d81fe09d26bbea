//! The checks that the fuzz targets and the replay of their corpus share: one module per target (`parser` has two),
//! and next to it what is slow and obvious, for jetlane to agree with.
#![allow(dead_code, reason = "each fuzz target calls one of the checks")]

pub(crate) mod headers;
pub(crate) mod info;
pub(crate) mod parser;
pub(crate) mod session_ops;
pub(crate) mod subjects;

mod headers_slow;
mod info_slow;
mod ops;
mod owned;
mod parts;
mod session_model;
mod subjects_slow;

/// The texts that an input is made of where a check needs several: 0xFF, which no text has, stands between them.
fn texts(data: &[u8]) -> Vec<String> {
    data.split(|&byte| byte == 0xff)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}
